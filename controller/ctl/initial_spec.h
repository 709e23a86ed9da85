// SPDX-License-Identifier: Apache-2.0
//
// A first deployment to edit: what is known of the fleet filled in, the rest with comments. Pure.
#ifndef CONTROLLER_CTL_INITIAL_SPEC_H_
#define CONTROLLER_CTL_INITIAL_SPEC_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "npufleet/v1/controller.pb.h"

namespace npufleet::ctl {

struct InitialSpec {
  struct Node {
    std::string name;
    std::string address;
    std::string nic;  // empty: to be filled in
  };
  std::string name;
  std::string model = "Qwen/Qwen3-235B-A22B";              // OWNER/NAME of a hub
  std::vector<Node> nodes;                                 // the first is the head
  std::vector<uint32_t> chips = {0, 1, 2, 3, 4, 5, 6, 7};  // of each node
  std::vector<std::string> drivers;                        // versions that the nodes have
};

// "node-a=192.168.0.15" or "node-a=192.168.0.15,enp67s0f0". InvalidArgument says what is wrong.
absl::StatusOr<InitialSpec::Node> ParseNode(const std::string& text);

// Nodes in the order of `wanted` (all when it is empty), with the chips that all of them have, and
// the interface that has the address where its agent tells it.
// NotFound names the nodes that there are; FailedPrecondition: no node, or no chip in common.
absl::Status TakeNodes(const v1::ListNodesReply& fleet, const std::vector<std::string>& wanted,
                       InitialSpec* spec);

// "qwen3-235b-a22b" for Qwen/Qwen3-235B-A22B: a name that a deployment may have.
std::string NameFor(const std::string& model);

std::string WriteInitialSpec(const InitialSpec& spec);

}  // namespace npufleet::ctl

#endif  // CONTROLLER_CTL_INITIAL_SPEC_H_
