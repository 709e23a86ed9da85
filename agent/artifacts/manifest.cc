// SPDX-License-Identifier: Apache-2.0
#include "agent/artifacts/manifest.h"

#include <openssl/sha.h>

#include <algorithm>
#include <atomic>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/synchronization/mutex.h"
#include "agent/artifacts/parallel.h"
#include "agent/host/json.h"
#include "common/status_macros.h"
#include "common/string_views.h"

namespace npufleet::artifacts {
namespace {

constexpr int kFormat = 1;

std::string Join(std::string_view folder, std::string_view path) {
  return absl::StrCat(std::string(folder), "/", std::string(path));
}

// Counts the bytes of whole files for the progress of several threads.
class Meter {
 public:
  Meter(const FetchCallbacks& callbacks, uint64_t total) : callbacks_(callbacks), total_(total) {}
  void Add(uint64_t bytes) {
    absl::MutexLock lock(&mutex_);
    done_ += bytes;
    if (callbacks_.progress) callbacks_.progress(done_, total_);
  }
  absl::Status Cancelled() const {
    return callbacks_.cancelled && callbacks_.cancelled()
               ? absl::CancelledError("hashing: cancelled")
               : absl::OkStatus();
  }

 private:
  const FetchCallbacks& callbacks_;
  const uint64_t total_;
  absl::Mutex mutex_;
  uint64_t done_ = 0;
};

bool IsOurs(const std::string& name) {
  return name == kManifestName || absl::EndsWith(name, ".part") ||
         absl::EndsWith(name, ".part.json");
}

absl::Status ListFiles(const host::Filesystem& filesystem, const std::string& folder,
                       const std::string& prefix, std::vector<ManifestFile>& files) {
  ASSIGN_OR_RETURN(const std::vector<std::string> names, filesystem.List(folder));
  for (const std::string& name : names) {
    const std::string path = Join(folder, name);
    ASSIGN_OR_RETURN(const host::FileInfo info, filesystem.Stat(path));
    if (info.is_directory) {
      // A link to a folder may lead back up.
      if (!info.is_symlink) {
        RETURN_IF_ERROR(ListFiles(filesystem, path, absl::StrCat(prefix, name, "/"), files));
      }
    } else if (!IsOurs(name)) {
      files.push_back(
          {absl::StrCat(prefix, name), info.size_bytes, absl::ToUnixNanos(info.modified), ""});
    }
  }
  return absl::OkStatus();
}

}  // namespace

bool IsOfHub(std::string_view path) {
  if (path == "configuration.json") return true;
  for (const absl::string_view part : absl::StrSplit(Absl(path), '/')) {
    if (absl::StartsWith(part, ".")) return true;
  }
  const std::string name = absl::AsciiStrToUpper(Absl(path.substr(path.rfind('/') + 1)));
  for (const char* paper : {"README", "LICENSE", "NOTICE", "USE_POLICY"}) {
    if (absl::StartsWith(name, paper)) return true;
  }
  for (const char* suffix : {".MD", ".PDF", ".PNG", ".JPG", ".JPEG", ".GIF", ".SVG", ".WEBP"}) {
    if (absl::EndsWith(name, suffix)) return true;
  }
  return false;
}

std::string Manifest::Digest() const {
  std::vector<std::string> lines;
  for (const ManifestFile& file : files) {
    if (IsOfHub(file.path)) continue;
    // JSON keeps a path with a line end or a space from looking like two fields.
    lines.push_back(host::WriteJson({file.path, file.size_bytes, file.sha256}) + "\n");
  }
  std::sort(lines.begin(), lines.end());
  std::string all;
  for (const std::string& line : lines) all += line;
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(all.data()), all.size(), digest);
  return absl::StrCat("sha256:", absl::BytesToHexString(absl::string_view(
                                     reinterpret_cast<const char*>(digest), sizeof(digest))));
}

uint64_t Manifest::TotalBytes() const {
  uint64_t total = 0;
  for (const ManifestFile& file : files) total += file.size_bytes;
  return total;
}

const ManifestFile* Manifest::Find(std::string_view path) const {
  auto found = std::find_if(files.begin(), files.end(),
                            [&](const ManifestFile& file) { return file.path == path; });
  return found == files.end() ? nullptr : &*found;
}

void Manifest::Sort() {
  std::sort(files.begin(), files.end(),
            [](const ManifestFile& a, const ManifestFile& b) { return a.path < b.path; });
}

