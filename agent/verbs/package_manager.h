// SPDX-License-Identifier: Apache-2.0
//
// The distribution's packages: dnf, yum or apt, as the node has it.
#ifndef AGENT_VERBS_PACKAGE_MANAGER_H_
#define AGENT_VERBS_PACKAGE_MANAGER_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "agent/verbs/verb.h"

namespace npufleet::verbs {

enum class PackageManager { kApt, kDnf, kYum };

// By os-release and by what is on the path. Unavailable when os-release cannot be read, a
// NEEDS_OPERATOR failure when the node has none of them.
absl::StatusOr<PackageManager> FindPackageManager(host::Host& host);

// Those of `names` that are not installed (nor provided by another package). Read only.
absl::StatusOr<std::vector<std::string>> MissingPackages(host::Host& host, PackageManager manager,
                                                         const std::vector<std::string>& names);

struct PackageWant {
  std::string name;
  std::string version;  // upstream's, 28.0.4; empty: the newest that the repositories have
};

// Installs them, or updates everything, without a question and as a durable step. Failures of the
// signature table; CONFIG when the repositories have another version only.
absl::Status InstallFromRepositories(host::Host& host, Execution& execution, PackageManager manager,
                                     const std::string& stage,
                                     const std::vector<PackageWant>& packages);
absl::Status UpdateAllPackages(host::Host& host, Execution& execution, PackageManager manager,
                               const std::string& stage);

}  // namespace npufleet::verbs

#endif  // AGENT_VERBS_PACKAGE_MANAGER_H_
