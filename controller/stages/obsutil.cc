// SPDX-License-Identifier: Apache-2.0
#include "controller/stages/verbs.h"

namespace npufleet::stages {

bool UsesObs(const v1::DeploymentSpec& spec) {
  if (!spec.has_obsutil()) return false;
  for (const v1::Image::Source& source : spec.image().sources()) {
    if (!source.obs().empty()) return true;
  }
  for (const v1::Model::Source& source : spec.model().sources()) {
    if (!source.obs().empty()) return true;
  }
  return false;
}

v1::ObsAccess ObsAccessOf(const v1::DeploymentSpec& spec) {
  v1::ObsAccess access;
  access.set_endpoint(spec.obsutil().endpoint());
  access.set_credentials_file(spec.obsutil().credentials_file());
  return access;
}

v1::Verb Obsutil(const v1::DeploymentSpec& spec, const v1::Node& node) {
  v1::Verb verb;
  v1::InstallObsutil& install = *verb.mutable_install_obsutil();
  install.set_version(spec.obsutil().version());
  *install.mutable_archive() = spec.obsutil().archive();
  return verb;
}

}  // namespace npufleet::stages
