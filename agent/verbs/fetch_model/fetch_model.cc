// SPDX-License-Identifier: Apache-2.0
#include "agent/verbs/fetch_model/fetch_model.h"

#include <atomic>
#include <map>
#include <optional>
#include <tuple>

#include "absl/base/thread_annotations.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "absl/synchronization/mutex.h"
#include "agent/artifacts/fetch_tree.h"
#include "agent/artifacts/hub.h"
#include "agent/artifacts/manifest.h"
#include "agent/host/json.h"
#include "agent/verbs/obs.h"
#include "agent/verbs/observation.h"
#include "agent/verbs/source_attempts.h"
#include "common/status_macros.h"

namespace npufleet::verbs {
namespace {

constexpr size_t kDefaultParallel = 4;
constexpr size_t kShownDifferences = 5;

// What the manifest keeps as its source. The endpoint is no part of it: a mirror has the same
// model.
std::string SourceName(const v1::Model::Source& source) {
  const auto of_hub = [](std::string_view name, const v1::Model::Hub& hub) {
    std::string text = absl::StrCat(std::string(name), ":", hub.id());
    if (!hub.revision().empty()) absl::StrAppend(&text, "@", hub.revision());
    return text;
  };
  if (source.has_modelscope()) return of_hub("modelscope", source.modelscope());
  if (source.has_hugging_face()) return of_hub("huggingface", source.hugging_face());
  if (source.has_modelers()) return of_hub("modelers", source.modelers());
  if (source.local_directory()) return "local";
  return source.obs();
}

// What files were found to hold, by path, size and the time of the last change. Kept in the
// process: each stream of the controller has Checks of its own, and a model is hundreds of
// gigabytes. One file is read at a time, so that no two of them read the same one. Threadsafe.
class KnownDigests {
 public:
  static KnownDigests& Instance() {
    static KnownDigests* instance = new KnownDigests;
    return *instance;
  }

  absl::StatusOr<std::string> Of(host::Host& host, const std::string& path,
                                 const host::FileInfo& info) {
    const Key key = {path, info.size_bytes, absl::ToUnixNanos(info.modified)};
    if (std::optional<std::string> known = Find(key)) return *known;
    absl::MutexLock reading(&reading_);
    if (std::optional<std::string> known = Find(key)) return *known;
    ASSIGN_OR_RETURN(const std::string digest, host.filesystem->Sha256(path));
    absl::MutexLock lock(&mutex_);
    digests_[key] = digest;
    return digest;
  }

 private:
  using Key = std::tuple<std::string, uint64_t, int64_t>;

  std::optional<std::string> Find(const Key& key) {
    absl::MutexLock lock(&mutex_);
    const auto known = digests_.find(key);
    if (known == digests_.end()) return std::nullopt;
    return known->second;
  }

  absl::Mutex reading_;
  absl::Mutex mutex_;
  std::map<Key, std::string> digests_ ABSL_GUARDED_BY(mutex_);
};

class FetchModel : public Verb {
 public:
  FetchModel(const v1::FetchModel& fetch, host::Host& host) : fetch_(fetch), host_(host) {}

  v1::Observation Check() override {
    absl::StatusOr<artifacts::Manifest> manifest =
        artifacts::ReadManifest(*host_.filesystem, fetch_.path());
    if (absl::IsNotFound(manifest.status())) {
      return Absent(absl::StrCat("no manifest in ", fetch_.path()));
    }
    if (absl::IsDataLoss(manifest.status())) {
      return Absent(std::string(manifest.status().message()));
    }
    if (!manifest.ok()) return Unknown(std::string(manifest.status().message()));
    if (!IsWantedSource(manifest->source)) {
      return Absent(absl::StrCat("the folder was made from ", manifest->source));
    }
    const absl::StatusOr<std::vector<std::string>> differences = Differences(*manifest);
    if (!differences.ok()) return Unknown(std::string(differences.status().message()));
    if (!differences->empty()) return Absent(Summary(*differences));
    // An agent that is upgraded makes no other model of the same files.
    v1::Observation observation = Present(manifest->written_digest);
    auto& facts = *observation.mutable_facts();
    facts["files"] = absl::StrCat(manifest->files.size());
    facts["bytes"] = absl::StrCat(manifest->TotalBytes());
    facts["source"] = manifest->source;
    return observation;
  }

  void AbandonCheck() override { abandoned_ = true; }

  absl::Status Apply(Execution& execution) override {
    SourceAttempts attempts(execution);
    for (const v1::Model::Source& source : fetch_.sources()) {
      if (execution.IsCancelled()) return absl::CancelledError();
      const std::string name = SourceName(source);
      execution.Log(absl::StrCat("source ", name));
      const absl::Status status = Bring(source, name, execution);
      if (status.ok()) return status;
      if (!attempts.MayGoOn(name, status)) break;
    }
    return attempts.Failure();
  }

  absl::Duration CheckPeriod() const override { return absl::Minutes(2); }

 private:
  bool IsWantedSource(const std::string& name) const {
    for (const v1::Model::Source& source : fetch_.sources()) {
      if (SourceName(source) == name) return true;
    }
    return false;
  }

  static std::string Summary(const std::vector<std::string>& differences) {
    const size_t shown = std::min(differences.size(), kShownDifferences);
    std::string text = absl::StrJoin(differences.begin(),
                                     differences.begin() + static_cast<ptrdiff_t>(shown), "; ");
    if (differences.size() > shown) {
      absl::StrAppend(&text, "; and ", differences.size() - shown, " more");
    }
    return text;
  }

