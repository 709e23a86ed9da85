// SPDX-License-Identifier: Apache-2.0
//
// The node's file system, rooted: production code says /etc/docker/daemon.json, and with the root
// /tmp/x that is /tmp/x/etc/docker/daemon.json. Paths are absolute. Threadsafe.
#ifndef AGENT_HOST_FILESYSTEM_H_
#define AGENT_HOST_FILESYSTEM_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace npufleet::host {

struct FileInfo {
  uint64_t size_bytes = 0;
  absl::Time modified;
  bool is_directory = false;
  bool is_symlink = false;
  bool is_character_device = false;
  uint32_t mode = 0;  // permission bits
  uint32_t uid = 0;
  uint32_t gid = 0;
};

struct DiskSpace {
  uint64_t free_bytes = 0;  // for an unprivileged writer
  uint64_t total_bytes = 0;
};

// A file that is written at its end. One thread at a time.
class AppendFile {
 public:
  AppendFile(int descriptor, std::string path) : fd_(descriptor), path_(std::move(path)) {}
  ~AppendFile();
  AppendFile(const AppendFile&) = delete;
  AppendFile& operator=(const AppendFile&) = delete;

  absl::Status Append(std::string_view bytes);  // ENOSPC is ResourceExhausted
  absl::Status Truncate(uint64_t size_bytes);
  absl::Status Sync();  // fsync
  uint64_t size_bytes() const;

 private:
  int fd_;
  std::string path_;
};

class Filesystem {
 public:
  explicit Filesystem(std::string root = "/");

  const std::string& root() const { return root_; }
  // Where `path` really is: what a child process has to be told.
  std::string Real(std::string_view path) const;

  absl::StatusOr<std::string> Read(std::string_view path, size_t max_bytes = 64 << 20) const;
  // Temporary file, fsync, rename, fsync of the folder: after a crash the old or the new content is
  // there. Makes missing folders. Keeps nothing behind on failure; ENOSPC is ResourceExhausted.
  absl::Status Write(std::string_view path, std::string_view content, uint32_t mode = 0644) const;
  // Makes the file and missing folders; what is in it stays.
  absl::StatusOr<std::unique_ptr<AppendFile>> OpenToAppend(std::string_view path) const;
  absl::StatusOr<FileInfo> Stat(std::string_view path) const;  // follows symlinks; NotFound
  absl::StatusOr<FileInfo> LinkStat(std::string_view path) const;
  bool Exists(std::string_view path) const;
  absl::StatusOr<std::vector<std::string>> List(std::string_view folder) const;  // names, sorted
  absl::Status MakeFolders(std::string_view path, uint32_t mode = 0755) const;
  absl::Status Remove(std::string_view path) const;                       // a file; absent is OK
  absl::Status RemoveAll(std::string_view path) const;                    // a tree; absent is OK
  absl::Status Rename(std::string_view from, std::string_view to) const;  // and fsync of the folder
  absl::Status SetMode(std::string_view path, uint32_t mode) const;
  // Space on the filesystem of `path`, or of its nearest existing parent.
  absl::StatusOr<DiskSpace> Space(std::string_view path) const;
  // Lower-case hex. Reads the whole file.
  absl::StatusOr<std::string> Sha256(std::string_view path) const;

 private:
  std::string root_;
};

}  // namespace npufleet::host

#endif  // AGENT_HOST_FILESYSTEM_H_
