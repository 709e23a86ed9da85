// SPDX-License-Identifier: Apache-2.0
//
// Whether a node is cut off, reboots or is dead: what the controller can tell from where it stands.
// Pure.
//
//   connected ──> its agent closed the stream  ──> it ended in order: stopped, or going down
//             └─> silence                      ──> the cable, the power, or a kernel that hangs
//   then each attempt:  refused   -> the machine answers, the agent does not run (yet)
//                       no answer -> nothing answers
//   back:  same boot id -> it was cut off, or only its agent ended;  another -> it has rebooted
#ifndef CONTROLLER_RUNTIME_CONTACT_H_
#define CONTROLLER_RUNTIME_CONTACT_H_

#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "controller/core/state.h"
#include "npufleet/v1/controller.pb.h"

namespace npufleet::runtime {

// What is known of the way to one agent.
struct Contact {
  bool connected = false;
  std::string reason = "not reached yet";   // why it was lost, or the newest attempt failed
  std::string attempt;                      // how the newest attempt since then failed
  absl::Time since = absl::InfinitePast();  // connected or lost; InfinitePast: never reached
  std::string boot_id;                      // of the newest boot that was seen
};

// `node` is null when no rollout uses it.
v1::RolloutNode NodeOf(const std::string& name, const Contact& contact, const core::Node* node,
                       absl::Time now);

// Of a gRPC status: the machine's kernel answered that nobody listens.
bool IsRefusedConnection(std::string_view message);

}  // namespace npufleet::runtime

#endif  // CONTROLLER_RUNTIME_CONTACT_H_
