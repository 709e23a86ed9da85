// SPDX-License-Identifier: Apache-2.0
#include "agent/verbs/run_container/run_container.h"

#include <cmath>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "agent/verbs/container_exec.h"
#include "agent/verbs/install_docker/daemon.h"
#include "agent/verbs/observation.h"
#include "agent/verbs/signatures.h"
#include "agent/verbs/sweep.h"
#include "common/status_macros.h"

namespace npufleet::verbs {
namespace {

constexpr absl::Duration kStopGrace = absl::Seconds(10);
constexpr absl::Duration kProofPeriod = absl::Milliseconds(500);

// "500g", "64m", "1073741824" as docker reads --shm-size: powers of 1024.
absl::StatusOr<uint64_t> ParseSize(std::string_view text) {
  if (text.empty()) return 0;
  const size_t digits = text.find_first_not_of("0123456789.");
  std::string unit(digits == std::string_view::npos ? "" : text.substr(digits));
  absl::AsciiStrToLower(&unit);
  double factor = 0;
  if (unit.empty() || unit == "b") factor = 1;
  if (unit == "k" || unit == "kb" || unit == "kib") factor = 1024.0;
  if (unit == "m" || unit == "mb" || unit == "mib") factor = 1024.0 * 1024;
  if (unit == "g" || unit == "gb" || unit == "gib") factor = 1024.0 * 1024 * 1024;
  if (unit == "t" || unit == "tb" || unit == "tib") factor = 1024.0 * 1024 * 1024 * 1024;
  double number = 0;
  if (factor == 0 || !absl::SimpleAtod(std::string(text.substr(0, digits)), &number) ||
      number <= 0 || number * factor > 1e18) {
    return absl::InvalidArgumentError(
        absl::StrCat("shm size \"", std::string(text), "\" is no size: write for example 500g"));
  }
  return static_cast<uint64_t>(std::floor(number * factor));
}

std::string TokenOf(const host::DockerContainer& container) {
  return absl::StrCat(container.id, "@", container.started_at);
}

std::string Label(const host::DockerContainer& container, const char* label) {
  const auto found = container.labels.find(label);
  return found == container.labels.end() ? "" : found->second;
}

std::string HowItEnded(const host::DockerContainer& container) {
  std::string text = absl::StrCat("container ", container.name, " is ", container.status);
  if (container.status != "exited") return text;
  absl::StrAppend(&text, ": exit code ", container.exit_code);
  if (container.oom_killed) return absl::StrCat(text, ", killed for want of memory");
  if (container.exit_code == 255) return absl::StrCat(text, ", dockerd or the host went down");
  return text;
}

std::set<uint32_t> ChipsOf(const host::ContainerSpec& spec) {
  std::set<uint32_t> chips;
  for (const std::string& device : spec.devices) {
    constexpr std::string_view kChip = "/dev/davinci";
    uint32_t chip = 0;  // /dev/davinci_manager has none
    if (absl::StartsWith(device, kChip.data()) &&
        absl::SimpleAtoi(device.substr(kChip.size(), device.find(':') - kChip.size()), &chip))
      chips.insert(chip);
  }
  return chips;
}

class RunContainer : public Verb {
 public:
  RunContainer(host::ContainerSpec spec, std::string shm_size, v1::Subject subject,
               host::Host& host)
      : spec_(std::move(spec)),
        shm_size_(std::move(shm_size)),
        subject_(std::move(subject)),
        host_(host) {}

  v1::Observation Check() override {
    absl::StatusOr<host::DockerContainer> found = host_.docker->InspectContainer(spec_.name);
    if (absl::IsNotFound(found.status())) return CheckFormerName();
    if (!found.ok()) return SilentDaemon(host_, found.status());
    if (!IsOurs(*found)) return AbsentFor(Foreign(*found));
    if (found->status == "restarting" || found->status == "paused") {
      return Unknown(HowItEnded(*found));
    }
    if (found->status != "running") return Absent(HowItEnded(*found));
    v1::Observation observation =
        Label(*found, kStampLabel) == subject_.stamp()
            ? Present(TokenOf(*found))
            : Absent("the container was made for another want", TokenOf(*found));
    auto& facts = *observation.mutable_facts();
    facts["container"] = found->id.substr(0, 12);
    facts["image"] = found->image_id;
    facts["started"] = found->started_at;
    return observation;
  }

