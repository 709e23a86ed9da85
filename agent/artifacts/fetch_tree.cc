// SPDX-License-Identifier: Apache-2.0
#include "agent/artifacts/fetch_tree.h"

#include <atomic>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "agent/artifacts/git_blob.h"
#include "agent/artifacts/parallel.h"
#include "common/status_macros.h"

namespace npufleet::artifacts {
namespace {

class TreeFetch {
 public:
  TreeFetch(host::Host& host, const std::vector<HubFile>& files, std::string_view folder,
            const FetchTreeOptions& options, const FetchCallbacks& callbacks)
      : host_(host),
        files_(files),
        folder_(folder),
        options_(options),
        callbacks_(callbacks),
        done_(files.size()) {
    for (const HubFile& file : files) total_ += file.size_bytes;
    known_ = ReadManifest(*host.filesystem, folder).value_or(Manifest());
  }

  absl::StatusOr<Manifest> Run();

 private:
  std::string PathOf(const HubFile& file) const { return absl::StrCat(folder_, "/", file.path); }
  uint64_t MissingBytes() const;
  bool IsVouchedFor(const HubFile& file) const;
  absl::Status FetchOne(size_t index, const std::atomic<bool>& failed);
  void Report(size_t index, uint64_t done);

  host::Host& host_;
  const std::vector<HubFile>& files_;
  const std::string folder_;
  const FetchTreeOptions& options_;
  const FetchCallbacks& callbacks_;
  uint64_t total_ = 0;
  Manifest known_;  // of a former call
  absl::Mutex mutex_;
  std::vector<uint64_t> done_;  // bytes of each file
  uint64_t all_done_ = 0;
  Manifest manifest_;
};

uint64_t TreeFetch::MissingBytes() const {
  uint64_t missing = 0;
  for (const HubFile& file : files_) {
    uint64_t there = 0;
    for (const std::string& path : {PathOf(file), PathOf(file) + ".part"}) {
      if (const auto info = host_.filesystem->Stat(path); info.ok()) there += info->size_bytes;
    }
    if (there < file.size_bytes) missing += file.size_bytes - there;
  }
  return missing;
}

bool TreeFetch::IsVouchedFor(const HubFile& file) const {
  const ManifestFile* known = known_.Find(file.path);
  if (known == nullptr || known->size_bytes != file.size_bytes) return false;
  if (!file.sha256.empty() && known->sha256 != file.sha256) return false;
  const auto now = DescribeFile(*host_.filesystem, folder_, file.path, known->sha256);
  if (!now.ok() || !(*now == *known)) return false;
  // The manifest holds no such id, so that its digest is the same from every hub. These are small.
  return file.git_blob.empty() ||
         GitBlobId(*host_.filesystem, PathOf(file)).value_or("") == file.git_blob;
}

void TreeFetch::Report(size_t index, uint64_t done) {
  absl::MutexLock lock(&mutex_);
  all_done_ += done - done_[index];  // less after a start from the beginning
  done_[index] = done;
  if (callbacks_.progress) callbacks_.progress(all_done_, total_);
}

absl::Status TreeFetch::FetchOne(size_t index, const std::atomic<bool>& failed) {
  const HubFile& file = files_[index];
  std::string sha256 = file.sha256;
  if (IsVouchedFor(file)) {
    sha256 = known_.Find(file.path)->sha256;
    Report(index, file.size_bytes);
  } else {
    FileRequest request;
    request.url = file.url;
    request.sha256 = file.sha256;
    request.git_blob = file.git_blob;
    request.size_bytes = file.size_bytes;
    request.headers = options_.headers;
    FetchCallbacks callbacks;
    callbacks.log = [this](std::string_view line) {
      absl::MutexLock lock(&mutex_);
      if (callbacks_.log) callbacks_.log(line);
    };
    callbacks.progress = [&](uint64_t done, uint64_t) { Report(index, done); };
    callbacks.cancelled = [&] {
      return failed || (callbacks_.cancelled && callbacks_.cancelled());
    };
    RETURN_IF_ERROR(FetchFile(host_, request, PathOf(file), callbacks));
    if (sha256.empty()) {
      ASSIGN_OR_RETURN(sha256, host_.filesystem->Sha256(PathOf(file)));
    }
  }
  ASSIGN_OR_RETURN(ManifestFile entry, DescribeFile(*host_.filesystem, folder_, file.path, sha256));
  absl::MutexLock lock(&mutex_);
  manifest_.files.push_back(std::move(entry));
  return absl::OkStatus();
}

absl::StatusOr<Manifest> TreeFetch::Run() {
  RETURN_IF_ERROR(CheckSpace(*host_.filesystem, folder_, MissingBytes()));
  RETURN_IF_ERROR(host_.filesystem->MakeFolders(folder_));
  RETURN_IF_ERROR(RunParallel(
      files_.size(), options_.parallel_files,
      [this](size_t index, const std::atomic<bool>& failed) { return FetchOne(index, failed); }));
  manifest_.source = options_.source;
  manifest_.Sort();
  RETURN_IF_ERROR(WriteManifest(*host_.filesystem, folder_, manifest_));
  return std::move(manifest_);
}

}  // namespace

absl::StatusOr<Manifest> FetchTree(host::Host& host, const std::vector<HubFile>& files,
                                   std::string_view folder, const FetchTreeOptions& options,
                                   const FetchCallbacks& callbacks) {
  return TreeFetch(host, files, folder, options, callbacks).Run();
}

}  // namespace npufleet::artifacts
