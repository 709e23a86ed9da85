// SPDX-License-Identifier: Apache-2.0
#include "absl/strings/str_join.h"
#include "controller/stages/verbs.h"

namespace npufleet::stages {

const v1::Node& HeadOf(const v1::DeploymentSpec& spec) {
  for (const v1::Node& node : spec.nodes()) {
    if (node.role() == v1::Node::HEAD) return node;
  }
  return spec.nodes(0);  // validation has refused a spec without a head
}

std::map<std::string, std::string> RayEnvironment(const v1::DeploymentSpec& spec,
                                                  const v1::Node& node) {
  std::map<std::string, std::string> environment = {
      {"HCCL_IF_IP", node.address()},
      {"GLOO_SOCKET_IFNAME", node.nic()},
      {"TP_SOCKET_IFNAME", node.nic()},
      {"RAY_EXPERIMENTAL_NOSET_ASCEND_RT_VISIBLE_DEVICES", "1"},
      {"ASCEND_RT_VISIBLE_DEVICES", absl::StrJoin(ChipsOf(spec), ",")},
      // Not in the runbook: vLLM otherwise guesses its address by a route to the Internet.
      {"VLLM_HOST_IP", node.address()},
  };
  for (const auto& [name, value] : spec.ray().environment()) environment[name] = value;
  return environment;
}

v1::Verb RayHead(const v1::DeploymentSpec& spec, const v1::Node& node) {
  v1::Verb verb;
  v1::StartRayHead& start = *verb.mutable_start_ray_head();
  start.set_container(spec.container().name());
  start.set_address(node.address());
  start.set_nic(node.nic());
  start.set_port(spec.ray().port());
  for (const uint32_t chip : ChipsOf(spec)) start.add_chips(chip);
  for (const auto& [name, value] : RayEnvironment(spec, node))
    (*start.mutable_environment())[name] = value;
  *start.mutable_extra_args() = spec.ray().head_extra_args();
  *start.mutable_start_deadline() = spec.ray().start_deadline();
  return verb;
}

v1::Verb RayWorker(const v1::DeploymentSpec& spec, const v1::Node& node) {
  v1::Verb verb;
  v1::StartRayWorker& start = *verb.mutable_start_ray_worker();
  start.set_container(spec.container().name());
  start.set_address(node.address());
  start.set_nic(node.nic());
  start.set_head_address(HeadOf(spec).address());
  start.set_head_port(spec.ray().port());
  for (const uint32_t chip : ChipsOf(spec)) start.add_chips(chip);
  for (const auto& [name, value] : RayEnvironment(spec, node))
    (*start.mutable_environment())[name] = value;
  *start.mutable_extra_args() = spec.ray().worker_extra_args();
  *start.mutable_start_deadline() = spec.ray().start_deadline();
  return verb;
}

}  // namespace npufleet::stages