  absl::Status Apply(Execution& execution) override {
    RETURN_IF_ERROR(RemoveOurs(execution));
    if (execution.IsCancelled()) return absl::CancelledError();
    // Its /dev/shm and /tmp/ray are new with it.
    RETURN_IF_ERROR(SweepChips(host_, {subject_.task(), spec_.name, ChipsOf(spec_)}, execution));
    execution.Log(DockerRunLine(spec_, shm_size_));
    absl::StatusOr<host::DockerContainer> started = host_.docker->RunContainer(spec_);
    if (!started.ok()) return Explained(started.status());
    return ProveThatItStays(*started, execution);
  }

  absl::Status Stop(Execution& execution) override { return RemoveOurs(execution); }

 private:
  // The spec's container had another name before: what still runs under that is in its place.
  v1::Observation CheckFormerName() {
    const std::string missing = absl::StrCat("no container ", spec_.name);
    const absl::StatusOr<std::vector<host::DockerContainer>> ours = OfThisTask();
    if (!ours.ok()) return SilentDaemon(host_, ours.status());
    for (const host::DockerContainer& container : *ours) {
      if (container.status != "running") continue;
      return Absent(absl::StrCat(missing, "; ", container.name, " runs in its place"),
                    TokenOf(container));
    }
    return Absent(missing);
  }

  absl::StatusOr<std::vector<host::DockerContainer>> OfThisTask() {
    ASSIGN_OR_RETURN(std::vector<host::DockerContainer> all, host_.docker->ListContainers());
    std::vector<host::DockerContainer> ours;
    for (host::DockerContainer& container : all) {
      if (Label(container, kTaskLabel) == subject_.task()) ours.push_back(std::move(container));
    }
    return ours;
  }

  // A daemon that is down runs no container.
  bool IsDown(const absl::Status& silence) const {
    return SilentDaemon(host_, silence).state() == v1::Observation::ABSENT;
  }

  static bool IsOurs(const host::DockerContainer& container) {
    return container.labels.count(kTaskLabel) != 0 && container.labels.count(kStampLabel) != 0;
  }

  static absl::Status Foreign(const host::DockerContainer& container) {
    return SignedFailure(v1::Failure::NEEDS_OPERATOR, "CTR-01",
                         absl::StrCat("foreign container ", container.name, " (",
                                      container.id.substr(0, 12), ", ", container.status, ")"),
                         absl::StrCat("It is not ours and is never removed: run docker rm -f ",
                                      container.name, " or rename the spec's container."));
  }

  // The daemon's message often is the signature of its cause (CTR-02, RTM-04).
  absl::Status Explained(const absl::Status& status) const {
    std::optional<v1::Failure> failure = MatchSignature("container", std::string(status.message()));
    return failure.has_value() ? FailureStatus(*failure) : Annotate(status, "docker run");
  }

  absl::Status RemoveOurs(Execution& execution) {
    absl::StatusOr<host::DockerContainer> named = host_.docker->InspectContainer(spec_.name);
    if (!named.ok() && !absl::IsNotFound(named.status()))
      return IsDown(named.status()) ? absl::OkStatus() : named.status();
    if (named.ok() && !IsOurs(*named)) return Foreign(*named);
    ASSIGN_OR_RETURN(std::vector<host::DockerContainer> ours, OfThisTask());
    if (named.ok() && Label(*named, kTaskLabel) != subject_.task()) ours.push_back(*named);
    for (const host::DockerContainer& container : ours) {
      RETURN_IF_ERROR(Remove(container, execution));
    }
    return absl::OkStatus();
  }

  absl::Status Remove(const host::DockerContainer& container, Execution& execution) {
    if (container.status == "running" || container.status == "paused") {
      execution.Log(absl::StrCat("docker stop -t 10 ", container.name));
      absl::Status stopped = host_.docker->StopContainer(container.id, kStopGrace);
      if (!stopped.ok() && !absl::IsNotFound(stopped)) return Annotate(stopped, "docker stop");
    }
    execution.Log(absl::StrCat("docker rm ", container.name));
    return Annotate(host_.docker->RemoveContainer(container.id), "docker rm");
  }

