// SPDX-License-Identifier: Apache-2.0
//
// What a node needs to join, as one word: npufleet.NODE.SECRET.SHA256-OF-CA. And the body of the
// two requests that it makes with it, over HTTPS to the controller's port 7601:
//
//   GET  /join/ca   -> 200, the CA's certificate as PEM. Asked without trust; its digest must be
//   the
//                      token's, then exactly this CA is trusted.
//   POST /join {"node":"node-b","secret":"…","address":"192.168.0.16:7602","csr":"-----BEGIN…"}
//                   -> 200 {"certificate":"-----BEGIN…"}
//                   -> 4xx {"error":{"code":403,"status":"PERMISSION_DENIED","message":"…"}}
//   POST /join/renew {"certificate":"-----BEGIN…","csr":"-----BEGIN…","signature":"HEX"}
//                   -> as /join. `signature` is SignText(key of `certificate`, csr).
#ifndef COMMON_TLS_JOIN_TOKEN_H_
#define COMMON_TLS_JOIN_TOKEN_H_

#include <string>

#include "absl/status/statusor.h"

namespace npufleet::tls {

struct JoinToken {
  std::string node;       // [a-z0-9]([-a-z0-9]*[a-z0-9])?, 63 characters at most
  std::string secret;     // 64 hex digits
  std::string ca_sha256;  // 64 hex digits
};

std::string FormatJoinToken(const JoinToken& token);
// InvalidArgument says which part is wrong, and never repeats the secret.
absl::StatusOr<JoinToken> ParseJoinToken(const std::string& text);

// OK for a name that a node may have.
absl::Status CheckNodeName(const std::string& name);

// ECDSA over SHA-256 of `text`, as hex: proof that the caller holds the key.
absl::StatusOr<std::string> SignText(const std::string& key_pem, const std::string& text);
// PermissionDenied when `signature` is not that of the certificate's key over `text`.
absl::Status VerifyText(const std::string& certificate_pem, const std::string& text,
                        const std::string& signature);

}  // namespace npufleet::tls

#endif  // COMMON_TLS_JOIN_TOKEN_H_
