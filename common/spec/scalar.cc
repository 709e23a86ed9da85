// SPDX-License-Identifier: Apache-2.0
#include "common/spec/scalar.h"

#include <cmath>
#include <limits>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "common/spec/nearest.h"
#include "google/protobuf/duration.pb.h"
#include "google/protobuf/timestamp.pb.h"
#include "google/protobuf/util/time_util.h"

namespace npufleet::spec {
namespace {

using google::protobuf::EnumDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

// Foreign text in an error: short, and on one line.
std::string Shown(const std::string& text) {
  constexpr size_t kShown = 60;
  std::string shown = text.substr(0, kShown);
  // Chinese stays readable: only what holds control characters is escaped.
  if (absl::c_any_of(shown, [](unsigned char c) { return c < 0x20 || c == 0x7f; })) {
    shown = absl::CHexEscape(shown);
  }
  return absl::StrCat("\"", shown, text.size() > kShown ? "…" : "", "\"");
}

bool IsWholeNumber(std::string_view text) {
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) text.remove_prefix(1);
  return !text.empty() && absl::c_all_of(text, absl::ascii_isdigit);
}

template <typename Number>
absl::Status ParseInteger(const Scalar& scalar, Number* value) {
  if (!IsWholeNumber(scalar.text)) {
    return absl::InvalidArgumentError(
        absl::StrCat("needs a whole number, not ", Shown(scalar.text)));
  }
  if (scalar.quoted) {
    return absl::InvalidArgumentError(absl::StrCat("needs a whole number, not the string ",
                                                   Shown(scalar.text), "; remove the quotes"));
  }
  if (!absl::SimpleAtoi(scalar.text, value)) {
    return absl::InvalidArgumentError(
        absl::StrCat(scalar.text, " is out of range: ", std::numeric_limits<Number>::min(), " to ",
                     std::numeric_limits<Number>::max()));
  }
  return absl::OkStatus();
}

absl::Status ParseReal(const Scalar& scalar, double* value) {
  if (scalar.quoted || !absl::SimpleAtod(scalar.text, value) || !std::isfinite(*value)) {
    return absl::InvalidArgumentError(absl::StrCat("needs a number, not ", Shown(scalar.text),
                                                   scalar.quoted ? "; remove the quotes" : ""));
  }
  return absl::OkStatus();
}

absl::Status ParseBool(const Scalar& scalar, bool* value) {
  if (scalar.quoted || (scalar.text != "true" && scalar.text != "false")) {
    return absl::InvalidArgumentError(
        absl::StrCat("needs true or false, not ", Shown(scalar.text)));
  }
  *value = scalar.text == "true";
  return absl::OkStatus();
}

absl::Status ParseDuration(const Scalar& scalar, google::protobuf::Duration* value) {
  absl::Duration duration;
  if (IsWholeNumber(scalar.text) || !absl::ParseDuration(scalar.text, &duration) ||
      duration == absl::InfiniteDuration() || duration == -absl::InfiniteDuration()) {
    return absl::InvalidArgumentError(
        absl::StrCat("needs a duration with a unit (30s, 5m, 1h30m), not ", Shown(scalar.text)));
  }
  constexpr int64_t kLargest = 315'576'000'000;  // of google.protobuf.Duration
  absl::Duration rest;
  int64_t seconds = absl::IDivDuration(duration, absl::Seconds(1), &rest);
  if (seconds > kLargest || seconds < -kLargest) {
    return absl::InvalidArgumentError(absl::StrCat(scalar.text, " is out of range"));
  }
  value->set_seconds(seconds);
  value->set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(rest)));
  return absl::OkStatus();
}

absl::Status ParseTimestamp(const Scalar& scalar, google::protobuf::Timestamp* value) {
  if (!google::protobuf::util::TimeUtil::FromString(scalar.text, value)) {
    return absl::InvalidArgumentError(
        absl::StrCat("needs a time (2025-06-01T12:00:00Z), not ", Shown(scalar.text)));
  }
  return absl::OkStatus();
}

absl::Status ParseEnum(const Scalar& scalar, const EnumDescriptor& descriptor, int* number) {
  for (int i = 0; i < descriptor.value_count(); ++i) {
    const auto& value = *descriptor.value(i);
    if (value.number() != 0 && scalar.text == absl::AsciiStrToLower(value.name())) {
      *number = value.number();
      return absl::OkStatus();
    }
  }
  std::vector<std::string> names = EnumNames(descriptor);
  std::string nearest = Nearest(scalar.text, names);
  return absl::InvalidArgumentError(
      absl::StrCat("needs one of ", absl::StrJoin(names, ", "), ", not ", Shown(scalar.text),
                   nearest.empty() ? "" : absl::StrCat("; did you mean \"", nearest, "\"?")));
}

