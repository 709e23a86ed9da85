// SPDX-License-Identifier: Apache-2.0
#include "agent/service/join.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "agent/host/json.h"
#include "common/status_macros.h"
#include "common/string_views.h"
#include "common/tls/certificate_authority.h"
#include "common/tls/identity.h"
#include "common/tls/join_token.h"
#include "common/tls/keys.h"

namespace npufleet::service {
namespace {

constexpr char kControllerFile[] = "/controller";
constexpr absl::Duration kJoinDeadline = absl::Seconds(30);
// The watchdog's thread asks for it: half of WatchdogSec=30 and this must not come to all of it.
constexpr absl::Duration kRenewalDeadline = absl::Seconds(10);

// The CA's certificate, whoever sent it: it is trusted only because its digest is the token's.
absl::StatusOr<std::string> PinnedCa(host::Host& host, const JoinOptions& options,
                                     const std::string& url, const tls::JoinToken& token) {
  std::string pem;
  if (!options.ca_file.empty()) {
    ASSIGN_OR_RETURN(pem, tls::ReadWholeFile(options.ca_file));
  } else {
    host::HttpRequest request;
    request.url = url + "/join/ca";
    request.direct = true;
    request.verify_peer = false;
    request.follow_redirects = false;
    ASSIGN_OR_RETURN(host::HttpResponse response, host.http->Send(request));
    if (response.status != 200) {
      return absl::UnavailableError(
          absl::StrCat(request.url, " answered ", response.status, ": is it the controller?"));
    }
    pem = response.body;
  }
  ASSIGN_OR_RETURN(std::string digest, tls::Sha256OfCertificate(pem));
  if (digest != token.ca_sha256) {
    return absl::PermissionDeniedError(
        absl::StrCat("the CA of ", url, " is not the one that the token names (",
                     digest.substr(0, 16), "… instead of ", token.ca_sha256.substr(0, 16),
                     "…): wrong controller, an old token, or somebody in between"));
  }
  return pem;
}

absl::Status Refused(const host::HttpResponse& response) {
  const host::Json body = host::ParseJson(response.body);
  std::string message = host::TextOf(host::Member(body, "error"), "message");
  if (message.empty()) message = absl::StrCat("HTTP status ", response.status);
  return absl::PermissionDeniedError(absl::StrCat("the controller refused: ", message));
}

// The certificate of the controller's answer to `body`, posted to `url` with trust in `ca_file`.
absl::StatusOr<std::string> AskForCertificate(host::Host& host, const std::string& url,
                                              const std::string& ca_file, absl::Duration deadline,
                                              const host::Json& body) {
  host::HttpRequest request;
  request.direct = true;
  request.method = "POST";
  request.url = url;
  request.headers["Content-Type"] = "application/json";
  request.ca_file = ca_file;
  request.deadline = deadline;
  request.follow_redirects = false;
  request.body = body.dump(-1, ' ', false, host::Json::error_handler_t::replace);
  ASSIGN_OR_RETURN(const host::HttpResponse response, host.http->Send(request));
  if (response.status != 200) return Refused(response);
  std::string certificate = host::TextOf(host::ParseJson(response.body), "certificate");
  if (certificate.empty()) {
    return absl::InternalError("the controller's answer holds no certificate");
  }
  return certificate;
}

}  // namespace

absl::Status Join(host::Host& host, const JoinOptions& options) {
  ASSIGN_OR_RETURN(tls::JoinToken token, tls::ParseJoinToken(options.token));
  const std::string name = options.name.empty() ? token.node : options.name;
  if (name != token.node) {
    return absl::InvalidArgumentError(
        absl::StrCat("the token is for node ", token.node, ", not for ", name));
  }
  if (options.address.empty()) {
    return absl::InvalidArgumentError(
        "--address is missing: where the controller reaches this node");
  }
  if (!absl::StartsWith(options.controller, "https://")) {
    return absl::InvalidArgumentError(
        absl::StrCat("--controller must be https://HOST:7601, not ", options.controller));
  }
  const std::string url(absl::StripSuffix(options.controller, "/"));

  tls::Identity identity;
  ASSIGN_OR_RETURN(identity.ca_pem, PinnedCa(host, options, url, token));
  ASSIGN_OR_RETURN(identity.key_pem, tls::GenerateKey());
  ASSIGN_OR_RETURN(std::string csr,
                   tls::MakeCsr(identity.key_pem, name, tls::HostOfAddress(options.address)));
  const host::Filesystem files("/");
  const std::string trusted = options.identity_directory + "/.joining-ca.pem";
  RETURN_IF_ERROR(files.Write(trusted, identity.ca_pem));
  absl::StatusOr<std::string> certificate = AskForCertificate(
      host, url + "/join", trusted, kJoinDeadline,
      {{"node", name}, {"secret", token.secret}, {"address", options.address}, {"csr", csr}});
  files.Remove(trusted).IgnoreError();
  RETURN_IF_ERROR(certificate.status());
  identity.certificate_pem = *std::move(certificate);
  RETURN_IF_ERROR(tls::SaveIdentity(options.identity_directory, identity));
  return tls::WriteFileAtomically(options.identity_directory + kControllerFile, url + "\n", 0644);
}

absl::StatusOr<std::string> JoinedName(const std::string& identity_directory) {
  const absl::StatusOr<tls::Identity> identity = tls::LoadIdentity(identity_directory);
  if (absl::IsNotFound(identity.status())) {
    return absl::NotFoundError(
        absl::StrCat("this node has not joined: npufleet-agent join --controller https://HOST:7601 "
                     "--token TOKEN --address HOST:7602, with a token from `npufleet-controller "
                     "token create` (",
                     identity.status().message(), ")"));
  }
  RETURN_IF_ERROR(identity.status());
  ASSIGN_OR_RETURN(const tls::CertificateInfo info,
                   tls::ReadCertificate(identity->certificate_pem));
  return info.name;
}

absl::StatusOr<bool> RenewIfDue(host::Host& host, const std::string& identity_directory,
                                absl::Time now) {
  ASSIGN_OR_RETURN(tls::Identity identity, tls::LoadIdentity(identity_directory));
  if (!tls::NeedsRenewal(identity.certificate_pem, now)) return false;
  ASSIGN_OR_RETURN(const std::string url, tls::ReadWholeFile(identity_directory + kControllerFile));
  ASSIGN_OR_RETURN(const tls::CertificateInfo info, tls::ReadCertificate(identity.certificate_pem));
  ASSIGN_OR_RETURN(const std::string csr, tls::MakeCsr(identity.key_pem, info.name, ""));
  ASSIGN_OR_RETURN(const std::string signature, tls::SignText(identity.key_pem, csr));
  ASSIGN_OR_RETURN(
      identity.certificate_pem,
      AskForCertificate(
          host, absl::StrCat(absl::StripAsciiWhitespace(url), "/join/renew"),
          identity_directory + "/ca.pem", kRenewalDeadline,
          {{"certificate", identity.certificate_pem}, {"csr", csr}, {"signature", signature}}));
  RETURN_IF_ERROR(tls::VerifyCertificate(identity.certificate_pem, identity.ca_pem, now));
  RETURN_IF_ERROR(tls::SaveIdentity(identity_directory, identity));
  return true;
}

}  // namespace npufleet::service
