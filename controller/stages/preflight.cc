// SPDX-License-Identifier: Apache-2.0
#include "controller/stages/verbs.h"

namespace npufleet::stages {

v1::Verb Preflight(const v1::DeploymentSpec& spec, const v1::Node& node) {
  v1::Verb verb;
  v1::CheckHost& check = *verb.mutable_check_host();
  check.set_address(node.address());
  check.set_nic(node.nic());
  if (node.role() == v1::Node::HEAD) {
    check.add_free_ports(spec.ray().port());
    check.add_free_ports(spec.engine().port());
  }
  *check.mutable_min_free_gib() = spec.preflight().min_free_gib();
  check.set_architecture(spec.preflight().architecture());
  check.add_own_containers(spec.container().name());
  return verb;
}

}  // namespace npufleet::stages
