// SPDX-License-Identifier: Apache-2.0
#include "controller/stages/verbs.h"

namespace npufleet::stages {

v1::Verb Serve(const v1::DeploymentSpec& spec, const v1::Node& node) {
  v1::Verb verb;
  v1::StartEngine& start = *verb.mutable_start_engine();
  start.set_container(spec.container().name());
  start.set_model_path(spec.model().path());
  *start.mutable_engine() = spec.engine();
  // The server's own process sees what the ranks see: it is one of them.
  for (const auto& [name, value] : RayEnvironment(spec, node)) {
    start.mutable_engine()->mutable_environment()->insert({name, value});
  }
  start.set_expected_chips(static_cast<uint32_t>(ChipsOf(spec).size() * spec.nodes_size()));
  start.set_expected_nodes(spec.nodes_size());
  start.set_address(node.address());
  start.set_ray_port(spec.ray().port());
  return verb;
}

}  // namespace npufleet::stages
