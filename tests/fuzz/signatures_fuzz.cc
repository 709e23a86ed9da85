// SPDX-License-Identifier: Apache-2.0
//
// Output of installers, containers and engines, as it is cut into lines and matched.
#include "agent/host/line_splitter.h"
#include "agent/verbs/signatures.h"
#include "common/failure.h"
#include "common/spec/stage_names.h"
#include "tests/fuzz/require.h"

using namespace npufleet;

namespace {

void Match(const char* stage, std::string_view text) {
  const auto failure = verbs::MatchSignature(stage, text);
  if (failure) {
    Require(!failure->symptom().empty());
    Require(v1::Failure().ParseFromString(failure->SerializeAsString()));
    // The symptom is one line.
    Require(failure->symptom().find('\n') == std::string::npos);
  }
  const absl::Status status = verbs::FailureOfOutput(stage, text, {});
  Require(!status.ok());
  if (failure) Require(FailureOf(status)->signature() == failure->signature());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const char* stage : spec::kStageNames) Match(stage, text);
  Match("", text);
  Require(verbs::LastLines(text).size() <= 40);
  // A stream gives the same lines however it is cut.
  std::string whole, pieces;
  host::LineSplitter at_once([&](std::string_view line) { whole.append(line).append("\n"); });
  at_once.Add(text);
  at_once.Finish();
  host::LineSplitter bytewise([&](std::string_view line) { pieces.append(line).append("\n"); });
  for (size_t i = 0; i < size; ++i) bytewise.Add(text.substr(i, 1));
  bytewise.Finish();
  if (size < 60'000) Require(whole == pieces);
  return 0;
}
