// SPDX-License-Identifier: Apache-2.0
//
// What was verified of a model's folder: each file with size, time and sha256. It stands in the
// folder as .npufleet-manifest.json and lets a Check compare without reading hundreds of GB.
#ifndef AGENT_ARTIFACTS_MANIFEST_H_
#define AGENT_ARTIFACTS_MANIFEST_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agent/artifacts/fetch.h"
#include "agent/host/host.h"

namespace npufleet::artifacts {

inline constexpr std::string_view kManifestName = ".npufleet-manifest.json";

struct ManifestFile {
  std::string path;  // relative to the folder
  uint64_t size_bytes = 0;
  int64_t modified_ns = 0;  // since 1970
  std::string sha256;
  bool operator==(const ManifestFile&) const = default;
};

struct Manifest {
  std::string source;  // what it was made from, as the caller names it; not in the digest
  std::vector<ManifestFile> files;  // sorted by path
  // Digest() when it was written, maybe by an agent that went by other files; empty: it was not
  // read.
  std::string written_digest;

  // "sha256:…" over path, size and sha256 of the files that a server may read: equal on all nodes
  // that have the same model, from whatever hub (IsOfHub).
  std::string Digest() const;
  uint64_t TotalBytes() const;
  const ManifestFile* Find(std::string_view path) const;
  void Sort();
};

// Papers, pictures and what a hub or its client keeps for itself: README.md, LICENSE,
// .gitattributes, .cache/…, ModelScope's configuration.json. No server reads them, and hubs differ
// in them.
bool IsOfHub(std::string_view path);

// NotFound without one; DataLoss when it cannot be read as one.
absl::StatusOr<Manifest> ReadManifest(const host::Filesystem& filesystem, std::string_view folder);
// Durable. The files that it vouches for must have been fsynced before.
absl::Status WriteManifest(const host::Filesystem& filesystem, std::string_view folder,
                           const Manifest& manifest);

// Each file that is not as the manifest says, with how: "a.safetensors: missing", "b: 3 bytes
// instead of 4". Sizes and times only. Files that the manifest does not name do not matter.
std::vector<std::string> QuickCompare(const host::Filesystem& filesystem, std::string_view folder,
                                      const Manifest& manifest);

// The same by reading: sizes and sha256, whatever the times say. Cancelled as such.
absl::StatusOr<std::vector<std::string>> FullCompare(host::Host& host, std::string_view folder,
                                                     const Manifest& manifest, size_t threads,
                                                     const FetchCallbacks& callbacks);

// Reads and hashes all regular files under `folder`, except the manifest and unfinished downloads.
// NotFound without the folder.
absl::StatusOr<Manifest> HashFolder(host::Host& host, std::string_view folder, size_t threads,
                                    const FetchCallbacks& callbacks);

// The entry of a file that is there and has this digest.
absl::StatusOr<ManifestFile> DescribeFile(const host::Filesystem& filesystem,
                                          std::string_view folder, const std::string& path,
                                          const std::string& sha256);

}  // namespace npufleet::artifacts

#endif  // AGENT_ARTIFACTS_MANIFEST_H_
