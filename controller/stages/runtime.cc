// SPDX-License-Identifier: Apache-2.0
#include "controller/stages/verbs.h"

namespace npufleet::stages {

v1::Verb Runtime(const v1::DeploymentSpec& spec, const v1::Node& node) {
  v1::Verb verb;
  v1::InstallRuntime& install = *verb.mutable_install_runtime();
  install.set_version(spec.runtime().version());
  *install.mutable_installer() = spec.runtime().installer();
  install.set_install_path(spec.runtime().install_path());
  install.set_accept_eula(spec.runtime().accept_eula());
  return verb;
}

}  // namespace npufleet::stages
