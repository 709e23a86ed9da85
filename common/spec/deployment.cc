// SPDX-License-Identifier: Apache-2.0
#include "common/spec/deployment.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status_macros.h"

namespace npufleet::spec {
namespace {

using google::protobuf::Duration;

Duration Seconds(int64_t seconds) {
  Duration duration;
  duration.set_seconds(seconds);
  return duration;
}

#define SET_DEFAULT(message, field, value) \
  if (!(message).has_##field()) (message).set_##field(value)
#define SET_DEFAULT_DURATION(message, field, seconds) \
  if (!(message).has_##field()) *(message).mutable_##field() = Seconds(seconds)

// The machine that the artifacts' names say, else what the runbook's servers are.
std::string ArtifactArchitecture(const v1::DeploymentSpec& spec) {
  for (const std::string& url : {spec.driver().driver().url(), spec.runtime().installer().url(),
                                 spec.docker().binary().archive().url()}) {
    if (absl::StrContains(url, "aarch64") || absl::StrContains(url, "arm64")) return "aarch64";
    if (absl::StrContains(url, "x86_64") || absl::StrContains(url, "amd64")) return "x86_64";
  }
  return "aarch64";
}

void ResolveHost(v1::DeploymentSpec& spec) {
  SET_DEFAULT(spec, chips_per_node, 8);
  if (spec.visible_chips().empty()) {
    for (uint32_t chip = 0; chip < std::min(spec.chips_per_node(), 64u); ++chip) {
      spec.add_visible_chips(chip);
    }
  }
  v1::Preflight& preflight = *spec.mutable_preflight();
  SET_DEFAULT_DURATION(preflight, max_clock_skew, 5);
  SET_DEFAULT(preflight, architecture, ArtifactArchitecture(spec));
  v1::Packages& packages = *spec.mutable_packages();
  SET_DEFAULT(packages, update, false);
  SET_DEFAULT(packages, skip_on_apt, true);
  v1::Driver& driver = *spec.mutable_driver();
  SET_DEFAULT(driver, install_path, "/usr/local/Ascend");
  SET_DEFAULT(driver, install_for_all, false);
  SET_DEFAULT(driver, allow_downgrade, false);
  SET_DEFAULT_DURATION(driver, install_deadline, 1800);
  v1::Fabric& fabric = *spec.mutable_fabric();
  SET_DEFAULT(fabric, check, true);
  v1::Runtime& runtime = *spec.mutable_runtime();
  SET_DEFAULT(runtime, install_path, "/usr/local/Ascend/Ascend-Docker-Runtime");
}

void ResolveContents(v1::DeploymentSpec& spec) {
  v1::Model& model = *spec.mutable_model();
  SET_DEFAULT(model, parallel_files, 4);
  for (v1::Model::Source& source : *model.mutable_sources()) {
    if (source.has_modelscope() && source.modelscope().revision().empty()) {
      source.mutable_modelscope()->set_revision("master");
    }
    if (source.has_hugging_face() && source.hugging_face().revision().empty()) {
      source.mutable_hugging_face()->set_revision("main");
    }
    if (source.has_modelers() && source.modelers().revision().empty()) {
      source.mutable_modelers()->set_revision("main");
    }
  }
  v1::Container& container = *spec.mutable_container();
  SET_DEFAULT(container, privileged, false);
  SET_DEFAULT(container, network, "host");
  SET_DEFAULT(container, shm_size, "500g");
  if (container.devices().empty()) {
    for (uint32_t chip : spec.visible_chips()) {
      container.add_devices(absl::StrCat("/dev/davinci", chip));
    }
    for (const char* name : {"/dev/davinci_manager", "/dev/hisi_hdc", "/dev/devmm_svm"}) {
      container.add_devices(name);
    }
  }
  if (container.command().empty()) container.add_command("/bin/bash");
}

void ResolveServing(v1::DeploymentSpec& spec) {
  v1::Ray& ray = *spec.mutable_ray();
  SET_DEFAULT(ray, port, 6379);
  SET_DEFAULT_DURATION(ray, start_deadline, 120);
  v1::Engine& engine = *spec.mutable_engine();
  SET_DEFAULT(engine, port, 8006);
  SET_DEFAULT(engine, pipeline_parallel_size, 1);
  uint32_t chips = static_cast<uint32_t>(spec.nodes_size()) * spec.chips_per_node();
  if (!engine.has_tensor_parallel_size() && chips > 0 && engine.pipeline_parallel_size() > 0) {
    engine.set_tensor_parallel_size(chips / engine.pipeline_parallel_size());
  }
  SET_DEFAULT(engine, distributed_executor_backend, "ray");
  SET_DEFAULT_DURATION(engine, start_deadline, 7200);
  v1::Probe& probe = *spec.mutable_probe();
  SET_DEFAULT(probe, prompt, "你是谁");
  SET_DEFAULT(probe, max_tokens, 16);
  SET_DEFAULT_DURATION(probe, deadline, 120);
  SET_DEFAULT_DURATION(probe, period, 60);
  v1::RetryPolicy& retry = *spec.mutable_retry();
  SET_DEFAULT(retry, attempts, 5);
  SET_DEFAULT_DURATION(retry, initial_backoff, 2);
  SET_DEFAULT_DURATION(retry, max_backoff, 300);
  SET_DEFAULT_DURATION(retry, budget, 7200);
  SET_DEFAULT(retry, redos, 3);
  SET_DEFAULT(retry, reboots, 2);
  SET_DEFAULT(retry, same_signature, 3);
  SET_DEFAULT_DURATION(retry, signature_window, 1800);
  SET_DEFAULT(retry, recoveries_per_hour, 10);
}

#undef SET_DEFAULT
#undef SET_DEFAULT_DURATION

}  // namespace

v1::Deployment ResolveDefaults(v1::Deployment deployment) {
  v1::DeploymentSpec& spec = *deployment.mutable_spec();
  ResolveHost(spec);
  ResolveContents(spec);
  ResolveServing(spec);
  return deployment;
}

absl::StatusOr<v1::Deployment> ParseDeployment(std::string_view text, std::string_view file) {
  v1::Deployment deployment;
  Positions positions;
  RETURN_IF_ERROR(ParseYaml(text, file, &deployment, &positions));
  std::vector<Violation> violations = Validate(deployment);
  if (violations.empty()) return deployment;
  std::vector<std::pair<Position, std::string>> placed;
  for (const Violation& violation : violations) {
    Position position = Find(positions, violation.path);
    placed.emplace_back(
        position,
        AtPosition(file, position, absl::StrCat(violation.path, ": ", violation.message)));
  }
  std::stable_sort(placed.begin(), placed.end(), [](const auto& a, const auto& b) {
    return std::pair(a.first.line, a.first.column) < std::pair(b.first.line, b.first.column);
  });
  return absl::InvalidArgumentError(absl::StrJoin(
      placed, "\n", [](std::string* out, const auto& entry) { out->append(entry.second); }));
}

absl::Status ToStatus(const std::vector<Violation>& violations) {
  if (violations.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrJoin(violations, "\n", [](std::string* out, const Violation& violation) {
        absl::StrAppend(out, violation.path, ": ", violation.message);
      }));
}

}  // namespace npufleet::spec
