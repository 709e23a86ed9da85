// SPDX-License-Identifier: Apache-2.0
#include "agent/verbs/load_image/load_image.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "agent/artifacts/fetch.h"
#include "agent/verbs/load_image/archive.h"
#include "agent/verbs/load_image/registry_login.h"
#include "agent/verbs/obs.h"
#include "agent/verbs/observation.h"
#include "agent/verbs/signatures.h"
#include "agent/verbs/source_attempts.h"
#include "common/failure.h"
#include "common/status_macros.h"

namespace npufleet::verbs {
namespace {

constexpr char kFolder[] = "/var/lib/npufleet/agent/artifacts/";
constexpr char kNoArchive[] = "IMG-09";
// A loaded image takes about twice its archive: the layers, and what is unpacked of them meanwhile.
constexpr uint64_t kSpaceFactor = 2;

// uname -m in Docker's words.
std::string DockerArchitecture(const std::string& machine) {
  if (machine == "x86_64") return "amd64";
  if (machine == "aarch64") return "arm64";
  return machine;
}

std::string Describe(const v1::Image::Source& source) {
  if (source.has_archive()) return artifacts::ShownUrl(source.archive().url());
  if (!source.registry().empty()) return source.registry();
  return source.obs();
}

absl::Status NoArchive(const std::string& symptom, const std::string& path) {
  return SignedFailure(v1::Failure::CONFIG, kNoArchive, symptom,
                       absl::StrCat(path.substr(path.rfind('/') + 1),
                                    " is no archive of docker save: correct image.sources."));
}

class LoadImage : public Verb {
 public:
  LoadImage(const v1::LoadImage& load, host::Host& host) : load_(load), host_(host) {}

  v1::Observation Check() override {
    absl::StatusOr<host::DockerImage> image = host_.docker->InspectImage(load_.name());
    if (absl::IsNotFound(image.status())) return Absent(absl::StrCat("no image ", load_.name()));
    if (!image.ok()) return Unknown(std::string(image.status().message()));
    const absl::Status fits = MustFit(*image);
    v1::Observation observation =
        fits.ok() ? Present(image->id) : Absent(std::string(fits.message()));
    auto& facts = *observation.mutable_facts();
    facts["image"] = load_.name();
    facts["architecture"] = image->architecture;
    facts["bytes"] = absl::StrCat(image->size_bytes);
    return observation;
  }

  absl::Status Apply(Execution& execution) override {
    SourceAttempts attempts(execution);
    for (const v1::Image::Source& source : load_.sources()) {
      if (execution.IsCancelled()) return absl::CancelledError();
      execution.Log(absl::StrCat("source ", Describe(source)));
      const absl::Status status = Bring(source, execution);
      if (status.ok()) return status;
      if (!attempts.MayGoOn(Describe(source), status)) break;
    }
    return attempts.Failure();
  }

 private:
  absl::Status Bring(const v1::Image::Source& source, Execution& execution) {
    if (source.has_archive()) return LoadArchive(source.archive(), execution);
    if (!source.registry().empty()) return Pull(source.registry(), execution);
    return LoadObject(source.obs(), execution);
  }

  static std::string FileOf(std::string_view url) {
    std::string name(url.substr(0, url.find('?')));
    name = name.substr(name.rfind('/') + 1);
    return name.empty() ? "image.tar" : name;
  }

  absl::Status LoadObject(const std::string& url, Execution& execution) {
    const std::string target = absl::StrCat(kFolder, "obs-", FileOf(url));
    RETURN_IF_ERROR(host_.filesystem->MakeFolders(kFolder));
    Report("downloading " + url, execution);
    RETURN_IF_ERROR(CopyFromObs(host_, execution, load_.obs(), url, target, "image"));
    const absl::Status loaded = LoadFile(target, execution);
    // Nothing but Docker can tell whether it is whole: it is fetched anew for the next try.
    const absl::Status removed = host_.filesystem->Remove(target);
    return loaded.ok() ? removed : loaded;
  }

  absl::Status LoadArchive(const v1::Artifact& archive, Execution& execution) {
    const std::string& url = archive.url();
    const std::string name = FileOf(url);
    const std::string target = absl::StrCat(kFolder, name);
    ASSIGN_OR_RETURN(const std::string path,
                     artifacts::FetchArtifact(host_, archive, target,
                                              CallbacksOf(execution, "downloading " + name)));
    const absl::Status loaded = LoadFile(path, execution);
    // What was fetched is ours to remove. A verified archive that Docker could not take now is
    // kept; one that is none is not.
    const bool is_none = !loaded.ok() && ToFailure(loaded).signature() == kNoArchive;
    if (path == target && (loaded.ok() || is_none || archive.sha256().empty())) {
      const absl::Status removed = host_.filesystem->Remove(target);
      if (!removed.ok()) execution.Log(removed.ToString());
    }
    return loaded;
  }

