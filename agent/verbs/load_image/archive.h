// SPDX-License-Identifier: Apache-2.0
//
// What an archive of docker save holds, without loading it.
#ifndef AGENT_VERBS_LOAD_IMAGE_ARCHIVE_H_
#define AGENT_VERBS_LOAD_IMAGE_ARCHIVE_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "agent/host/host.h"

namespace npufleet::verbs {

struct ArchivedImage {
  std::string architecture;  // amd64, arm64; empty: not said
  std::vector<std::string> tags;
};

// By tar, which reads a compressed archive twice to its end: a minute for 10 GB. InvalidArgument,
// with the line that says so: it is no archive of docker save. Any other error means that it could
// not be seen; what it is is for docker load to say.
absl::StatusOr<std::vector<ArchivedImage>> InspectArchive(host::Host& host, const std::string& path,
                                                          const host::Cancelled& cancelled);

}  // namespace npufleet::verbs

#endif  // AGENT_VERBS_LOAD_IMAGE_ARCHIVE_H_
