// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "tests/fakes/fake_host.h"
#include "tests/fakes/prefix.h"

namespace npufleet::fakes {
namespace {

absl::Status NoSuch(std::string_view what, std::string_view name) {
  return absl::NotFoundError(absl::StrCat("No such ", std::string(what), ": ", std::string(name)));
}

bool IsImage(const host::DockerImage& image, const std::string& name) {
  if (image.id == name || absl::StartsWith(image.id, "sha256:" + name)) return true;
  return std::find(image.tags.begin(), image.tags.end(), name) != image.tags.end();
}

}  // namespace

void FakeDocker::SetDown(bool down) {
  absl::MutexLock lock(&mutex_);
  down_ = down;
}

void FakeDocker::SetInfo(host::DockerInfo info) {
  absl::MutexLock lock(&mutex_);
  info_ = std::move(info);
}

void FakeDocker::KeepImage(const host::DockerImage& image) {
  for (host::DockerImage& other : images_) {
    std::erase_if(other.tags, [&](const std::string& tag) { return IsImage(image, tag); });
  }
  std::erase_if(images_, [&](const host::DockerImage& other) { return other.id == image.id; });
  images_.push_back(image);
}

void FakeDocker::AddImage(host::DockerImage image) {
  absl::MutexLock lock(&mutex_);
  KeepImage(image);
}

void FakeDocker::AddArchive(const std::string& path, host::DockerImage image) {
  absl::MutexLock lock(&mutex_);
  archives_[path] = std::move(image);
}

void FakeDocker::AddRegistry(const std::string& reference, host::DockerImage image) {
  absl::MutexLock lock(&mutex_);
  registry_[reference] = std::move(image);
}

void FakeDocker::RemoveImage(const std::string& name_or_id) {
  absl::MutexLock lock(&mutex_);
  std::erase_if(images_,
                [&](const host::DockerImage& image) { return IsImage(image, name_or_id); });
}

void FakeDocker::MakeStarted(host::DockerContainer& container) {
  ++started_;
  container.status = "running";
  if (container.pid == 0) container.pid = 10000 + started_;
  if (container.started_at.empty()) {
    container.started_at =
        absl::StrFormat("2026-01-01T00:%02d:%02d.000000000Z", started_ / 60 % 60, started_ % 60);
  }
}

host::DockerContainer FakeDocker::AddContainer(host::DockerContainer container) {
  absl::MutexLock lock(&mutex_);
  if (container.id.empty()) container.id = absl::StrFormat("%064x", 0xc0ffee00 + ++made_);
  if (container.status.empty() || container.status == "running") MakeStarted(container);
  std::erase_if(containers_, [&](const auto& other) { return other.name == container.name; });
  containers_.push_back(container);
  return container;
}

void FakeDocker::FailNextRun(absl::Status status) {
  absl::MutexLock lock(&mutex_);
  next_run_ = std::move(status);
}

void FakeDocker::SetProcesses(const std::string& container, std::vector<int> pids) {
  absl::MutexLock lock(&mutex_);
  const host::DockerContainer* found = Find(container);
  processes_[found != nullptr ? found->id : container] = std::move(pids);
}

void FakeDocker::Kill(const std::string& container, int exit_code, bool oom_killed) {
  absl::MutexLock lock(&mutex_);
  host::DockerContainer* found = Find(container);
  if (found == nullptr) return;
  found->status = "exited";
  found->pid = 0;
  found->exit_code = exit_code;
  found->oom_killed = oom_killed;
  processes_.erase(found->id);
  EmitLocked("die", *found);
}

void FakeDocker::KillAll() {
  absl::MutexLock lock(&mutex_);
  for (host::DockerContainer& container : containers_) {
    if (container.status != "running") continue;
    container.status = "exited";
    container.pid = 0;
    container.exit_code = 137;
  }
  processes_.clear();
}

void FakeDocker::Emit(ContainerEvent event) {
  absl::MutexLock lock(&mutex_);
  events_.push_back(std::move(event));
}

void FakeDocker::EmitLocked(std::string_view action, const host::DockerContainer& container) {
  events_.push_back({std::string(action), container.id, container.name});
}

void FakeDocker::OnExec(const Argv& prefix, std::string out, std::string err, int exit_code) {
  host::ExecResult result{exit_code, std::move(out), std::move(err)};
  OnExec(prefix, [result](const host::ExecSpec&) { return result; });
}

void FakeDocker::OnExec(const Argv& prefix, ExecAnswer answer) {
  absl::MutexLock lock(&mutex_);
  exec_answers_[prefix] = std::move(answer);
}

std::vector<host::ExecSpec> FakeDocker::Execs() const {
  absl::MutexLock lock(&mutex_);
  return execs_;
}

std::vector<host::ExecSpec> FakeDocker::Execs(const Argv& prefix) const {
  std::vector<host::ExecSpec> found;
  for (const host::ExecSpec& exec : Execs()) {
    if (HasPrefix(exec.argv, prefix)) found.push_back(exec);
  }
  return found;
}

std::vector<host::ContainerSpec> FakeDocker::Runs() const {
  absl::MutexLock lock(&mutex_);
  return runs_;
}

std::vector<std::string> FakeDocker::Changes() const {
  absl::MutexLock lock(&mutex_);
  return changes_;
}

int FakeDocker::watchers() const {
  absl::MutexLock lock(&mutex_);
  return watchers_;
}

absl::Status FakeDocker::Reachable() const {
  if (!down_) return absl::OkStatus();
  return absl::UnavailableError("/var/run/docker.sock: connection refused");
}

host::DockerContainer* FakeDocker::Find(std::string_view name_or_id) {
  for (host::DockerContainer& container : containers_) {
    if (container.name == name_or_id) return &container;
  }
  for (host::DockerContainer& container : containers_) {
    if (!name_or_id.empty() && container.id.starts_with(name_or_id)) return &container;
  }
  return nullptr;
}

absl::Status FakeDocker::Ping() {
  absl::MutexLock lock(&mutex_);
  return Reachable();
}

absl::StatusOr<host::DockerInfo> FakeDocker::Info() {
  absl::MutexLock lock(&mutex_);
  if (absl::Status status = Reachable(); !status.ok()) return status;
  return info_;
}

absl::StatusOr<host::DockerImage> FakeDocker::InspectImage(std::string_view name_or_id) {
  absl::MutexLock lock(&mutex_);
  if (absl::Status status = Reachable(); !status.ok()) return status;
  for (const host::DockerImage& image : images_) {
    if (IsImage(image, std::string(name_or_id))) return image;
  }
  return NoSuch("image", name_or_id);
}

absl::StatusOr<std::vector<std::string>> FakeDocker::LoadImage(
    std::string_view archive_path, host::Cancelled cancelled,
    std::function<void(std::string_view)> on_line) {
  if (cancelled && cancelled()) return absl::CancelledError("docker load: cancelled");
  std::vector<std::string> loaded;
  {
    absl::MutexLock lock(&mutex_);
    if (absl::Status status = Reachable(); !status.ok()) return status;
    changes_.push_back(absl::StrCat("load ", std::string(archive_path)));
    auto found = archives_.find(std::string(archive_path));
    if (found == archives_.end()) {
      return absl::FailedPreconditionError("archive/tar: invalid tar header");
    }
    KeepImage(found->second);
    loaded = found->second.tags;
    if (loaded.empty()) loaded.push_back(found->second.id);
  }
  for (const std::string& name : loaded) {
    if (on_line) on_line(absl::StrCat("Loaded image: ", name));
  }
  return loaded;
}

absl::Status FakeDocker::PullImage(std::string_view reference, std::string_view registry_auth,
                                   host::Cancelled cancelled,
                                   std::function<void(std::string_view)> on_line) {
  if (cancelled && cancelled()) return absl::CancelledError("docker pull: cancelled");
  {
    absl::MutexLock lock(&mutex_);
    if (absl::Status status = Reachable(); !status.ok()) return status;
    changes_.push_back(absl::StrCat("pull ", std::string(reference)));
    auto found = registry_.find(std::string(reference));
    if (found == registry_.end()) {
      return absl::NotFoundError(
          absl::StrCat("manifest for ", std::string(reference), " not found"));
    }
    host::DockerImage image = found->second;
    if (!IsImage(image, std::string(reference))) image.tags.push_back(std::string(reference));
    KeepImage(image);
  }
  if (on_line) on_line(absl::StrCat("Status: Downloaded newer image for ", std::string(reference)));
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> FakeDocker::RegistryArchitectures(
    std::string_view reference, std::string_view) {
  absl::MutexLock lock(&mutex_);
  if (absl::Status status = Reachable(); !status.ok()) return status;
  auto found = registry_.find(std::string(reference));
  if (found == registry_.end()) return NoSuch("manifest", reference);
  return std::vector<std::string>{found->second.architecture};
}

absl::Status FakeDocker::UntagImage(std::string_view name) {
  absl::MutexLock lock(&mutex_);
  if (absl::Status status = Reachable(); !status.ok()) return status;
  changes_.push_back(absl::StrCat("untag ", std::string(name)));
  for (host::DockerImage& image : images_) std::erase(image.tags, std::string(name));
  std::erase_if(images_, [](const host::DockerImage& image) { return image.tags.empty(); });
  return absl::OkStatus();
}

absl::Status FakeDocker::TagImage(std::string_view image, std::string_view name_and_tag) {
  absl::MutexLock lock(&mutex_);
  if (absl::Status status = Reachable(); !status.ok()) return status;
  const std::string tag(name_and_tag);
  for (host::DockerImage& candidate : images_) {
    if (!IsImage(candidate, std::string(image))) continue;
    changes_.push_back(absl::StrCat("tag ", std::string(image), " ", tag));
    for (host::DockerImage& other : images_) std::erase(other.tags, tag);
    candidate.tags.push_back(tag);
    return absl::OkStatus();
  }
  return NoSuch("image", image);
}

absl::StatusOr<host::DockerContainer> FakeDocker::InspectContainer(std::string_view name_or_id) {
  absl::MutexLock lock(&mutex_);
  if (absl::Status status = Reachable(); !status.ok()) return status;
  const host::DockerContainer* found = Find(name_or_id);
  if (found == nullptr) return NoSuch("container", name_or_id);
  return *found;
}

absl::StatusOr<std::vector<host::DockerContainer>> FakeDocker::ListContainers() {
  absl::MutexLock lock(&mutex_);
  if (absl::Status status = Reachable(); !status.ok()) return status;
  return containers_;
}

absl::StatusOr<host::DockerContainer> FakeDocker::RunContainer(const host::ContainerSpec& spec) {
  absl::MutexLock lock(&mutex_);
  if (absl::Status status = Reachable(); !status.ok()) return status;
  if (Find(spec.name) != nullptr) {
    return absl::AlreadyExistsError(
        absl::StrCat("Conflict. The container name \"/", spec.name, "\" is already in use"));
  }
  runs_.push_back(spec);
  if (!next_run_.ok()) {
    absl::Status status = next_run_;
    next_run_ = absl::OkStatus();
    return status;
  }
  auto image = std::find_if(images_.begin(), images_.end(),
                            [&](const auto& candidate) { return IsImage(candidate, spec.image); });
  if (image == images_.end()) return NoSuch("image", spec.image);
  changes_.push_back(absl::StrCat("run ", spec.name));
  host::DockerContainer container;
  container.id = absl::StrFormat("%064x", 0xc0ffee00 + ++made_);
  container.name = spec.name;
  container.image_id = image->id;
  container.labels = spec.labels;
  MakeStarted(container);
  containers_.push_back(container);
  EmitLocked("start", container);
  return container;
}

absl::Status FakeDocker::StopContainer(std::string_view name_or_id, absl::Duration grace) {
  absl::MutexLock lock(&mutex_);
  if (absl::Status status = Reachable(); !status.ok()) return status;
  host::DockerContainer* found = Find(name_or_id);
  if (found == nullptr) return NoSuch("container", name_or_id);
  changes_.push_back(absl::StrCat("stop ", found->name));
  if (found->status != "running") return absl::OkStatus();
  found->status = "exited";
  found->pid = 0;
  found->exit_code = 137;
  processes_.erase(found->id);
  EmitLocked("die", *found);
  return absl::OkStatus();
}

absl::Status FakeDocker::RemoveContainer(std::string_view name_or_id) {
  absl::MutexLock lock(&mutex_);
  if (absl::Status status = Reachable(); !status.ok()) return status;
  host::DockerContainer* found = Find(name_or_id);
  if (found == nullptr) return absl::OkStatus();
  changes_.push_back(absl::StrCat("remove ", found->name));
  processes_.erase(found->id);
  if (found->status == "running") EmitLocked("die", *found);
  EmitLocked("destroy", *found);
  containers_.erase(containers_.begin() + (found - containers_.data()));
  return absl::OkStatus();
}

absl::StatusOr<std::vector<int>> FakeDocker::ListProcesses(std::string_view container) {
  absl::MutexLock lock(&mutex_);
  if (absl::Status status = Reachable(); !status.ok()) return status;
  const host::DockerContainer* found = Find(container);
  if (found == nullptr) return NoSuch("container", container);
  if (found->status != "running") {
    return absl::FailedPreconditionError(
        absl::StrCat("container ", found->name, " is not running"));
  }
  auto processes = processes_.find(found->id);
  if (processes != processes_.end()) return processes->second;
  return std::vector<int>{found->pid};
}

absl::StatusOr<host::ExecResult> FakeDocker::Exec(const host::ExecSpec& spec) {
  if (spec.cancelled && spec.cancelled()) return absl::CancelledError("docker exec: cancelled");
  ExecAnswer answer;
  {
    absl::MutexLock lock(&mutex_);
    if (absl::Status status = Reachable(); !status.ok()) return status;
    const host::DockerContainer* found = Find(spec.container);
    if (found == nullptr) return NoSuch("container", spec.container);
    if (found->status != "running") {
      return absl::AlreadyExistsError(absl::StrCat("container ", found->id, " is not running"));
    }
    execs_.push_back(spec);
    execs_.back().cancelled = nullptr;
    execs_.back().on_line = nullptr;
    if (const ExecAnswer* scripted = FindLongest(exec_answers_, spec.argv)) answer = *scripted;
  }
  absl::StatusOr<host::ExecResult> result =
      answer ? answer(spec)
             : host::ExecResult{127, "", absl::StrCat(spec.argv[0], ": not scripted\n")};
  if (result.ok() && spec.on_line) {
    for (absl::string_view line : absl::StrSplit(result->Combined(), '\n', absl::SkipEmpty())) {
      spec.on_line(std::string_view(line.data(), line.size()));
    }
  }
  return result;
}

absl::Status FakeDocker::WatchEvents(host::Cancelled cancelled,
                                     std::function<void(const ContainerEvent&)> on_event) {
  size_t next = 0;
  {
    absl::MutexLock lock(&mutex_);
    next = events_.size();
    ++watchers_;
  }
  absl::Status status;
  while (status.ok()) {
    std::vector<ContainerEvent> fresh;
    {
      absl::MutexLock lock(&mutex_);
      auto something = [this, next] { return down_ || events_.size() > next; };
      mutex_.AwaitWithTimeout(absl::Condition(&something), absl::Milliseconds(10));
      fresh.assign(events_.begin() + static_cast<ptrdiff_t>(next), events_.end());
      next = events_.size();
      status = Reachable();
    }
    for (const ContainerEvent& event : fresh) on_event(event);
    if (cancelled && cancelled()) status = absl::CancelledError("watch of events: cancelled");
  }
  absl::MutexLock lock(&mutex_);
  --watchers_;
  return status;
}

}  // namespace npufleet::fakes