  absl::Status LoadFile(const std::string& path, Execution& execution) {
    ASSIGN_OR_RETURN(const host::FileInfo file, host_.filesystem->Stat(path));
    ASSIGN_OR_RETURN(const host::DockerInfo docker, host_.docker->Info());
    if (!docker.root_dir.empty()) {
      RETURN_IF_ERROR(artifacts::CheckSpace(*host_.filesystem, docker.root_dir,
                                            kSpaceFactor * file.size_bytes));
    }
    RETURN_IF_ERROR(MustBeForThisHost(path, execution));
    execution.Log(absl::StrCat("docker load -i ", path));
    Report("loading the image", execution);
    absl::StatusOr<std::vector<std::string>> names = host_.docker->LoadImage(
        path, [&execution] { return execution.IsCancelled(); },
        [&execution](std::string_view line) { execution.Log(line); });
    if (!names.ok()) return Explained(names.status());
    if (names->empty()) {
      return NoArchive(absl::StrCat(path, " holds no image"), path);
    }
    const bool has_name = std::find(names->begin(), names->end(), load_.name()) != names->end();
    return Name(has_name ? load_.name() : names->front(), execution);
  }

  // Before Docker reads hundreds of layers and takes the name from what is there. An archive that
  // cannot be looked into is Docker's to judge.
  absl::Status MustBeForThisHost(const std::string& path, Execution& execution) {
    Report("looking into the archive", execution);
    const absl::StatusOr<std::vector<ArchivedImage>> images =
        InspectArchive(host_, path, [&execution] { return execution.IsCancelled(); });
    if (absl::IsCancelled(images.status())) return images.status();
    if (absl::IsInvalidArgument(images.status())) {
      execution.Log(std::string(images.status().message()));
      return NoArchive(std::string(images.status().message()), path);
    }
    if (!images.ok()) {
      execution.Log(std::string(images.status().message()));
      return absl::OkStatus();
    }
    for (const ArchivedImage& image : *images) RETURN_IF_ERROR(MustRunHere(image.architecture));
    return absl::OkStatus();
  }

  absl::Status Pull(const std::string& reference, Execution& execution) {
    ASSIGN_OR_RETURN(const std::string login,
                     RegistryAuthOf(host_, load_.credentials_file(), reference));
    execution.Log(absl::StrCat("docker pull ", reference, login.empty() ? "" : ", logged in at ",
                               login.empty() ? "" : RegistryOf(reference)));
    Report("asking the registry", execution);
    // What the registry does not say, the pull itself will.
    const absl::StatusOr<std::vector<std::string>> offered =
        host_.docker->RegistryArchitectures(reference, login);
    const std::string wanted = DockerArchitecture(host_.system->Architecture());
    if (offered.ok() && !offered->empty() &&
        std::find(offered->begin(), offered->end(), wanted) == offered->end()) {
      return MustRunHere(absl::StrJoin(*offered, ", "));
    }
    const bool was_there = host_.docker->InspectImage(reference).ok();
    Report("pulling the image", execution);
    const absl::Status pulled = host_.docker->PullImage(
        reference, login, [&execution] { return execution.IsCancelled(); },
        [&execution](std::string_view line) { execution.Log(line); });
    if (!pulled.ok()) return Explained(pulled);
    absl::Status named = Name(reference, execution);
    // Another image than the pinned one is of no use to anybody here.
    if (absl::IsInvalidArgument(named) && !was_there) {
      const absl::Status untagged = host_.docker->UntagImage(reference);
      if (!untagged.ok()) execution.Log(std::string(untagged.message()));
    }
    return named;
  }

  // Gives what was brought the spec's name, if it is what the spec wants.
  absl::Status Name(const std::string& brought, Execution& execution) {
    ASSIGN_OR_RETURN(const host::DockerImage image, host_.docker->InspectImage(brought));
    RETURN_IF_ERROR(MustFit(image));
    if (brought == load_.name()) return absl::OkStatus();
    execution.Log(absl::StrCat("docker tag ", brought, " ", load_.name()));
    return host_.docker->TagImage(image.id, load_.name());
  }

  absl::Status MustRunHere(const std::string& architecture) const {
    const std::string wanted = DockerArchitecture(host_.system->Architecture());
    if (architecture.empty() || architecture == wanted) return absl::OkStatus();
    return SignedFailure(v1::Failure::CONFIG, "IMG-07",
                         absl::StrCat("the image is for ", architecture, ", this host is ", wanted),
                         "Name a source that has the image for this architecture.");
  }

  absl::Status MustFit(const host::DockerImage& image) const {
    RETURN_IF_ERROR(MustRunHere(image.architecture));
    if (!load_.id().empty() && image.id != load_.id()) {
      return FailureStatus(v1::Failure::CONFIG,
                           absl::StrCat("the image is ", image.id, ", the spec wants ", load_.id()),
                           "Correct image.id in the spec, or the source.");
    }
    return absl::OkStatus();
  }

  static absl::Status Explained(const absl::Status& status) {
    if (absl::IsCancelled(status)) return status;
    std::optional<v1::Failure> failure = MatchSignature("image", std::string(status.message()));
    if (failure.has_value()) return FailureStatus(*failure);
    // Whatever it is, another source may work.
    return FailureStatus(v1::Failure::TRANSIENT, std::string(status.message()),
                         "See the daemon's log: journalctl -u docker.");
  }

  static void Report(std::string_view activity, Execution& execution) {
    v1::Progress progress;
    progress.set_activity(std::string(activity));
    execution.Report(progress);
  }

  const v1::LoadImage load_;
  host::Host& host_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Verb>> MakeLoadImage(const v1::LoadImage& load,
                                                    const v1::Subject& subject, host::Host& host) {
  if (load.name().empty()) return absl::InvalidArgumentError("load_image: no name");
  return std::make_unique<LoadImage>(load, host);
}

}  // namespace npufleet::verbs
