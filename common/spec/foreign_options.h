// SPDX-License-Identifier: Apache-2.0
//
// Options that circulate in how-tos for vLLM (the runbook's table 4.1, too) and that no vLLM has,
// turned into what it has. Pure.
#ifndef COMMON_SPEC_FOREIGN_OPTIONS_H_
#define COMMON_SPEC_FOREIGN_OPTIONS_H_

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace npufleet::spec {

struct MappedOptions {
  std::vector<std::string> arguments;
  std::map<std::string, std::string> environment;
  std::vector<std::string> notes;  // one for each that was turned into another
};

// `arguments` with --Npu-memory-utilization, --max-concurrent-requests, --model-cache-dir,
// --log-level, --fp16 and --model_tag replaced, unless this version's own `options` (without dashes
// in front, may be empty) name them. CONFIG when one lacks its value or names another model than
// `model_path`.
absl::StatusOr<MappedOptions> MapForeignOptions(const std::vector<std::string>& arguments,
                                                const std::set<std::string>& options,
                                                std::string_view model_path);

}  // namespace npufleet::spec

#endif  // COMMON_SPEC_FOREIGN_OPTIONS_H_
