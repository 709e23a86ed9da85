// SPDX-License-Identifier: Apache-2.0
//
// One file from its URL onto the node: resumed, verified, and only then under its own name.
#ifndef AGENT_ARTIFACTS_FETCH_H_
#define AGENT_ARTIFACTS_FETCH_H_

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "agent/host/host.h"
#include "common/shown_url.h"
#include "npufleet/v1/spec.pb.h"

namespace npufleet::artifacts {

// Each may be empty.
struct FetchCallbacks {
  std::function<void(std::string_view)> log;                    // lines without secrets
  std::function<void(uint64_t done, uint64_t total)> progress;  // bytes; total 0: not known
  host::Cancelled cancelled;
};

struct FileRequest {
  std::string url;
  std::string sha256;                          // empty: git_blob or the length is verified
  uint64_t size_bytes = 0;                     // 0: not known
  std::map<std::string, std::string> headers;  // never logged, never sent to another host
  std::string git_blob = {};                   // see git_blob.h; compared when there is no sha256
};

// Downloads into `target` + ".part" (what it is part of is in ".part.json"), compares, fsyncs and
// renames. An existing target with the right digest (without one: of the known size) is kept. What
// was there is resumed when the server still has the same file. Cut connections, timeouts, 429 and
// 5xx are tried again, 5 times without a new byte, waiting on the host's clock.
//
// Errors carry a v1::Failure: TRANSIENT (tried enough), CONFIG (no such file, refused, HTML instead
// of a file, wrong digest: the file is removed), NEEDS_OPERATOR (no room: names path, need and
// free). Cancelled as such.
absl::Status FetchFile(host::Host& host, const FileRequest& request, std::string_view target,
                       const FetchCallbacks& callbacks);

// The path at which the artifact is: `target`, or the URL itself when that is an absolute path (it
// is verified in place and never removed). Plain http without a sha256 is a CONFIG failure.
absl::StatusOr<std::string> FetchArtifact(host::Host& host, const v1::Artifact& artifact,
                                          std::string_view target, const FetchCallbacks& callbacks);

// OK when `need_bytes` and 5 % fit on the filesystem of `path`; otherwise NEEDS_OPERATOR.
absl::Status CheckSpace(const host::Filesystem& filesystem, std::string_view path,
                        uint64_t need_bytes);

using npufleet::ShownUrl;  // for all that is told about artifacts

}  // namespace npufleet::artifacts

#endif  // AGENT_ARTIFACTS_FETCH_H_
