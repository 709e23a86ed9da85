// SPDX-License-Identifier: Apache-2.0
//
// `npufleet-agent join`: gets this node its certificate with a one-time token, and renewal: a new
// one with the old (common/tls/join_token.h). Beside the identity stands the file `controller` with
// the URL that renewal asks.
#ifndef AGENT_SERVICE_JOIN_H_
#define AGENT_SERVICE_JOIN_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
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

// The name in the certificate in `identity_directory`. NotFound: this node has not joined, and how
// it does.
absl::StatusOr<std::string> JoinedName(const std::string& identity_directory);

// Replaces the certificate in `identity_directory` by a new one for the same key when two thirds of
// its life are over; true when it did. NotFound: the node joined before the controller's URL was
// kept. PermissionDenied: the controller has forgotten the node. Unavailable: no connection.
// DeadlineExceeded: it took the connection and did not answer within 10 s, which is the most that
// this takes.
absl::StatusOr<bool> RenewIfDue(host::Host& host, const std::string& identity_directory,
                                absl::Time now);

}  // namespace npufleet::service

#endif  // AGENT_SERVICE_JOIN_H_
