// SPDX-License-Identifier: Apache-2.0
//
// `vllm serve` as the runbook writes it, adapted to the version in the image. Pure.
#ifndef AGENT_VERBS_START_ENGINE_COMMAND_LINE_H_
#define AGENT_VERBS_START_ENGINE_COMMAND_LINE_H_

#include <compare>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "npufleet/v1/spec.pb.h"

namespace npufleet::verbs {

struct EngineVersion {
  int major = 0;
  int minor = 0;
  int patch = 0;

  auto operator<=>(const EngineVersion&) const = default;
};

// What `vllm --version` prints, log lines of plugins before it included: the version of the last
// line that is one ("0.9.1", "vllm 0.9.1", "0.8.4rc2+empty"). Nothing for a development build
// without a number.
std::optional<EngineVersion> ParseEngineVersion(std::string_view output);
std::string ToString(const EngineVersion& version);

// The long options that a `vllm serve --help` names, without dashes in front and with '-' for '_'.
// Empty when it is not the whole help: newer versions list only groups, and print all with
// --help=all.
std::set<std::string> ParseHelp(std::string_view output);

struct EngineCommandLine {
  std::vector<std::string> argv;
  std::map<std::string, std::string> environment;
  std::vector<std::string> notes;  // what was changed for this version, and why; for people
};

// In the runbook's order and spelling. Without a version nothing is adapted; with an empty
// `options` nothing is compared. Errors are CONFIG failures that name the option and the version
// (SRV-01, SRV-02).
absl::StatusOr<EngineCommandLine> BuildCommandLine(std::string_view model_path,
                                                   const v1::Engine& engine,
                                                   const std::optional<EngineVersion>& version,
                                                   const std::set<std::string>& options);

// True for the argv of the server itself: "vllm serve …", by whatever interpreter.
bool IsServer(const std::vector<std::string>& argv);

}  // namespace npufleet::verbs

#endif  // AGENT_VERBS_START_ENGINE_COMMAND_LINE_H_
