// SPDX-License-Identifier: Apache-2.0
//
// The Deployment that an operator writes: reading, defaults, and what must hold before anything is
// changed. All pure and threadsafe.
#ifndef COMMON_SPEC_DEPLOYMENT_H_
#define COMMON_SPEC_DEPLOYMENT_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/spec/yaml.h"
#include "npufleet/v1/spec.pb.h"

namespace npufleet::spec {

struct Violation {
  std::string path;     // "spec.engine.tensorParallelSize", as in Positions
  std::string message;  // what is wrong, with both sides and their figures, and what to do
};

// Reads and validates. The deployment is as written: its defaults are not resolved.
// InvalidArgument: all problems, one line "FILE:LINE:COLUMN: …" each, in the order of the file.
absl::StatusOr<v1::Deployment> ParseDeployment(std::string_view text, std::string_view file);

// Sets each optional field that has a default in spec.proto and is not set; beside these the
// revisions of the hubs (master, main), container.shmSize (500g, the runbook's) and, from the
// artifacts' names, preflight.architecture. What is set stays. Resolving twice is resolving once.
v1::Deployment ResolveDefaults(v1::Deployment deployment);

// What is wrong with the deployment once its defaults are resolved (it may be given either way).
// Empty: it can be planned.
std::vector<Violation> Validate(const v1::Deployment& deployment);

// InvalidArgument with one line "PATH: MESSAGE" each, or OK: for those who have no file.
absl::Status ToStatus(const std::vector<Violation>& violations);

}  // namespace npufleet::spec

#endif  // COMMON_SPEC_DEPLOYMENT_H_