  // An error: a file cannot be read, so that nobody knows whether it differs.
  absl::StatusOr<std::vector<std::string>> Differences(const artifacts::Manifest& manifest) {
    std::vector<std::string> differences;
    for (const artifacts::ManifestFile& file : manifest.files) {
      if (abandoned_) return absl::CancelledError("nobody waits for it");
      absl::StatusOr<std::string> difference = Difference(file);
      if (absl::IsNotFound(difference.status())) difference = "missing";
      RETURN_IF_ERROR(difference.status());
      if (!difference->empty()) {
        differences.push_back(absl::StrCat(file.path, ": ", *difference));
      }
    }
    return differences;
  }

  // Empty: none.
  absl::StatusOr<std::string> Difference(const artifacts::ManifestFile& file) {
    const std::string path = absl::StrCat(fetch_.path(), "/", file.path);
    ASSIGN_OR_RETURN(const host::FileInfo info, host_.filesystem->Stat(path));
    if (info.size_bytes != file.size_bytes) {
      return absl::StrCat(info.size_bytes, " bytes instead of ", file.size_bytes);
    }
    if (absl::ToUnixNanos(info.modified) == file.modified_ns) return "";
    ASSIGN_OR_RETURN(const std::string digest, KnownDigests::Instance().Of(host_, path, info));
    return digest == file.sha256 ? "" : "other content";
  }

  absl::Status Bring(const v1::Model::Source& source, const std::string& name,
                     Execution& execution) {
    if (source.has_modelscope()) {
      return Download(artifacts::HubKind::kModelScope, source.modelscope(), name, execution);
    }
    if (source.has_hugging_face()) {
      return Download(artifacts::HubKind::kHuggingFace, source.hugging_face(), name, execution);
    }
    if (source.has_modelers()) {
      return Download(artifacts::HubKind::kModelers, source.modelers(), name, execution);
    }
    if (!source.local_directory()) {
      RETURN_IF_ERROR(host_.filesystem->MakeFolders(fetch_.path()));
      RETURN_IF_ERROR(CopyFromObs(host_, execution, fetch_.obs(),
                                  absl::StrCat(absl::StripSuffix(source.obs(), "/"), "/"),
                                  fetch_.path(), "model"));
    }
    return Describe(name, execution);
  }

  size_t Parallel() const {
    return fetch_.parallel_files() == 0 ? kDefaultParallel : fetch_.parallel_files();
  }

  absl::Status Download(artifacts::HubKind kind, const v1::Model::Hub& hub, const std::string& name,
                        Execution& execution) {
    const artifacts::FetchCallbacks callbacks = CallbacksOf(execution, "downloading " + hub.id());
    ASSIGN_OR_RETURN(const std::vector<artifacts::HubFile> files,
                     artifacts::ListHubFiles(host_, kind, hub, callbacks.cancelled));
    artifacts::FetchTreeOptions options;
    options.parallel_files = Parallel();
    options.source = name;
    ASSIGN_OR_RETURN(options.headers, artifacts::HubHeaders(host_, hub));
    ASSIGN_OR_RETURN(const artifacts::Manifest manifest,
                     artifacts::FetchTree(host_, files, fetch_.path(), options, callbacks));
    execution.Log(absl::StrCat(manifest.files.size(), " files, ", manifest.TotalBytes(), " bytes, ",
                               manifest.Digest()));
    return absl::OkStatus();
  }

  // The files are there already: they are read once, and from then on vouched for.
  absl::Status Describe(const std::string& name, Execution& execution) {
    absl::StatusOr<artifacts::Manifest> manifest = artifacts::HashFolder(
        host_, fetch_.path(), Parallel(), CallbacksOf(execution, "reading " + fetch_.path()));
    if (absl::IsNotFound(manifest.status())) return NoModel("does not exist");
    RETURN_IF_ERROR(manifest.status());
    if (manifest->Find("config.json") == nullptr) return NoModel("holds no config.json");
    if (const std::string missing = MissingShard(*manifest); !missing.empty()) {
      return NoModel(absl::StrCat("lacks ", missing, ", which its index names"));
    }
    manifest->source = name;
    return artifacts::WriteManifest(*host_.filesystem, fetch_.path(), *manifest);
  }

  // A file of weights that model.safetensors.index.json names and that is not there; empty: none.
  std::string MissingShard(const artifacts::Manifest& manifest) const {
    constexpr char kIndex[] = "model.safetensors.index.json";
    if (manifest.Find(kIndex) == nullptr) return "";
    const host::Json index = host::ParseJson(
        host_.filesystem->Read(absl::StrCat(fetch_.path(), "/", kIndex)).value_or(""));
    for (const auto& [weight, file] : host::TextsOf(index, "weight_map")) {
      if (manifest.Find(file) == nullptr) return file;
    }
    return "";
  }

  absl::Status NoModel(std::string_view why) const {
    return SignedFailure(v1::Failure::CONFIG, "MOD-12",
                         absl::StrCat(fetch_.path(), " ", std::string(why)),
                         "Put the model there, correct model.path, or name a hub as source.");
  }

  const v1::FetchModel fetch_;
  host::Host& host_;
  std::atomic<bool> abandoned_ = false;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Verb>> MakeFetchModel(const v1::FetchModel& fetch,
                                                     const v1::Subject& subject, host::Host& host) {
  if (!absl::StartsWith(fetch.path(), "/")) {
    return absl::InvalidArgumentError("fetch_model: path is not absolute");
  }
  return std::make_unique<FetchModel>(fetch, host);
}

}  // namespace npufleet::verbs
