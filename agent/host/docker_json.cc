// SPDX-License-Identifier: Apache-2.0
#include "agent/host/docker_json.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace npufleet::host {

std::vector<std::string> EnvironmentLines(const std::map<std::string, std::string>& environment) {
  std::vector<std::string> lines;
  for (const auto& [name, value] : environment) lines.push_back(absl::StrCat(name, "=", value));
  return lines;
}

std::map<std::string, std::string> EnvironmentMap(const Json& lines) {
  std::map<std::string, std::string> environment;
  if (!lines.is_array()) return environment;
  for (const Json& line : lines) {
    if (!line.is_string()) continue;
    std::pair<std::string, std::string> pair =
        absl::StrSplit(line.get<std::string>(), absl::MaxSplits('=', 1));
    environment.insert(std::move(pair));
  }
  return environment;
}

DockerInfo InfoFromJson(const Json& json) {
  DockerInfo info;
  info.server_version = TextOf(json, "ServerVersion");
  info.default_runtime = TextOf(json, "DefaultRuntime");
  if (const Json& runtimes = Member(json, "Runtimes"); runtimes.is_object()) {
    for (const auto& [name, runtime] : runtimes.items()) info.runtimes.push_back(name);
  }
  info.root_dir = TextOf(json, "DockerRootDir");
  info.architecture = TextOf(json, "Architecture");
  info.live_restore = TruthOf(json, "LiveRestoreEnabled");
  return info;
}

DockerImage ImageFromJson(const Json& json) {
  DockerImage image;
  image.id = TextOf(json, "Id");
  if (const Json& tags = Member(json, "RepoTags"); tags.is_array()) {
    for (const Json& tag : tags) {
      if (tag.is_string()) image.tags.push_back(tag.get<std::string>());
    }
  }
  image.architecture = TextOf(json, "Architecture");
  image.size_bytes = static_cast<uint64_t>(NumberOf(json, "Size"));
  image.environment = EnvironmentMap(Member(Member(json, "Config"), "Env"));
  return image;
}

DockerContainer ContainerFromJson(const Json& json) {
  DockerContainer container;
  container.id = TextOf(json, "Id");
  container.name = std::string(absl::StripPrefix(TextOf(json, "Name"), "/"));
  container.image_id = TextOf(json, "Image");
  const Json& state = Member(json, "State");
  container.status = TextOf(state, "Status");
  container.exit_code = static_cast<int>(NumberOf(state, "ExitCode"));
  container.oom_killed = TruthOf(state, "OOMKilled");
  container.pid = static_cast<int>(NumberOf(state, "Pid"));
  container.started_at = TextOf(state, "StartedAt");
  container.finished_at = TextOf(state, "FinishedAt");
  container.labels = TextsOf(Member(json, "Config"), "Labels");
  return container;
}

Json ContainerCreateBody(const ContainerSpec& spec) {
  Json devices = Json::array();
  for (const std::string& device : spec.devices) {
    const std::vector<std::string> parts = absl::StrSplit(device, ':');
    devices.push_back({{"PathOnHost", parts[0]},
                       {"PathInContainer", parts.size() > 1 ? parts[1] : parts[0]},
                       {"CgroupPermissions", parts.size() > 2 ? parts[2] : "rwm"}});
  }
  Json body = {
      {"Image", spec.image},
      {"Env", EnvironmentLines(spec.environment)},
      {"Labels", spec.labels},
      {"Tty", true},
      {"OpenStdin", true},
      {"StdinOnce", false},
      {"AttachStdin", false},
      {"AttachStdout", false},
      {"AttachStderr", false},
      {"HostConfig",
       {{"Privileged", spec.privileged},
        {"NetworkMode", spec.network.empty() ? "default" : spec.network},
        {"Devices", devices},
        {"Binds", spec.volumes},
        {"RestartPolicy", {{"Name", "no"}, {"MaximumRetryCount", 0}}}}},
  };
  if (spec.shm_size_bytes > 0) body["HostConfig"]["ShmSize"] = spec.shm_size_bytes;
  if (!spec.command.empty()) body["Cmd"] = spec.command;
  return body;
}

Json ExecCreateBody(const ExecSpec& spec) {
  return {{"AttachStdin", false},
          {"AttachStdout", !spec.detach},
          {"AttachStderr", !spec.detach},
          {"Tty", false},
          {"Env", EnvironmentLines(spec.environment)},
          {"Cmd", spec.argv}};
}

ImageReference ParseImageReference(std::string_view reference) {
  const size_t at = reference.find('@');
  if (at != std::string_view::npos) {
    // A digest outweighs a tag in front of it.
    return {ParseImageReference(reference.substr(0, at)).name,
            std::string(reference.substr(at + 1))};
  }
  const size_t colon = reference.rfind(':');
  const size_t slash = reference.rfind('/');
  if (colon == std::string_view::npos || (slash != std::string_view::npos && colon < slash)) {
    return {std::string(reference), "latest"};
  }
  return {std::string(reference.substr(0, colon)), std::string(reference.substr(colon + 1))};
}

std::string LineOfMessage(const Json& message) {
  std::string stream = TextOf(message, "stream");
  if (!stream.empty()) {
    while (!stream.empty() && (stream.back() == '\n' || stream.back() == '\r')) stream.pop_back();
    return stream;
  }
  const std::string status = TextOf(message, "status");
  const std::string id = TextOf(message, "id");
  // Each layer repeats these with every step of its progress bar; only the first has no figure.
  if (NumberOf(Member(message, "progressDetail"), "current") > 0) return "";
  return id.empty() ? status : absl::StrCat(status, " ", id);
}

std::string ErrorOfMessage(const Json& message) {
  const std::string detail = TextOf(Member(message, "errorDetail"), "message");
  return detail.empty() ? TextOf(message, "error") : detail;
}

}  // namespace npufleet::host
