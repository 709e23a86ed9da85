// SPDX-License-Identifier: Apache-2.0
//
// What a server that is gone said last: read once it is, from the end of its log.
#ifndef AGENT_VERBS_START_ENGINE_LAST_WORDS_H_
#define AGENT_VERBS_START_ENGINE_LAST_WORDS_H_

#include <optional>
#include <string_view>

#include "agent/verbs/verb.h"

namespace npufleet::verbs {

// The cause in the newest of the server's logs in the running container, else what the kernel of
// this node said about then (that it killed a process of the container for want of memory). Its
// signature is empty where a server whose process or rank was killed from outside says the same, so
// that only what a server does to itself counts against it. Nothing: there is no log, or nothing in
// its end is known. Costs two execs in the container; one and journalctl more without a cause.
std::optional<v1::Failure> LastWords(host::Host& host, std::string_view container);

}  // namespace npufleet::verbs

#endif  // AGENT_VERBS_START_ENGINE_LAST_WORDS_H_
