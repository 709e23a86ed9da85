// SPDX-License-Identifier: Apache-2.0
#include "agent/host/filesystem.h"

#include <dirent.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <system_error>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/durable_folders.h"
#include "common/status_macros.h"

namespace npufleet::host {
namespace {

namespace fs = std::filesystem;

absl::Status ErrorOf(int error, std::string_view what, std::string_view path) {
  return absl::ErrnoToStatus(error, absl::StrCat(std::string(what), " ", std::string(path)));
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  bool ok() const { return fd_ >= 0; }
  int Close() {
    int result = close(fd_);
    fd_ = -1;
    return result;
  }

 private:
  int fd_;
};

std::string FolderOf(std::string_view path) {
  size_t slash = path.rfind('/');
  if (slash == std::string_view::npos || slash == 0) return "/";
  return std::string(path.substr(0, slash));
}

absl::Status WriteAll(int fd, std::string_view content, std::string_view path) {
  while (!content.empty()) {
    ssize_t written = write(fd, content.data(), content.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      return ErrorOf(errno, "writing", path);
    }
    content.remove_prefix(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

FileInfo FromStat(const struct stat& from) {
  FileInfo info;
  info.size_bytes = static_cast<uint64_t>(from.st_size);
  info.modified = absl::TimeFromTimespec(from.st_mtim);
  info.is_directory = S_ISDIR(from.st_mode);
  info.is_symlink = S_ISLNK(from.st_mode);
  info.is_character_device = S_ISCHR(from.st_mode);
  info.mode = from.st_mode & 07777;
  info.uid = from.st_uid;
  info.gid = from.st_gid;
  return info;
}

}  // namespace

AppendFile::~AppendFile() { close(fd_); }

absl::Status AppendFile::Append(std::string_view bytes) { return WriteAll(fd_, bytes, path_); }

absl::Status AppendFile::Truncate(uint64_t size_bytes) {
  if (ftruncate(fd_, static_cast<off_t>(size_bytes)) == 0) return absl::OkStatus();
  return ErrorOf(errno, "cutting", path_);
}

absl::Status AppendFile::Sync() {
  return fsync(fd_) == 0 ? absl::OkStatus() : ErrorOf(errno, "fsync of", path_);
}

uint64_t AppendFile::size_bytes() const {
  struct stat found;
  return fstat(fd_, &found) == 0 ? static_cast<uint64_t>(found.st_size) : 0;
}

Filesystem::Filesystem(std::string root) : root_(std::move(root)) {
  while (root_.size() > 1 && root_.back() == '/') root_.pop_back();
  if (root_.empty()) root_ = "/";
}

std::string Filesystem::Real(std::string_view path) const {
  if (root_ == "/") return std::string(path);
  return absl::StrCat(root_, path.empty() || path[0] != '/' ? "/" : "", std::string(path));
}

absl::StatusOr<std::string> Filesystem::Read(std::string_view path, size_t max_bytes) const {
  const std::string real = Real(path);
  Descriptor fd(open(real.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.ok()) return ErrorOf(errno, "opening", path);
  std::string content;
  char buffer[65536];
  for (;;) {
    ssize_t count = read(fd.get(), buffer, sizeof(buffer));
    if (count < 0) {
      if (errno == EINTR) continue;
      return ErrorOf(errno, "reading", path);
    }
    if (count == 0) return content;
    if (content.size() + static_cast<size_t>(count) > max_bytes) {
      return absl::ResourceExhaustedError(
          absl::StrCat("reading ", std::string(path), ": longer than ", max_bytes, " bytes"));
    }
    content.append(buffer, static_cast<size_t>(count));
  }
}

absl::Status Filesystem::Write(std::string_view path, std::string_view content,
                               uint32_t mode) const {
  const std::string real = Real(path);
  const std::string folder = FolderOf(real);
  RETURN_IF_ERROR(MakeFoldersDurably(folder));

  std::string temporary = absl::StrCat(folder, "/.", real.substr(real.rfind('/') + 1), ".XXXXXX");
  Descriptor fd(mkostemp(temporary.data(), O_CLOEXEC));
  if (!fd.ok()) return ErrorOf(errno, "making a temporary file for", path);
  absl::Status status = WriteAll(fd.get(), content, path);
  if (status.ok() && fchmod(fd.get(), mode) != 0) status = ErrorOf(errno, "setting mode of", path);
  if (status.ok() && fsync(fd.get()) != 0) status = ErrorOf(errno, "fsync of", path);
  if (fd.Close() != 0 && status.ok()) status = ErrorOf(errno, "closing", path);
  if (status.ok() && rename(temporary.c_str(), real.c_str()) != 0) {
    status = ErrorOf(errno, "renaming to", path);
  }
  if (!status.ok()) {
    unlink(temporary.c_str());
    return status;
  }
  return SyncFolder(folder);
}

absl::StatusOr<std::unique_ptr<AppendFile>> Filesystem::OpenToAppend(std::string_view path) const {
  const std::string real = Real(path);
  RETURN_IF_ERROR(MakeFoldersDurably(FolderOf(real)));
  const int fd = open(real.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd < 0) return ErrorOf(errno, "opening", path);
  return std::make_unique<AppendFile>(fd, std::string(path));
}

absl::StatusOr<FileInfo> Filesystem::Stat(std::string_view path) const {
  struct stat found;
  if (stat(Real(path).c_str(), &found) != 0) return ErrorOf(errno, "looking at", path);
  FileInfo info = FromStat(found);
  struct stat link;
  info.is_symlink = lstat(Real(path).c_str(), &link) == 0 && S_ISLNK(link.st_mode);
  return info;
}

absl::StatusOr<FileInfo> Filesystem::LinkStat(std::string_view path) const {
  struct stat found;
  if (lstat(Real(path).c_str(), &found) != 0) return ErrorOf(errno, "looking at", path);
  return FromStat(found);
}

bool Filesystem::Exists(std::string_view path) const {
  struct stat found;
  return stat(Real(path).c_str(), &found) == 0;
}

absl::StatusOr<std::vector<std::string>> Filesystem::List(std::string_view folder) const {
  std::unique_ptr<DIR, int (*)(DIR*)> directory(opendir(Real(folder).c_str()), closedir);
  if (directory == nullptr) return ErrorOf(errno, "listing", folder);
  std::vector<std::string> names;
  for (;;) {
    errno = 0;
    const dirent* entry = readdir(directory.get());
    if (entry == nullptr) {
      if (errno != 0) return ErrorOf(errno, "listing", folder);
      break;
    }
    std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(std::move(name));
  }
  std::sort(names.begin(), names.end());
  return names;
}

absl::Status Filesystem::MakeFolders(std::string_view path, uint32_t mode) const {
  std::error_code error;
  if (fs::is_directory(Real(path), error)) return absl::OkStatus();
  RETURN_IF_ERROR(MakeFoldersDurably(Real(path)));
  return SetMode(path, mode);
}

absl::Status Filesystem::Remove(std::string_view path) const {
  if (unlink(Real(path).c_str()) == 0) return SyncFolder(FolderOf(Real(path)));
  return errno == ENOENT || errno == ENOTDIR ? absl::OkStatus() : ErrorOf(errno, "removing", path);
}

absl::Status Filesystem::RemoveAll(std::string_view path) const {
  std::error_code error;
  fs::remove_all(Real(path), error);
  if (error) return ErrorOf(error.value(), "removing", path);
  return absl::OkStatus();
}

absl::Status Filesystem::Rename(std::string_view from, std::string_view to) const {
  if (rename(Real(from).c_str(), Real(to).c_str()) != 0) {
    return ErrorOf(errno, absl::StrCat("renaming ", std::string(from), " to"), to);
  }
  return SyncFolder(FolderOf(Real(to)));
}

absl::Status Filesystem::SetMode(std::string_view path, uint32_t mode) const {
  if (chmod(Real(path).c_str(), mode) != 0) return ErrorOf(errno, "setting mode of", path);
  return absl::OkStatus();
}

absl::StatusOr<DiskSpace> Filesystem::Space(std::string_view path) const {
  std::string real = Real(path);
  struct statvfs space;
  while (statvfs(real.c_str(), &space) != 0) {
    if ((errno != ENOENT && errno != ENOTDIR) || real == "/") {
      return ErrorOf(errno, "asking the free space of", path);
    }
    real = FolderOf(real);
  }
  return DiskSpace{.free_bytes = static_cast<uint64_t>(space.f_bavail) * space.f_frsize,
                   .total_bytes = static_cast<uint64_t>(space.f_blocks) * space.f_frsize};
}

absl::StatusOr<std::string> Filesystem::Sha256(std::string_view path) const {
  Descriptor fd(open(Real(path).c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.ok()) return ErrorOf(errno, "opening", path);
  posix_fadvise(fd.get(), 0, 0, POSIX_FADV_SEQUENTIAL);
  std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  if (context == nullptr || EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr) != 1) {
    return absl::InternalError("no SHA-256 in this OpenSSL");
  }
  std::string buffer(1 << 20, '\0');
  for (;;) {
    ssize_t count = read(fd.get(), buffer.data(), buffer.size());
    if (count < 0) {
      if (errno == EINTR) continue;
      return ErrorOf(errno, "reading", path);
    }
    if (count == 0) break;
    EVP_DigestUpdate(context.get(), buffer.data(), static_cast<size_t>(count));
  }
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int length = 0;
  EVP_DigestFinal_ex(context.get(), digest, &length);
  return absl::BytesToHexString(absl::string_view(reinterpret_cast<const char*>(digest), length));
}

}  // namespace npufleet::host
