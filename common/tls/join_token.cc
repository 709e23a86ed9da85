// SPDX-License-Identifier: Apache-2.0
#include "common/tls/join_token.h"

#include <algorithm>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_split.h"
#include "common/status_macros.h"
#include "common/tls/openssl.h"

namespace npufleet::tls {
namespace {

constexpr size_t kHexDigits = 64;

bool IsLowerHex(const std::string& text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

}  // namespace

absl::Status CheckNodeName(const std::string& name) {
  const auto inner = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '-';
  };
  if (name.empty() || name.size() > 63 || name.front() == '-' || name.back() == '-' ||
      !std::all_of(name.begin(), name.end(), inner)) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", name,
                     "\" is not a node name: lower-case letters, digits and inner "
                     "hyphens, 63 at most"));
  }
  return absl::OkStatus();
}

std::string FormatJoinToken(const JoinToken& token) {
  return absl::StrCat("npufleet.", token.node, ".", token.secret, ".", token.ca_sha256);
}

absl::StatusOr<JoinToken> ParseJoinToken(const std::string& text) {
  const std::vector<std::string> parts = absl::StrSplit(text, '.');
  if (parts.size() != 4 || parts[0] != "npufleet") {
    return absl::InvalidArgumentError(
        "not a join token: it is npufleet.NODE.SECRET.SHA256-OF-CA, as `npufleet-controller token "
        "create --node NODE` prints it");
  }
  JoinToken token{parts[1], parts[2], parts[3]};
  RETURN_IF_ERROR(Annotate(CheckNodeName(token.node), "join token"));
  if (token.secret.size() != kHexDigits || !IsLowerHex(token.secret)) {
    return absl::InvalidArgumentError(absl::StrCat("join token: the secret is not ", kHexDigits,
                                                   " hex digits; was the token cut?"));
  }
  if (token.ca_sha256.size() != kHexDigits || !IsLowerHex(token.ca_sha256)) {
    return absl::InvalidArgumentError(absl::StrCat("join token: the CA's digest is not ",
                                                   kHexDigits, " hex digits; was the token cut?"));
  }
  return token;
}

absl::StatusOr<std::string> SignText(const std::string& key_pem, const std::string& text) {
  ASSIGN_OR_RETURN(KeyPtr key, ParseKey(key_pem));
  DigestPtr digest(EVP_MD_CTX_new());
  const auto* data = reinterpret_cast<const unsigned char*>(text.data());
  size_t size = 0;
  if (EVP_DigestSignInit(digest.get(), nullptr, EVP_sha256(), nullptr, key.get()) != 1 ||
      EVP_DigestSign(digest.get(), nullptr, &size, data, text.size()) != 1) {
    return OpensslError(absl::StatusCode::kInternal, "signing");
  }
  std::vector<unsigned char> signature(size);
  if (EVP_DigestSign(digest.get(), signature.data(), &size, data, text.size()) != 1) {
    return OpensslError(absl::StatusCode::kInternal, "signing");
  }
  return Hex(signature.data(), size);
}

absl::Status VerifyText(const std::string& certificate_pem, const std::string& text,
                        const std::string& signature) {
  ASSIGN_OR_RETURN(CertificatePtr certificate, ParseCertificate(certificate_pem));
  if (!IsLowerHex(signature) || signature.size() % 2 != 0) {
    return absl::PermissionDeniedError("the signature is not lower-case hex");
  }
  const std::string bytes = absl::HexStringToBytes(signature);
  DigestPtr digest(EVP_MD_CTX_new());
  if (EVP_DigestVerifyInit(digest.get(), nullptr, EVP_sha256(), nullptr,
                           X509_get0_pubkey(certificate.get())) != 1 ||
      EVP_DigestVerify(digest.get(), reinterpret_cast<const unsigned char*>(bytes.data()),
                       bytes.size(), reinterpret_cast<const unsigned char*>(text.data()),
                       text.size()) != 1) {
    ERR_clear_error();
    return absl::PermissionDeniedError("the signature is not that of the certificate's key");
  }
  return absl::OkStatus();
}

}  // namespace npufleet::tls
