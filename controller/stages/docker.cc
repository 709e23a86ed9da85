// SPDX-License-Identifier: Apache-2.0
#include "controller/stages/verbs.h"

namespace npufleet::stages {

v1::Verb Docker(const v1::DeploymentSpec& spec, const v1::Node& node) {
  v1::Verb verb;
  *verb.mutable_install_docker()->mutable_docker() = spec.docker();
  return verb;
}

}  // namespace npufleet::stages