  // An image whose command ends at once is "started" for a moment (CTR-03): it must still be the
  // same running container around an exec.
  absl::Status ProveThatItStays(const host::DockerContainer& started, Execution& execution) {
    RETURN_IF_ERROR(MustRun(started));
    host::ExecSpec exec;
    exec.container = started.id;
    exec.argv = {"true"};
    exec.cancelled = [&execution] { return execution.IsCancelled(); };
    absl::StatusOr<host::ExecResult> result = host_.docker->Exec(exec);
    if (absl::IsCancelled(result.status())) return result.status();
    host_.clock->Sleep(kProofPeriod);
    RETURN_IF_ERROR(MustRun(started));
    RETURN_IF_ERROR(Annotate(result.status(), "docker exec true"));
    if (result->exit_code == 0) return absl::OkStatus();
    return FailureStatus(v1::Failure::CONFIG,
                         absl::StrCat("docker exec ", spec_.name, " true ended with ",
                                      result->exit_code, ": ", result->Combined()),
                         "Nothing can be run in this container: check the image.");
  }

  absl::Status MustRun(const host::DockerContainer& started) {
    ASSIGN_OR_RETURN(const host::DockerContainer now, host_.docker->InspectContainer(started.id));
    if (now.status == "running" && now.started_at == started.started_at) return absl::OkStatus();
    if (now.status == "exited" && now.exit_code == 0) {
      return SignedFailure(v1::Failure::CONFIG, "CTR-03", HowItEnded(now),
                           "The container's command ended at once: give it one that stays.");
    }
    return FailureStatus(v1::Failure::TRANSIENT, HowItEnded(now),
                         absl::StrCat("See docker logs ", spec_.name, "."));
  }

  const host::ContainerSpec spec_;
  const std::string shm_size_;
  const v1::Subject subject_;
  host::Host& host_;
};

}  // namespace

absl::StatusOr<host::ContainerSpec> ToContainerSpec(const v1::RunContainer& run,
                                                    const v1::Subject& subject) {
  host::ContainerSpec spec;
  spec.name = run.name();
  const auto image = subject.inputs().find("image");
  spec.image =
      image != subject.inputs().end() && !image->second.empty() ? image->second : run.image();
  if (spec.name.empty()) return absl::InvalidArgumentError("run_container: no name");
  if (spec.image.empty()) return absl::InvalidArgumentError("run_container: no image");
  spec.privileged = run.privileged();
  if (!run.network().empty()) spec.network = run.network();
  ASSIGN_OR_RETURN(spec.shm_size_bytes, ParseSize(run.shm_size()));
  spec.devices.assign(run.devices().begin(), run.devices().end());
  spec.volumes.assign(run.volumes().begin(), run.volumes().end());
  spec.environment.insert(run.environment().begin(), run.environment().end());
  spec.command.assign(run.command().begin(), run.command().end());
  spec.labels = {{kTaskLabel, subject.task()}, {kStampLabel, subject.stamp()}};
  return spec;
}

std::string DockerRunLine(const host::ContainerSpec& spec, std::string_view shm_size) {
  std::vector<std::string> argv = {"docker", "run", "-itd", "--restart=no", "--name", spec.name};
  if (spec.privileged) argv.push_back("--privileged");
  argv.insert(argv.end(), {"--network", spec.network});
  if (!shm_size.empty()) argv.insert(argv.end(), {"--shm-size", std::string(shm_size)});
  for (const std::string& device : spec.devices) argv.push_back("--device=" + device);
  for (const std::string& volume : spec.volumes) argv.insert(argv.end(), {"-v", volume});
  for (const auto& [name, value] : spec.environment) {
    argv.insert(argv.end(), {"-e", absl::StrCat(name, "=", value)});
  }
  for (const auto& [name, value] : spec.labels) {
    argv.insert(argv.end(), {"--label", absl::StrCat(name, "=", value)});
  }
  argv.push_back(spec.image);
  argv.insert(argv.end(), spec.command.begin(), spec.command.end());
  return ShellLine(argv);
}

absl::StatusOr<std::unique_ptr<Verb>> MakeRunContainer(const v1::RunContainer& run,
                                                       const v1::Subject& subject,
                                                       host::Host& host) {
  ASSIGN_OR_RETURN(host::ContainerSpec spec, ToContainerSpec(run, subject));
  return std::make_unique<RunContainer>(std::move(spec), run.shm_size(), subject, host);
}

}  // namespace npufleet::verbs