absl::StatusOr<Manifest> ReadManifest(const host::Filesystem& filesystem, std::string_view folder) {
  const std::string path = Join(folder, kManifestName);
  ASSIGN_OR_RETURN(const std::string text, filesystem.Read(path));
  const host::Json json = host::ParseJson(text);
  const host::Json& list = host::Member(json, "files");
  if (host::NumberOf(json, "format") != kFormat || !list.is_array()) {
    return absl::DataLossError(absl::StrCat(path, " is no manifest of ours"));
  }
  Manifest manifest;
  manifest.source = host::TextOf(json, "source");
  manifest.written_digest = host::TextOf(json, "digest");
  for (const host::Json& entry : list) {
    manifest.files.push_back({host::TextOf(entry, "path"),
                              static_cast<uint64_t>(host::NumberOf(entry, "size")),
                              host::NumberOf(entry, "modified_ns"), host::TextOf(entry, "sha256")});
  }
  manifest.Sort();
  return manifest;
}

absl::Status WriteManifest(const host::Filesystem& filesystem, std::string_view folder,
                           const Manifest& manifest) {
  host::Json list = host::Json::array();
  for (const ManifestFile& file : manifest.files) {
    list.push_back({{"path", file.path},
                    {"size", file.size_bytes},
                    {"modified_ns", file.modified_ns},
                    {"sha256", file.sha256}});
  }
  const host::Json json = {{"format", kFormat},
                           {"source", manifest.source},
                           {"digest", manifest.Digest()},
                           {"files", list}};
  return filesystem.Write(Join(folder, kManifestName), host::WriteJson(json, 1) + "\n");
}

std::vector<std::string> QuickCompare(const host::Filesystem& filesystem, std::string_view folder,
                                      const Manifest& manifest) {
  std::vector<std::string> wrong;
  for (const ManifestFile& file : manifest.files) {
    const auto info = filesystem.Stat(Join(folder, file.path));
    if (!info.ok() || info->is_directory) {
      wrong.push_back(absl::StrCat(file.path, ": missing"));
    } else if (info->size_bytes != file.size_bytes) {
      wrong.push_back(
          absl::StrCat(file.path, ": ", info->size_bytes, " bytes instead of ", file.size_bytes));
    } else if (absl::ToUnixNanos(info->modified) != file.modified_ns) {
      wrong.push_back(absl::StrCat(file.path, ": changed since it was verified"));
    }
  }
  return wrong;
}

absl::StatusOr<std::vector<std::string>> FullCompare(host::Host& host, std::string_view folder,
                                                     const Manifest& manifest, size_t threads,
                                                     const FetchCallbacks& callbacks) {
  Meter meter(callbacks, manifest.TotalBytes());
  std::vector<std::string> verdicts(manifest.files.size());
  RETURN_IF_ERROR(RunParallel(
      manifest.files.size(), threads, [&](size_t index, const std::atomic<bool>&) -> absl::Status {
        RETURN_IF_ERROR(meter.Cancelled());
        const ManifestFile& file = manifest.files[index];
        const std::string path = Join(folder, file.path);
        const auto info = host.filesystem->Stat(path);
        if (!info.ok() || info->is_directory) {
          verdicts[index] = absl::StrCat(file.path, ": missing");
        } else if (info->size_bytes != file.size_bytes) {
          verdicts[index] = absl::StrCat(file.path, ": ", info->size_bytes, " bytes instead of ",
                                         file.size_bytes);
        } else {
          ASSIGN_OR_RETURN(const std::string digest, host.filesystem->Sha256(path));
          if (digest != file.sha256) {
            verdicts[index] =
                absl::StrCat(file.path, ": sha256 ", digest, " instead of ", file.sha256);
          }
        }
        meter.Add(file.size_bytes);
        return absl::OkStatus();
      }));
  std::erase(verdicts, "");
  return verdicts;
}

absl::StatusOr<Manifest> HashFolder(host::Host& host, std::string_view folder, size_t threads,
                                    const FetchCallbacks& callbacks) {
  Manifest manifest;
  RETURN_IF_ERROR(ListFiles(*host.filesystem, std::string(folder), "", manifest.files));
  manifest.Sort();
  Meter meter(callbacks, manifest.TotalBytes());
  RETURN_IF_ERROR(RunParallel(
      manifest.files.size(), threads, [&](size_t index, const std::atomic<bool>&) -> absl::Status {
        RETURN_IF_ERROR(meter.Cancelled());
        ManifestFile& file = manifest.files[index];
        ASSIGN_OR_RETURN(file.sha256, host.filesystem->Sha256(Join(folder, file.path)));
        meter.Add(file.size_bytes);
        return absl::OkStatus();
      }));
  return manifest;
}

absl::StatusOr<ManifestFile> DescribeFile(const host::Filesystem& filesystem,
                                          std::string_view folder, const std::string& path,
                                          const std::string& sha256) {
  ASSIGN_OR_RETURN(const host::FileInfo info, filesystem.Stat(Join(folder, path)));
  return ManifestFile{path, info.size_bytes, absl::ToUnixNanos(info.modified), sha256};
}

}  // namespace npufleet::artifacts
