// SPDX-License-Identifier: Apache-2.0
//
// Core values to and from the wire. Pure.
#ifndef CONTROLLER_RUNTIME_WIRE_H_
#define CONTROLLER_RUNTIME_WIRE_H_

#include <map>
#include <string>

#include "controller/core/command.h"
#include "controller/core/event.h"
#include "npufleet/v1/operation.pb.h"
#include "npufleet/v1/verbs.pb.h"

namespace npufleet::runtime {

core::Failure FromWire(const v1::Failure& failure);
v1::Failure ToWire(const core::Failure& failure);
core::Observation FromWire(const v1::Observation& observation);
// `operation` has ended.
core::OperationEnded EndOf(const v1::Operation& operation);

// What an agent is to look at or make true. Dependencies on the task's own node are named by their
// stage ("image"), others by their task ("ray-head@node-a").
v1::Subject SubjectOf(const std::string& task, const std::string& node, const v1::Verb& verb,
                      const std::string& stamp, const std::map<std::string, std::string>& inputs);

v1::Operation::Action ToWire(core::Action action);

}  // namespace npufleet::runtime

#endif  // CONTROLLER_RUNTIME_WIRE_H_