// Reflection has one setter for a singular field and one for a repeated field of each type.
template <typename Value, typename Parse, typename Set, typename Add>
absl::Status Store(const FieldDescriptor& field, Parse parse, Set set, Add add) {
  Value value{};
  absl::Status status = parse(&value);
  if (!status.ok()) return status;
  if (field.is_repeated()) {
    add(value);
  } else {
    set(value);
  }
  return absl::OkStatus();
}

absl::Status SetMessage(const Scalar& scalar, const FieldDescriptor& field, Message* message) {
  const auto& reflection = *message->GetReflection();
  Message* child = field.is_repeated() ? reflection.AddMessage(message, &field)
                                       : reflection.MutableMessage(message, &field);
  if (field.message_type() == google::protobuf::Duration::descriptor()) {
    return ParseDuration(scalar, static_cast<google::protobuf::Duration*>(child));
  }
  return ParseTimestamp(scalar, static_cast<google::protobuf::Timestamp*>(child));
}

}  // namespace

bool IsScalarMessage(const google::protobuf::Descriptor& descriptor) {
  return &descriptor == google::protobuf::Duration::descriptor() ||
         &descriptor == google::protobuf::Timestamp::descriptor();
}

std::vector<std::string> EnumNames(const EnumDescriptor& descriptor) {
  std::vector<std::string> names;
  for (int i = 0; i < descriptor.value_count(); ++i) {
    if (descriptor.value(i)->number() != 0) {
      names.push_back(absl::AsciiStrToLower(descriptor.value(i)->name()));
    }
  }
  return names;
}

absl::Status SetScalar(const Scalar& scalar, const FieldDescriptor& field, Message* message) {
  const auto& r = *message->GetReflection();
  const FieldDescriptor* f = &field;
#define NPUFLEET_NUMBER(Type, Name, parse)                      \
  return Store<Type>(                                           \
      field, [&](Type* value) { return parse(scalar, value); }, \
      [&](Type value) { r.Set##Name(message, f, value); },      \
      [&](Type value) { r.Add##Name(message, f, value); })
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      NPUFLEET_NUMBER(int32_t, Int32, ParseInteger);
    case FieldDescriptor::CPPTYPE_INT64:
      NPUFLEET_NUMBER(int64_t, Int64, ParseInteger);
    case FieldDescriptor::CPPTYPE_UINT32:
      NPUFLEET_NUMBER(uint32_t, UInt32, ParseInteger);
    case FieldDescriptor::CPPTYPE_UINT64:
      NPUFLEET_NUMBER(uint64_t, UInt64, ParseInteger);
    case FieldDescriptor::CPPTYPE_FLOAT:
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return Store<double>(
          field, [&](double* value) { return ParseReal(scalar, value); },
          [&](double value) {
            if (field.cpp_type() == FieldDescriptor::CPPTYPE_FLOAT) {
              r.SetFloat(message, f, static_cast<float>(value));
            } else {
              r.SetDouble(message, f, value);
            }
          },
          [&](double value) {
            if (field.cpp_type() == FieldDescriptor::CPPTYPE_FLOAT) {
              r.AddFloat(message, f, static_cast<float>(value));
            } else {
              r.AddDouble(message, f, value);
            }
          });
    case FieldDescriptor::CPPTYPE_BOOL:
      NPUFLEET_NUMBER(bool, Bool, ParseBool);
    case FieldDescriptor::CPPTYPE_STRING:
      return Store<std::string>(
          field,
          [&](std::string* value) {
            *value = scalar.text;
            if (field.type() != FieldDescriptor::TYPE_BYTES ||
                absl::Base64Unescape(scalar.text, value)) {
              return absl::OkStatus();
            }
            return absl::InvalidArgumentError("needs base64");
          },
          [&](const std::string& value) { r.SetString(message, f, value); },
          [&](const std::string& value) { r.AddString(message, f, value); });
    case FieldDescriptor::CPPTYPE_ENUM:
      return Store<int>(
          field, [&](int* value) { return ParseEnum(scalar, *field.enum_type(), value); },
          [&](int value) { r.SetEnumValue(message, f, value); },
          [&](int value) { r.AddEnumValue(message, f, value); });
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return SetMessage(scalar, field, message);
  }
#undef NPUFLEET_NUMBER
  return absl::InternalError("a field type that protobuf does not have");
}

}  // namespace npufleet::spec
