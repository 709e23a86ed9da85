// SPDX-License-Identifier: Apache-2.0
#include "common/tls/grpc_credentials.h"

#include <cstdlib>

#include "common/status_macros.h"
#include "common/tls/certificate_authority.h"
#include "grpc/grpc_security_constants.h"

namespace npufleet::tls {
namespace {

// gRPC reads the variable once, when it first makes credentials.
void ForbidOlderTls() {
  static const bool done = [] {
    setenv("GRPC_SSL_CIPHER_SUITES", "ECDHE-RSA-AES256-GCM-SHA384", /*overwrite=*/1);
    return true;
  }();
  (void)done;
}

}  // namespace

std::shared_ptr<grpc::ServerCredentials> ServerCredentials(const Identity& identity) {
  ForbidOlderTls();
  grpc::SslServerCredentialsOptions options(
      GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  options.pem_root_certs = identity.ca_pem;
  options.pem_key_cert_pairs.push_back({identity.key_pem, identity.certificate_pem});
  return grpc::SslServerCredentials(options);
}

std::shared_ptr<grpc::ChannelCredentials> ClientCredentials(const Identity& identity) {
  ForbidOlderTls();
  grpc::SslCredentialsOptions options;
  options.pem_root_certs = identity.ca_pem;
  options.pem_private_key = identity.key_pem;
  options.pem_cert_chain = identity.certificate_pem;
  return grpc::SslCredentials(options);
}

absl::StatusOr<Peer> PeerOf(const grpc::AuthContext& context) {
  const std::vector<grpc::string_ref> certificates =
      context.FindPropertyValues(GRPC_X509_PEM_CERT_PROPERTY_NAME);
  if (!context.IsPeerAuthenticated() || certificates.empty()) {
    return absl::UnauthenticatedError("the other side showed no certificate");
  }
  ASSIGN_OR_RETURN(CertificateInfo info,
                   ReadCertificate(std::string(certificates[0].data(), certificates[0].size())));
  return Peer{std::move(info.name), std::move(info.role)};
}

}  // namespace npufleet::tls
