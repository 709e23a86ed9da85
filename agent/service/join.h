// SPDX-License-Identifier: Apache-2.0
//
// `npufleet-agent join`: gets this node its certificate with a one-time token
// (common/tls/join_token.h).
#ifndef AGENT_SERVICE_JOIN_H_
#define AGENT_SERVICE_JOIN_H_

#include <string>

#include "absl/status/status.h"
#include "agent/host/host.h"

namespace npufleet::service {

struct JoinOptions {
  std::string controller;  // https://HOST:7601
  std::string token;       // npufleet.NODE.SECRET.SHA256-OF-CA
  std::string name;        // empty: the token's node
  std::string address;     // HOST:PORT where the controller reaches this agent
  std::string ca_file;     // the CA, when it is here already; must match the token all the same
  std::string identity_directory = "/etc/npufleet/agent";
};

// On OK the identity is in its directory. InvalidArgument: a bad token, name or URL.
// PermissionDenied: the controller has another CA than the token pins, or refuses the token.
// Unavailable: no connection.
absl::Status Join(host::Host& host, const JoinOptions& options);

}  // namespace npufleet::service

#endif  // AGENT_SERVICE_JOIN_H_
