// SPDX-License-Identifier: Apache-2.0
//
// What the kernel of this node says of a start or an installer that failed.
#ifndef AGENT_VERBS_KERNEL_LOG_H_
#define AGENT_VERBS_KERNEL_LOG_H_

#include <optional>
#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "agent/host/host.h"
#include "npufleet/v1/operation.pb.h"

namespace npufleet::verbs {

// The failure of the field's signatures in the kernel's messages since `since`, as one of `stage`.
// That the kernel killed a process for want of memory counts only when it was one of the running
// `container`'s, as its cgroup says. Nothing: none, or the log cannot be read (journalctl, else
// dmesg).
std::optional<v1::Failure> KernelFailure(host::Host& host, std::string_view stage,
                                         std::string_view container, absl::Time since);

// `messages` without the kills that were not of the container with this id (none: of any). Before
// each, since Linux 4.19, stands whose it was: "oom-kill:…,task_memcg=/docker/ID,task=…,pid=N,…".
std::string WithoutForeignKills(std::string_view messages, std::string_view container_id);

}  // namespace npufleet::verbs

#endif  // AGENT_VERBS_KERNEL_LOG_H_
