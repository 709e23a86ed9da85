// SPDX-License-Identifier: Apache-2.0
//
// YAML <-> any protobuf message, by reflection. The keys are the JSON names of the fields
// (tensorParallelSize); google.protobuf.Duration is written 30s, 5m, 1h30m, Timestamp as RFC 3339,
// an enum value by its lower-case name (head). Strict: whatever is not understood is an error with
// its place, so that no misspelt field is ever silently a default.
#ifndef COMMON_SPEC_YAML_H_
#define COMMON_SPEC_YAML_H_

#include <map>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "google/protobuf/duration.pb.h"
#include "google/protobuf/message.h"

namespace npufleet::spec {

struct Position {
  int line = 0;    // from 1; 0: not known
  int column = 0;  // from 1, in bytes
};

// Where each key and each list item was written: "spec.nodes[1].address" -> 12:7. A map entry is
// `spec.preflight.minFreeGib["/data2"]`.
using Positions = std::map<std::string, Position>;

// Where `path` was written or, when it was not, the nearest thing around it that was.
Position Find(const Positions& positions, std::string_view path);

// "FILE:LINE:COLUMN: message".
std::string AtPosition(std::string_view file, Position position, std::string_view message);

// Reads one YAML document into `message`, which it clears first. InvalidArgument: one line
// "FILE:LINE:COLUMN: what is wrong and what to do" for each of the first 20 problems, in the order
// of the file; the message is then partly filled. Text over 1 MiB, tabs in the indentation, aliases
// that blow the document up, duplicate keys, a second document and two members of one oneof are
// problems, too. `positions` may be null. Threadsafe.
absl::Status ParseYaml(std::string_view text, std::string_view file,
                       google::protobuf::Message* message, Positions* positions = nullptr);

// Set fields only, in the order of the .proto. ParseYaml reads it back to an equal message, except
// for the zero value of an enum, which has no name in YAML and is left out.
std::string WriteYaml(const google::protobuf::Message& message);

// protobuf's own JSON mapping, indented, one newline at the end. Zeros are shown; only an
// `optional` field may be missing.
std::string WriteJson(const google::protobuf::Message& message);
// The same on one line, without the newline.
std::string WriteCompactJson(const google::protobuf::Message& message);

// "1h30m", "1.5s", "0s".
std::string WriteDuration(const google::protobuf::Duration& duration);

}  // namespace npufleet::spec

#endif  // COMMON_SPEC_YAML_H_
