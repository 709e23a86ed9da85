// SPDX-License-Identifier: Apache-2.0
#include "controller/stages/verbs.h"

namespace npufleet::stages {

v1::Verb Image(const v1::DeploymentSpec& spec, const v1::Node& node) {
  v1::Verb verb;
  v1::LoadImage& load = *verb.mutable_load_image();
  load.set_name(spec.image().name());
  *load.mutable_sources() = spec.image().sources();
  load.set_id(spec.image().id());
  load.set_credentials_file(spec.image().credentials_file());
  if (UsesObs(spec)) *load.mutable_obs() = ObsAccessOf(spec);
  return verb;
}

}  // namespace npufleet::stages
