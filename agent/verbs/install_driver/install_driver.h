// SPDX-License-Identifier: Apache-2.0
//
// NPU driver and firmware by their .run packages; one reboot puts both in effect. First install:
// driver, then firmware; upgrade: firmware, then driver (the vendor's order; the wrong one is
// reported to end in -8005).
#ifndef AGENT_VERBS_INSTALL_DRIVER_INSTALL_DRIVER_H_
#define AGENT_VERBS_INSTALL_DRIVER_INSTALL_DRIVER_H_

#include <memory>

#include "absl/status/statusor.h"
#include "agent/verbs/verb.h"

namespace npufleet::verbs {

// Token: "25.0.rc1/7.7.0", the versions in effect. A node whose driver is one of the accepted ones
// is present with the firmware that it has. Never looks at the chips.
absl::StatusOr<std::unique_ptr<Verb>> MakeInstallDriver(const v1::InstallDriver& want,
                                                        const v1::Subject& subject,
                                                        host::Host& host);

}  // namespace npufleet::verbs

#endif  // AGENT_VERBS_INSTALL_DRIVER_INSTALL_DRIVER_H_
