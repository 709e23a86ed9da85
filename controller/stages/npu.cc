// SPDX-License-Identifier: Apache-2.0
#include "controller/stages/verbs.h"

namespace npufleet::stages {

v1::Verb Npu(const v1::DeploymentSpec& spec, const v1::Node& node) {
  v1::Verb verb;
  v1::CheckNpus& check = *verb.mutable_check_npus();
  for (const uint32_t chip : ChipsOf(spec)) check.add_chips(chip);
  return verb;
}

std::vector<uint32_t> ChipsOf(const v1::DeploymentSpec& spec) {
  std::vector<uint32_t> chips(spec.visible_chips().begin(), spec.visible_chips().end());
  for (uint32_t i = 0; chips.size() < spec.chips_per_node() && spec.visible_chips().empty(); ++i) {
    chips.push_back(i);
  }
  return chips;
}

}  // namespace npufleet::stages
