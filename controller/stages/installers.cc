// SPDX-License-Identifier: Apache-2.0
#include "controller/stages/verbs.h"

namespace npufleet::stages {

v1::Verb Installers(const v1::DeploymentSpec& spec, const v1::Node& node) {
  v1::Verb verb;
  v1::FetchInstallers& fetch = *verb.mutable_fetch_installers();
  *fetch.mutable_driver() = Driver(spec, node).install_driver();
  *fetch.mutable_docker() = Docker(spec, node).install_docker();
  *fetch.mutable_runtime() = Runtime(spec, node).install_runtime();
  return verb;
}

}  // namespace npufleet::stages
