// SPDX-License-Identifier: Apache-2.0
#include "controller/stages/verbs.h"

namespace npufleet::stages {

v1::Verb Packages(const v1::DeploymentSpec& spec, const v1::Node& node) {
  v1::Verb verb;
  v1::InstallPackages& install = *verb.mutable_install_packages();
  install.set_update(spec.packages().update());
  *install.mutable_install() = spec.packages().install();
  install.set_skip_on_apt(spec.packages().skip_on_apt());
  return verb;
}

}  // namespace npufleet::stages
