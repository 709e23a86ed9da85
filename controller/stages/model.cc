// SPDX-License-Identifier: Apache-2.0
#include "controller/stages/verbs.h"

namespace npufleet::stages {

v1::Verb Model(const v1::DeploymentSpec& spec, const v1::Node& node) {
  v1::Verb verb;
  v1::FetchModel& fetch = *verb.mutable_fetch_model();
  fetch.set_path(spec.model().path());
  *fetch.mutable_sources() = spec.model().sources();
  fetch.set_parallel_files(spec.model().parallel_files());
  if (UsesObs(spec)) *fetch.mutable_obs() = ObsAccessOf(spec);
  return verb;
}

}  // namespace npufleet::stages
