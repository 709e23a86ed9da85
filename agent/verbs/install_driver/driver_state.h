// SPDX-License-Identifier: Apache-2.0
//
// What driver and firmware are installed, and whether they are in effect. An installer that asks
// for a reboot leaves its version.info before that, so the file alone does not tell: Apply notes in
// which boot it installed.
#ifndef AGENT_VERBS_INSTALL_DRIVER_DRIVER_STATE_H_
#define AGENT_VERBS_INSTALL_DRIVER_DRIVER_STATE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agent/host/host.h"

namespace npufleet::verbs {

struct PackageState {
  std::string version;  // of version.info; empty: not installed
  bool in_effect = false;
  std::string noted;  // the version that we installed last; empty: none
};

// `package` is "driver" or "firmware". NotFound is no error: an empty version. In effect, by the
// note when it is of this version: the installer said so, or the boot is another; otherwise:
// version.info is older than this boot.
absl::StatusOr<PackageState> ReadPackageState(host::Host& host, const std::string& install_path,
                                              const std::string& package);

// After an install in this boot.
absl::Status NoteInstalled(host::Host& host, const std::string& package, const std::string& version,
                           bool takes_effect_immediately);

}  // namespace npufleet::verbs

#endif  // AGENT_VERBS_INSTALL_DRIVER_DRIVER_STATE_H_
