// SPDX-License-Identifier: Apache-2.0
//
// mTLS for gRPC: both sides show a certificate of the fleet's CA. The server's must hold the
// address that the client dialled (IP addresses stand in it as IP subject alternative names).
//
// TLS 1.3 only: Debian's gRPC has no public switch for it. Both functions therefore set the
// process's TLS 1.2 cipher list to RSA-signed suites only (GRPC_SSL_CIPHER_SUITES), which no key of
// the fleet (P-256) can serve; the suites of TLS 1.3 are another list. Call one of them before any
// other use of gRPC in the process.
#ifndef COMMON_TLS_GRPC_CREDENTIALS_H_
#define COMMON_TLS_GRPC_CREDENTIALS_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/tls/identity.h"
#include "grpcpp/security/auth_context.h"
#include "grpcpp/security/credentials.h"
#include "grpcpp/security/server_credentials.h"

namespace npufleet::tls {

// Requires a client certificate of the identity's CA.
std::shared_ptr<grpc::ServerCredentials> ServerCredentials(const Identity& identity);
std::shared_ptr<grpc::ChannelCredentials> ClientCredentials(const Identity& identity);

struct Peer {
  std::string name;  // CN
  std::string role;  // O
};

// Of the certificate of the other side. Unauthenticated when it showed none.
absl::StatusOr<Peer> PeerOf(const grpc::AuthContext& context);

}  // namespace npufleet::tls

#endif  // COMMON_TLS_GRPC_CREDENTIALS_H_
