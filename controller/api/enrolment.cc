// SPDX-License-Identifier: Apache-2.0
#include "controller/api/enrolment.h"

#include "absl/strings/numbers.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "common/tls/join_token.h"
#include "common/tls/keys.h"

namespace npufleet::api {
namespace {

constexpr char kAgentPort[] = ":7602";
constexpr absl::Duration kLongestToken = absl::Hours(24 * 30);

absl::Status CheckAddress(const std::string& address) {
  const std::string host = tls::HostOfAddress(address);
  const size_t colon = address.rfind(':');
  uint32_t port = 0;
  const bool has_port = colon != std::string::npos && host != address &&
                        absl::SimpleAtoi(address.substr(colon + 1), &port) && port > 0 &&
                        port < 65536;
  if (!has_port || host.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "address \"", address, "\" is not HOST or HOST:PORT, such as 192.168.0.16:7602"));
  }
  if (host == "0.0.0.0" || host == "::") {
    return absl::InvalidArgumentError(
        absl::StrCat("address \"", address,
                     "\" is where the agent listens; give the one at which others reach it"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> Enrolment::CreateJoinToken(const std::string& node,
                                                       absl::Duration valid_for) {
  RETURN_IF_ERROR(tls::CheckNodeName(node));
  if (valid_for < absl::Seconds(1) || valid_for > kLongestToken) {
    return absl::InvalidArgumentError(absl::StrCat("a join token is valid for 1s to 720h, not ",
                                                   absl::FormatDuration(valid_for)));
  }
  tls::JoinToken token;
  token.node = node;
  ASSIGN_OR_RETURN(token.secret, tls::RandomHex(32));
  ASSIGN_OR_RETURN(token.ca_sha256, tls::Sha256OfCertificate(authority_.ca_pem()));
  RETURN_IF_ERROR(store_.AddJoinToken(
      {tls::Sha256Hex(token.secret), node, clock_.Now() + valid_for, std::nullopt}));
  return tls::FormatJoinToken(token);
}

absl::StatusOr<std::string> Enrolment::Join(const JoinRequest& joining) {
  JoinRequest request = joining;
  if (tls::HostOfAddress(request.address) == request.address && !request.address.empty()) {
    absl::StrAppend(&request.address, kAgentPort);
  }
  const absl::Status refused = absl::PermissionDeniedError(
      absl::StrCat("the join token of \"", request.node,
                   "\" is not valid: unknown, used or expired. Make a new one: "
                   "npufleet-controller token create --node ",
                   request.node));
  RETURN_IF_ERROR(tls::CheckNodeName(request.node));
  RETURN_IF_ERROR(CheckAddress(request.address));
  const std::string secret_sha256 = tls::Sha256Hex(request.secret);
  const absl::StatusOr<store::JoinTokenRecord> token = store_.FindJoinToken(secret_sha256);
  if (absl::IsNotFound(token.status())) return refused;
  RETURN_IF_ERROR(token.status());
  const absl::Time now = clock_.Now();
  if (token->node != request.node || token->used.has_value() || token->expiry <= now) {
    return refused;
  }
  ASSIGN_OR_RETURN(std::string certificate, authority_.Sign(request.csr, "agent", request.node,
                                                            {tls::HostOfAddress(request.address)}));
  const absl::Status joined = store_.Join(secret_sha256, {request.node, request.address, now});
  if (absl::IsFailedPrecondition(joined)) return refused;
  RETURN_IF_ERROR(joined);
  log::Info("node ", request.node, " joined at ", request.address);
  if (on_joined_) on_joined_(request.node, request.address);
  return certificate;
}

absl::StatusOr<std::string> Enrolment::Renew(const std::string& certificate, const std::string& csr,
                                             const std::string& signature) {
  RETURN_IF_ERROR(tls::VerifyCertificate(certificate, authority_.ca_pem(), clock_.Now()));
  RETURN_IF_ERROR(tls::VerifyText(certificate, csr, signature));
  ASSIGN_OR_RETURN(const tls::CertificateInfo info, tls::ReadCertificate(certificate));
  const absl::StatusOr<store::Node> node = store_.FindNode(info.name);
  // A second: the certificate's time has no fraction.
  const absl::Time issued = info.not_before + tls::kClockTolerance + absl::Seconds(1);
  if (info.role != "agent" || !node.ok() || issued < node->joined) {
    return absl::PermissionDeniedError(absl::StrCat(
        "this is not a present certificate of a node \"", info.name, "\": join again"));
  }
  ASSIGN_OR_RETURN(std::string renewed,
                   authority_.Sign(csr, "agent", info.name, {tls::HostOfAddress(node->address)}));
  log::Info("node ", info.name, " renewed its certificate");
  return renewed;
}

}  // namespace npufleet::api
