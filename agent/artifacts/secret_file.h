// SPDX-License-Identifier: Apache-2.0
//
// A secret that an operator put on the node: a file of mode 0600, named by the spec. Its content
// goes into requests and files of the same mode, never into a log, an argument or an observation.
#ifndef AGENT_ARTIFACTS_SECRET_FILE_H_
#define AGENT_ARTIFACTS_SECRET_FILE_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "agent/host/host.h"

namespace npufleet::artifacts {

// `what` says what is in it ("the hub's token"). A CONFIG failure without the file, when it is
// empty, and when others than its owner may read it.
absl::StatusOr<std::string> ReadSecretFile(host::Host& host, const std::string& path,
                                           std::string_view what);

}  // namespace npufleet::artifacts

#endif  // AGENT_ARTIFACTS_SECRET_FILE_H_
