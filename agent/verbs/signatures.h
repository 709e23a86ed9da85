// SPDX-License-Identifier: Apache-2.0
//
// The failures of the field that we know by a line of output: one table (signatures.cc), kept
// beside the verbs that meet them. Pure, threadsafe.
#ifndef AGENT_VERBS_SIGNATURES_H_
#define AGENT_VERBS_SIGNATURES_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "npufleet/v1/operation.pb.h"

namespace npufleet::verbs {

struct Signature {
  const char* id;  // in the failure catalogue: DRV-03
  // Where its line can show, separated by blanks: "ray-head serve"; empty: anywhere. "kernel" is
  // the kernel's log.
  const char* stages;
  const char* pattern;  // RE2, within one line
  v1::Failure::Class failure_class;
  const char* redo_stage;  // with REDO; where that is the stage itself, the class is TRANSIENT
  int priority;            // wrappers are low, causes are high
  const char* advice;      // {1} is the first group of the pattern
};

// All rows, for tests and documentation.
const std::vector<Signature>& Signatures();

// The row of the highest priority whose pattern stands in `text`, what the stage printed; of
// equals, the one whose line comes first. Its line is the symptom. ANSI codes in the text do not
// matter.
std::optional<v1::Failure> MatchSignature(std::string_view stage, std::string_view text);

// What a stage that failed has to say: the signature that matches `output`, otherwise `otherwise`.
// The last lines of the output are its log tail.
absl::Status FailureOfOutput(std::string_view stage, std::string_view output,
                             v1::Failure otherwise);

// The last `count` lines that are not blank, each fit for the wire.
std::vector<std::string> LastLines(std::string_view text, size_t count = 40);

}  // namespace npufleet::verbs

#endif  // AGENT_VERBS_SIGNATURES_H_
