// SPDX-License-Identifier: Apache-2.0
//
// What each stage asks of a node's agent: one function a stage, each in the file of its name. Pure.
#ifndef CONTROLLER_STAGES_VERBS_H_
#define CONTROLLER_STAGES_VERBS_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "npufleet/v1/spec.pb.h"
#include "npufleet/v1/verbs.pb.h"

namespace npufleet::stages {

v1::Verb Preflight(const v1::DeploymentSpec& spec, const v1::Node& node);
v1::Verb Packages(const v1::DeploymentSpec& spec, const v1::Node& node);
v1::Verb Installers(const v1::DeploymentSpec& spec, const v1::Node& node);
v1::Verb Driver(const v1::DeploymentSpec& spec, const v1::Node& node);
v1::Verb Npu(const v1::DeploymentSpec& spec, const v1::Node& node);
v1::Verb Fabric(const v1::DeploymentSpec& spec, const v1::Node& node);
v1::Verb Reach(const v1::DeploymentSpec& spec, const v1::Node& node);
v1::Verb Docker(const v1::DeploymentSpec& spec, const v1::Node& node);
v1::Verb Runtime(const v1::DeploymentSpec& spec, const v1::Node& node);
v1::Verb Obsutil(const v1::DeploymentSpec& spec, const v1::Node& node);
v1::Verb Image(const v1::DeploymentSpec& spec, const v1::Node& node);
v1::Verb Model(const v1::DeploymentSpec& spec, const v1::Node& node);
v1::Verb Container(const v1::DeploymentSpec& spec, const v1::Node& node);
v1::Verb RayHead(const v1::DeploymentSpec& spec, const v1::Node& node);
v1::Verb RayWorker(const v1::DeploymentSpec& spec, const v1::Node& node);
v1::Verb Serve(const v1::DeploymentSpec& spec, const v1::Node& node);
v1::Verb Probe(const v1::DeploymentSpec& spec, const v1::Node& node);

// Shared by several stages.
const v1::Node& HeadOf(const v1::DeploymentSpec& spec);
std::vector<uint32_t> ChipsOf(const v1::DeploymentSpec& spec);
// Whether a source needs obsutil, and the spec says how to get it.
bool UsesObs(const v1::DeploymentSpec& spec);
v1::ObsAccess ObsAccessOf(const v1::DeploymentSpec& spec);
// The environment of `ray start` on `node`: runbook 3.4, then what the spec adds or replaces.
std::map<std::string, std::string> RayEnvironment(const v1::DeploymentSpec& spec,
                                                  const v1::Node& node);

}  // namespace npufleet::stages

#endif  // CONTROLLER_STAGES_VERBS_H_
