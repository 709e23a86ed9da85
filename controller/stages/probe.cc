// SPDX-License-Identifier: Apache-2.0
#include "absl/strings/str_cat.h"
#include "controller/stages/verbs.h"

namespace npufleet::stages {

v1::Verb Probe(const v1::DeploymentSpec& spec, const v1::Node& node) {
  v1::Verb verb;
  v1::ProbeEngine& probe = *verb.mutable_probe_engine();
  probe.set_url(absl::StrCat("http://", node.address(), ":", spec.engine().port()));
  probe.set_model(spec.engine().served_model_name());
  probe.set_prompt(spec.probe().prompt());
  probe.set_max_tokens(spec.probe().max_tokens());
  *probe.mutable_deadline() = spec.probe().deadline();
  *probe.mutable_period() = spec.probe().period();
  return verb;
}

}  // namespace npufleet::stages
