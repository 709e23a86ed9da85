// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdio>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/spec/scalar.h"
#include "common/spec/yaml.h"
#include "google/protobuf/timestamp.pb.h"
#include "google/protobuf/util/json_util.h"
#include "google/protobuf/util/time_util.h"

namespace npufleet::spec {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

// Plain only where no YAML reader can take the text for anything but a string.
bool IsPlain(const std::string& text) {
  double number;
  if (text.empty() || text.front() == ' ' || text.back() == ' ' || text.back() == ':') return false;
  if (absl::SimpleAtod(text, &number) || absl::ascii_isdigit(text.front()) || text.front() == '.' ||
      text.front() == '+') {
    return false;
  }
  static constexpr std::string_view kWords[] = {"true", "false", "yes", "no", "on",
                                                "off",  "null",  "y",   "n",  "~"};
  if (absl::c_linear_search(kWords, absl::AsciiStrToLower(text))) return false;
  if (std::string_view("-?:,[]{}#&*!|>'\"%@`=").find(text.front()) != std::string_view::npos) {
    return false;
  }
  return text.find(": ") == std::string::npos && text.find(" #") == std::string::npos &&
         absl::c_none_of(text, [](unsigned char c) { return c < 0x20 || c == 0x7f; });
}

std::string Quoted(const std::string& text) {
  if (IsPlain(text)) return text;
  std::string quoted = "\"";
  for (unsigned char c : text) {
    if (c == '"' || c == '\\') {
      quoted.push_back('\\');
      quoted.push_back(static_cast<char>(c));
    } else if (c == '\n') {
      quoted.append("\\n");
    } else if (c == '\t') {
      quoted.append("\\t");
    } else if (c < 0x20 || c == 0x7f) {
      absl::StrAppend(&quoted, "\\x", absl::Hex(c, absl::kZeroPad2));
    } else {
      quoted.push_back(static_cast<char>(c));
    }
  }
  quoted.push_back('"');
  return quoted;
}

std::string RealText(double value) {
  // The shortest text that reads back as the same number.
  for (int precision : {6, 15, 17}) {
    char buffer[40];
    std::snprintf(buffer, sizeof(buffer), "%.*g", precision, value);
    double back;
    if (absl::SimpleAtod(buffer, &back) && back == value) return buffer;
  }
  return absl::StrCat(value);
}

// Value `index` of a repeated field, or of a singular one when index is -1.
std::string ScalarText(const Message& message, const FieldDescriptor& field, int index) {
  const auto& r = *message.GetReflection();
  const FieldDescriptor* f = &field;
  bool repeated = index >= 0;
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return absl::StrCat(repeated ? r.GetRepeatedInt32(message, f, index)
                                   : r.GetInt32(message, f));
    case FieldDescriptor::CPPTYPE_INT64:
      return absl::StrCat(repeated ? r.GetRepeatedInt64(message, f, index)
                                   : r.GetInt64(message, f));
    case FieldDescriptor::CPPTYPE_UINT32:
      return absl::StrCat(repeated ? r.GetRepeatedUInt32(message, f, index)
                                   : r.GetUInt32(message, f));
    case FieldDescriptor::CPPTYPE_UINT64:
      return absl::StrCat(repeated ? r.GetRepeatedUInt64(message, f, index)
                                   : r.GetUInt64(message, f));
    case FieldDescriptor::CPPTYPE_FLOAT:
      return RealText(repeated ? r.GetRepeatedFloat(message, f, index) : r.GetFloat(message, f));
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return RealText(repeated ? r.GetRepeatedDouble(message, f, index) : r.GetDouble(message, f));
    case FieldDescriptor::CPPTYPE_BOOL:
      return (repeated ? r.GetRepeatedBool(message, f, index) : r.GetBool(message, f)) ? "true"
                                                                                       : "false";
    case FieldDescriptor::CPPTYPE_STRING: {
      std::string text =
          repeated ? r.GetRepeatedString(message, f, index) : r.GetString(message, f);
      return Quoted(field.type() == FieldDescriptor::TYPE_BYTES ? absl::Base64Escape(text) : text);
    }
    case FieldDescriptor::CPPTYPE_ENUM: {
      const auto* value = repeated ? r.GetRepeatedEnum(message, f, index) : r.GetEnum(message, f);
      return absl::AsciiStrToLower(value->name());
    }
    case FieldDescriptor::CPPTYPE_MESSAGE: {
      const Message& child =
          repeated ? r.GetRepeatedMessage(message, f, index) : r.GetMessage(message, f);
      if (child.GetDescriptor() == google::protobuf::Duration::descriptor()) {
        return WriteDuration(static_cast<const google::protobuf::Duration&>(child));
      }
      return Quoted(google::protobuf::util::TimeUtil::ToString(
          static_cast<const google::protobuf::Timestamp&>(child)));
    }
  }
  return "";
}

