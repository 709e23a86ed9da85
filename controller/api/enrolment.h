// SPDX-License-Identifier: Apache-2.0
//
// How a node becomes one of the fleet (common/tls/join_token.h has the wire), and how its
// certificate is renewed.
#ifndef CONTROLLER_API_ENROLMENT_H_
#define CONTROLLER_API_ENROLMENT_H_

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "common/tls/certificate_authority.h"
#include "controller/store/node_store.h"

namespace npufleet::api {

struct JoinRequest {
  std::string node;
  std::string secret;
  std::string address;  // host or host:port (default 7602) at which others reach the node's agent
  std::string csr;
};

// Threadsafe. What is injected outlives it.
class Enrolment {
 public:
  using OnJoined = std::function<void(const std::string& node, const std::string& address)>;

  Enrolment(store::NodeStore& store, tls::CertificateAuthority authority, Clock& clock,
            OnJoined on_joined)
      : store_(store),
        authority_(std::move(authority)),
        clock_(clock),
        on_joined_(std::move(on_joined)) {}

  const std::string& ca_pem() const { return authority_.ca_pem(); }

  // A token for one join of `node`, as text. InvalidArgument for a bad name or a time that is not
  // within a second and 30 days.
  absl::StatusOr<std::string> CreateJoinToken(const std::string& node, absl::Duration valid_for);

  // The node's certificate (role agent, the host of its address). PermissionDenied: unknown secret,
  // another node's token, expired or used, without a hint which. InvalidArgument: address or
  // request.
  absl::StatusOr<std::string> Join(const JoinRequest& request);

  // A new certificate for the holder of `certificate`, which must be from the node's newest
  // join or later; `signature` proves that the caller has its key. Same name, role and address.
  absl::StatusOr<std::string> Renew(const std::string& certificate, const std::string& csr,
                                    const std::string& signature);

 private:
  store::NodeStore& store_;
  const tls::CertificateAuthority authority_;
  Clock& clock_;
  const OnJoined on_joined_;
};

}  // namespace npufleet::api

#endif  // CONTROLLER_API_ENROLMENT_H_
