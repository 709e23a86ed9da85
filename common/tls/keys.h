// SPDX-License-Identifier: Apache-2.0
//
// Private keys and certificate signing requests: P-256, by OpenSSL. Threadsafe.
#ifndef COMMON_TLS_KEYS_H_
#define COMMON_TLS_KEYS_H_

#include <string>

#include "absl/status/statusor.h"

namespace npufleet::tls {

// A new P-256 key as PKCS #8 PEM.
absl::StatusOr<std::string> GenerateKey();

// A signing request as PEM for the subject CN=`name`. `address` (an IP address or a DNS name,
// without a port; may be empty) and `name` are asked for as subject alternative names. What the
// certificate really gets is the authority's decision.
absl::StatusOr<std::string> MakeCsr(const std::string& key_pem, const std::string& name,
                                    const std::string& address);

// `bytes` random bytes from the system, as lower-case hex: secrets of tokens.
absl::StatusOr<std::string> RandomHex(int bytes);

// Lower-case hex of the SHA-256 of `data`.
std::string Sha256Hex(const std::string& data);

// "192.168.0.15" of "192.168.0.15:7602", "::1" of "[::1]:7602", and the whole of what has no port.
std::string HostOfAddress(const std::string& host_and_port);

}  // namespace npufleet::tls

#endif  // COMMON_TLS_KEYS_H_
