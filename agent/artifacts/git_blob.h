// SPDX-License-Identifier: Apache-2.0
//
// The id that git gives the content of a file. Hugging Face lists it for what is not in LFS.
#ifndef AGENT_ARTIFACTS_GIT_BLOB_H_
#define AGENT_ARTIFACTS_GIT_BLOB_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "agent/host/host.h"

namespace npufleet::artifacts {

// 40 hex digits: of a repository with SHA-1, as all hubs' are.
bool IsGitBlobId(std::string_view text);

// SHA-1 over "blob SIZE\0" and the content, in lower-case hex. Reads the whole file.
absl::StatusOr<std::string> GitBlobId(const host::Filesystem& filesystem, std::string_view path);

}  // namespace npufleet::artifacts

#endif  // AGENT_ARTIFACTS_GIT_BLOB_H_
