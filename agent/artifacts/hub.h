// SPDX-License-Identifier: Apache-2.0
//
// What a model hub has of a model: the list of its files with their sizes, digests and URLs.
#ifndef AGENT_ARTIFACTS_HUB_H_
#define AGENT_ARTIFACTS_HUB_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "agent/host/host.h"
#include "npufleet/v1/spec.pb.h"

namespace npufleet::artifacts {

enum class HubKind { kModelScope, kHuggingFace, kModelers };

struct HubFile {
  std::string path;  // relative, without ".."
  uint64_t size_bytes = 0;
  std::string sha256;  // empty when the hub does not tell (Hugging Face: files outside LFS)
  std::string url;
  std::string git_blob = {};  // then git's id of the content (git_blob.h), when the hub tells that
};

// Sorted by path; .gitattributes and .gitignore are left out, so that a model is the same from
// either hub.
//   ModelScope: GET {endpoint}/api/v1/models/ID/repo/files?Revision=master&Recursive=True
//   Hugging Face: GET {endpoint}/api/models/ID/tree/main?recursive=true, page by page
//   Modelers: GET {endpoint}/api/v1/file/ID?ref=main&path=FOLDER, folder by folder
// 429 and 503 with a Retry-After of up to two minutes are waited for, three times.
// Errors carry a v1::Failure: CONFIG (no such model, refused, token file unfit), TRANSIENT (429,
// 5xx, no answer).
absl::StatusOr<std::vector<HubFile>> ListHubFiles(host::Host& host, HubKind kind,
                                                  const v1::Model::Hub& hub,
                                                  const host::Cancelled& cancelled);

// The Authorization header of hub.token_file(), or none without one. CONFIG when it cannot be read
// or others than its owner may read it. Never to be logged.
absl::StatusOr<std::map<std::string, std::string>> HubHeaders(host::Host& host,
                                                              const v1::Model::Hub& hub);

}  // namespace npufleet::artifacts

#endif  // AGENT_ARTIFACTS_HUB_H_
