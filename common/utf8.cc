// SPDX-License-Identifier: Apache-2.0
#include "common/utf8.h"

#include <vector>

#include "google/protobuf/descriptor.h"

namespace npufleet {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

bool IsContinuation(unsigned char byte) { return (byte & 0xc0) == 0x80; }

// Length of the valid sequence at the start of `text`, 0 when there is none (RFC 3629: no overlong
// forms, no surrogates, nothing above U+10FFFF).
size_t SequenceLength(std::string_view text) {
  const auto at = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = at(0);
  if (first < 0x80) return 1;
  const size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if (!IsContinuation(at(i))) return 0;
  }
  if ((first == 0xe0 && at(1) < 0xa0) || (first == 0xed && at(1) > 0x9f) ||
      (first == 0xf0 && at(1) < 0x90) || (first == 0xf4 && at(1) > 0x8f)) {
    return 0;
  }
  return length;
}

void FixField(Message& message, const FieldDescriptor* field) {
  const Reflection* reflection = message.GetReflection();
  const bool text = field->type() == FieldDescriptor::TYPE_STRING;
  if (!text && field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) return;
  if (!field->is_repeated()) {
    if (text) {
      reflection->SetString(&message, field, ValidUtf8(reflection->GetString(message, field)));
    } else {
      MakeValidUtf8(*reflection->MutableMessage(&message, field));
    }
    return;
  }
  for (int i = 0; i < reflection->FieldSize(message, field); ++i) {
    if (text) {
      reflection->SetRepeatedString(&message, field, i,
                                    ValidUtf8(reflection->GetRepeatedString(message, field, i)));
    } else {
      MakeValidUtf8(*reflection->MutableRepeatedMessage(&message, field, i));
    }
  }
}

}  // namespace

std::string ValidUtf8(std::string_view text) {
  std::string valid;
  valid.reserve(text.size());
  while (!text.empty()) {
    const size_t length = SequenceLength(text);
    if (length == 0) {
      valid += "\xEF\xBF\xBD";
    } else {
      valid += text.substr(0, length);
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return valid;
}

size_t ValidUtf8Length(std::string_view text) {
  size_t valid = 0;
  while (valid < text.size()) {
    const size_t length = SequenceLength(text.substr(valid));
    if (length == 0) break;
    valid += length;
  }
  return valid;
}

void MakeValidUtf8(Message& message) {
  std::vector<const FieldDescriptor*> fields;
  message.GetReflection()->ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) FixField(message, field);
}

}  // namespace npufleet
