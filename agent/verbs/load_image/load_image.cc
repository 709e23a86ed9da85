// SPDX-License-Identifier: Apache-2.0
#include "agent/verbs/load_image/load_image.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "agent/artifacts/fetch.h"
#include "agent/verbs/observation.h"
#include "agent/verbs/signatures.h"
#include "agent/verbs/source_attempts.h"
#include "common/status_macros.h"

namespace npufleet::verbs {
namespace {

constexpr char kFolder[] = "/var/lib/npufleet/agent/artifacts/";
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
    return NeedsObsutil(source.obs());
  }

  absl::Status LoadArchive(const v1::Artifact& archive, Execution& execution) {
    const std::string url = archive.url();
    std::string name = url.substr(0, url.find('?'));
    name = name.substr(name.rfind('/') + 1);
    const std::string target = absl::StrCat(kFolder, name.empty() ? "image.tar" : name);
    ASSIGN_OR_RETURN(const std::string path,
                     artifacts::FetchArtifact(host_, archive, target,
                                              CallbacksOf(execution, "downloading " + name)));
    const absl::Status loaded = LoadFile(path, execution);
    // What was fetched is ours to remove. A verified archive that Docker could not take now is
    // kept.
    if (path == target && (loaded.ok() || archive.sha256().empty())) {
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
    execution.Log(absl::StrCat("docker load -i ", path));
    Report("loading the image", execution);
    absl::StatusOr<std::vector<std::string>> names = host_.docker->LoadImage(
        path, [&execution] { return execution.IsCancelled(); },
        [&execution](std::string_view line) { execution.Log(line); });
    if (!names.ok()) return Explained(names.status());
    if (names->empty()) {
      return SignedFailure(v1::Failure::CONFIG, "IMG-09", absl::StrCat(path, " holds no image"),
                           "The archive must come from docker save.");
    }
    const bool has_name = std::find(names->begin(), names->end(), load_.name()) != names->end();
    return Name(has_name ? load_.name() : names->front(), execution);
  }

  absl::Status Pull(const std::string& reference, Execution& execution) {
    execution.Log(absl::StrCat("docker pull ", reference));
    Report("pulling the image", execution);
    const absl::Status pulled = host_.docker->PullImage(
        reference, "", [&execution] { return execution.IsCancelled(); },
        [&execution](std::string_view line) { execution.Log(line); });
    if (!pulled.ok()) return Explained(pulled);
    return Name(reference, execution);
  }

  // Gives what was brought the spec's name, if it is what the spec wants.
  absl::Status Name(const std::string& brought, Execution& execution) {
    ASSIGN_OR_RETURN(const host::DockerImage image, host_.docker->InspectImage(brought));
    RETURN_IF_ERROR(MustFit(image));
    if (brought == load_.name()) return absl::OkStatus();
    execution.Log(absl::StrCat("docker tag ", brought, " ", load_.name()));
    return host_.docker->TagImage(image.id, load_.name());
  }

  absl::Status MustFit(const host::DockerImage& image) const {
    const std::string wanted = DockerArchitecture(host_.system->Architecture());
    if (!image.architecture.empty() && image.architecture != wanted) {
      return SignedFailure(
          v1::Failure::CONFIG, "IMG-07",
          absl::StrCat("the image is for ", image.architecture, ", this host is ", wanted),
          "Name a source that has the image for this architecture.");
    }
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
    return failure.has_value() ? FailureStatus(*failure) : status;
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