bool IsBlock(const FieldDescriptor& field) {
  return field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE &&
         !IsScalarMessage(*field.message_type());
}

void WriteFields(const Message& message, int indent, std::string* out);

// "- " takes the place of the first field's indentation.
void WriteItem(const Message& item, int indent, std::string* out) {
  std::string fields;
  WriteFields(item, indent + 2, &fields);
  if (fields.empty()) {
    absl::StrAppend(out, std::string(indent, ' '), "- {}\n");
    return;
  }
  fields[indent] = '-';
  out->append(fields);
}

void WriteMapField(const Message& message, const FieldDescriptor& field, int indent,
                   std::string* out) {
  const auto& reflection = *message.GetReflection();
  const FieldDescriptor& key = *field.message_type()->map_key();
  const FieldDescriptor& value = *field.message_type()->map_value();
  std::vector<std::pair<std::string, const Message*>> entries;
  for (int i = 0; i < reflection.FieldSize(message, &field); ++i) {
    const Message& entry = reflection.GetRepeatedMessage(message, &field, i);
    entries.emplace_back(ScalarText(entry, key, -1), &entry);
  }
  absl::c_sort(entries);
  for (const auto& [name, entry] : entries) {
    absl::StrAppend(out, std::string(indent, ' '), name, ":");
    if (!IsBlock(value)) {
      absl::StrAppend(out, " ", ScalarText(*entry, value, -1), "\n");
      continue;
    }
    std::string block;
    WriteFields(entry->GetReflection()->GetMessage(*entry, &value), indent + 2, &block);
    absl::StrAppend(out, block.empty() ? " {}\n" : "\n", block);
  }
}

void WriteField(const Message& message, const FieldDescriptor& field, int indent,
                std::string* out) {
  const auto& reflection = *message.GetReflection();
  absl::StrAppend(out, std::string(indent, ' '), field.json_name(), ":");
  if (field.is_map()) {
    out->push_back('\n');
    WriteMapField(message, field, indent + 2, out);
  } else if (field.is_repeated()) {
    out->push_back('\n');
    for (int i = 0; i < reflection.FieldSize(message, &field); ++i) {
      if (IsBlock(field)) {
        WriteItem(reflection.GetRepeatedMessage(message, &field, i), indent + 2, out);
      } else {
        absl::StrAppend(out, std::string(indent + 2, ' '), "- ", ScalarText(message, field, i),
                        "\n");
      }
    }
  } else if (IsBlock(field)) {
    std::string block;
    WriteFields(reflection.GetMessage(message, &field), indent + 2, &block);
    absl::StrAppend(out, block.empty() ? " {}\n" : "\n", block);
  } else {
    absl::StrAppend(out, " ", ScalarText(message, field, -1), "\n");
  }
}

void WriteFields(const Message& message, int indent, std::string* out) {
  std::vector<const FieldDescriptor*> set;
  message.GetReflection()->ListFields(message, &set);
  absl::c_sort(set, [](const auto* a, const auto* b) { return a->index() < b->index(); });
  for (const FieldDescriptor* field : set) WriteField(message, *field, indent, out);
}

std::string Json(const Message& message, bool indented) {
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = indented;
  options.always_print_primitive_fields = true;  // NPU 0 is NPU 0, as in the REST view
  std::string json;
  auto status = google::protobuf::util::MessageToJsonString(message, &json, options);
  // Only an Any of a type that this program does not know fails, and no message of ours has one.
  return status.ok() ? json : "{}";
}

}  // namespace

std::string WriteDuration(const google::protobuf::Duration& duration) {
  const absl::Duration value =
      absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos());
  if (value == absl::ZeroDuration()) return "0s";  // Abseil's "0" has no unit, and is not read back
  return absl::FormatDuration(value);
}

std::string WriteYaml(const Message& message) {
  std::string yaml;
  WriteFields(message, 0, &yaml);
  return yaml.empty() ? "{}\n" : yaml;
}

std::string WriteJson(const Message& message) {
  std::string json = Json(message, true);
  if (json.empty() || json.back() != '\n') json.push_back('\n');
  return json;
}

std::string WriteCompactJson(const Message& message) { return Json(message, false); }

}  // namespace npufleet::spec
