// SPDX-License-Identifier: Apache-2.0
//
// The mark of an installing verb: /var/lib/npufleet/agent/marks/VERB. Apply writes it before its
// first change; the runner removes it once a Check after the Apply said PRESENT or reboot_needed.
// So a mark tells that an install began and was never seen to be whole.
//
// A Check that finds the mark answers ABSENT ("torn"), unless Apply of this same Verb object wrote
// it: the runner asks that object for the second Check while the mark still stands. The observer
// asks no task whose operation lives.
#ifndef AGENT_VERBS_MARK_H_
#define AGENT_VERBS_MARK_H_

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "agent/host/host.h"

namespace npufleet::verbs {

// `verb` is the name of the verb's field in v1::Verb ("install_driver"). `what` says what is about
// to be installed, for people. On disk (fsync) when this returns.
absl::Status WriteMark(host::Host& host, std::string_view verb, std::string_view what);

// What the mark says; nothing when there is none.
std::optional<std::string> ReadMark(host::Host& host, std::string_view verb);

absl::Status RemoveMark(host::Host& host, std::string_view verb);  // no mark is OK

}  // namespace npufleet::verbs

#endif  // AGENT_VERBS_MARK_H_
