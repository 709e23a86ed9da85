// SPDX-License-Identifier: Apache-2.0
//
// All files of a model into its folder, several at a time, resumed and verified one by one.
#ifndef AGENT_ARTIFACTS_FETCH_TREE_H_
#define AGENT_ARTIFACTS_FETCH_TREE_H_

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "agent/artifacts/fetch.h"
#include "agent/artifacts/hub.h"
#include "agent/artifacts/manifest.h"
#include "agent/host/host.h"

namespace npufleet::artifacts {

struct FetchTreeOptions {
  size_t parallel_files = 4;
  std::map<std::string, std::string> headers;  // of HubHeaders
  std::string source;                          // kept in the manifest
};

// What a former call left, finished or not, is used; a file that the manifest of the folder vouches
// for is not read again. Room for all that is missing is checked first. At the end the manifest is
// written and returned. Progress counts the bytes of all files; callbacks are called one at a time.
// Errors as FetchFile's, of the first file that failed.
absl::StatusOr<Manifest> FetchTree(host::Host& host, const std::vector<HubFile>& files,
                                   std::string_view folder, const FetchTreeOptions& options,
                                   const FetchCallbacks& callbacks);

}  // namespace npufleet::artifacts

#endif  // AGENT_ARTIFACTS_FETCH_TREE_H_
