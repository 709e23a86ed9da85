// SPDX-License-Identifier: Apache-2.0
//
// Whether the chips of this node reach those of the others over their own RoCE ports: chip i pings
// chip i of every peer (a rail), and the TLS switches of both ends are the same.
#ifndef AGENT_VERBS_CHECK_FABRIC_PING_PEERS_H_
#define AGENT_VERBS_CHECK_FABRIC_PING_PEERS_H_

#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "agent/verbs/verb.h"

namespace npufleet::verbs {

// What the token of the stage `fabric` says (check_fabric.h).
struct FabricToken {
  std::map<int, std::string> addresses;  // of each chip
  std::string tls;
};
FabricToken ParseFabricToken(std::string_view token);

// The addresses are the subject's inputs: `fabric` of this node and `fabric@PEER` of each peer.
// Token: "2 rails to node-b".
std::unique_ptr<Verb> MakePingPeers(const v1::CheckFabric& want, const v1::Subject& subject,
                                    host::Host& host);

}  // namespace npufleet::verbs

#endif  // AGENT_VERBS_CHECK_FABRIC_PING_PEERS_H_
