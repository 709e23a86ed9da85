// SPDX-License-Identifier: Apache-2.0
#include "common/tls/identity.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "common/durable_folders.h"
#include "common/status_macros.h"
#include "common/tls/certificate_authority.h"

namespace npufleet::tls {
namespace {

constexpr size_t kMaxFileBytes = 1 << 20;

absl::Status FileError(const std::string& what, const std::string& path) {
  return absl::ErrnoToStatus(errno, absl::StrCat(what, " ", path));
}

class File {
 public:
  explicit File(int descriptor) : descriptor_(descriptor) {}
  ~File() {
    if (descriptor_ >= 0) close(descriptor_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  int get() const { return descriptor_; }

 private:
  int descriptor_;
};

absl::Status WriteAndSync(int descriptor, const std::string& content, const std::string& path) {
  size_t written = 0;
  while (written < content.size()) {
    const ssize_t count = write(descriptor, content.data() + written, content.size() - written);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return FileError("writing", path);
    written += static_cast<size_t>(count);
  }
  if (fsync(descriptor) != 0) return FileError("syncing", path);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> ReadWholeFile(const std::string& path) {
  File file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) return FileError("reading", path);
  std::string content;
  char buffer[16384];
  while (true) {
    const ssize_t count = read(file.get(), buffer, sizeof buffer);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return FileError("reading", path);
    if (count == 0) return content;
    content.append(buffer, static_cast<size_t>(count));
    if (content.size() > kMaxFileBytes) {
      return absl::InvalidArgumentError(absl::StrCat(path, " is larger than a megabyte"));
    }
  }
}

absl::Status WriteFileAtomically(const std::string& path, const std::string& content,
                                 unsigned mode) {
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  const std::string temporary = absl::StrCat(path, ".new.", getpid());
  absl::Status status;
  {
    unlink(temporary.c_str());
    File file(open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode));
    if (file.get() < 0) return FileError("creating", temporary);
    // The umask may have taken bits away that the caller wants.
    if (fchmod(file.get(), mode) != 0) status = FileError("setting the mode of", temporary);
    if (status.ok()) status = WriteAndSync(file.get(), content, temporary);
  }
  if (status.ok() && rename(temporary.c_str(), path.c_str()) != 0) {
    status = FileError("renaming to", path);
  }
  if (!status.ok()) {
    unlink(temporary.c_str());
    return status;
  }
  return SyncFolder(folder.empty() ? "." : folder.string());
}

absl::StatusOr<Identity> LoadIdentity(std::string_view ca, std::string_view certificate,
                                      std::string_view key) {
  Identity identity;
  ASSIGN_OR_RETURN(identity.ca_pem, ReadWholeFile(std::string(ca)));
  ASSIGN_OR_RETURN(identity.certificate_pem, ReadWholeFile(std::string(certificate)));
  ASSIGN_OR_RETURN(identity.key_pem, ReadWholeFile(std::string(key)));
  return identity;
}

absl::StatusOr<Identity> LoadIdentity(std::string_view directory) {
  const std::string folder(directory);
  return LoadIdentity(folder + "/ca.pem", folder + "/cert.pem", folder + "/key.pem");
}

absl::Status SaveIdentity(std::string_view directory, const Identity& identity) {
  const std::string folder(directory);
  RETURN_IF_ERROR(MakeFoldersDurably(folder));
  RETURN_IF_ERROR(WriteFileAtomically(folder + "/ca.pem", identity.ca_pem, 0644));
  RETURN_IF_ERROR(WriteFileAtomically(folder + "/key.pem", identity.key_pem, 0600));
  return WriteFileAtomically(folder + "/cert.pem", identity.certificate_pem, 0644);
}

bool NeedsRenewal(const std::string& certificate_pem, absl::Time now) {
  const absl::StatusOr<CertificateInfo> info = ReadCertificate(certificate_pem);
  if (!info.ok()) return true;
  return now >= info->not_before + (info->not_after - info->not_before) * 2 / 3;
}

}  // namespace npufleet::tls
