// SPDX-License-Identifier: Apache-2.0
#include "controller/stages/verbs.h"

namespace npufleet::stages {

v1::Verb Fabric(const v1::DeploymentSpec& spec, const v1::Node&) {
  v1::Verb verb;
  v1::CheckFabric& check = *verb.mutable_check_fabric();
  for (const uint32_t chip : ChipsOf(spec)) check.add_chips(chip);
  return verb;
}

v1::Verb Reach(const v1::DeploymentSpec& spec, const v1::Node& node) {
  v1::Verb verb = Fabric(spec, node);
  v1::CheckFabric& check = *verb.mutable_check_fabric();
  for (const v1::Node& peer : spec.nodes()) {
    if (peer.name() == node.name()) continue;
    v1::CheckFabric::Peer& added = *check.add_peers();
    added.set_node(peer.name());
    added.set_address(peer.address());
  }
  return verb;
}

}  // namespace npufleet::stages
