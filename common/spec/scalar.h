// SPDX-License-Identifier: Apache-2.0
//
// One YAML scalar -> one protobuf value. Internal to common/spec.
#ifndef COMMON_SPEC_SCALAR_H_
#define COMMON_SPEC_SCALAR_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/message.h"

namespace npufleet::spec {

struct Scalar {
  std::string text;
  bool quoted = false;
};

// Sets the singular field or, for a repeated one, adds to it. The error's message has no place and
// no field name: "needs a whole number, not "many"".
absl::Status SetScalar(const Scalar& scalar, const google::protobuf::FieldDescriptor& field,
                       google::protobuf::Message* message);

// Messages that are written as one scalar: Duration and Timestamp.
bool IsScalarMessage(const google::protobuf::Descriptor& descriptor);

// The names of an enum's values as YAML has them, without the zero value.
std::vector<std::string> EnumNames(const google::protobuf::EnumDescriptor& descriptor);

}  // namespace npufleet::spec

#endif  // COMMON_SPEC_SCALAR_H_
