// SPDX-License-Identifier: Apache-2.0
//
// The fleet's own certificate authority. Certificates are P-256; CN is the name and O the role of
// the holder: controller, agent, viewer, operator, admin.
#ifndef COMMON_TLS_CERTIFICATE_AUTHORITY_H_
#define COMMON_TLS_CERTIFICATE_AUTHORITY_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace npufleet::tls {

inline constexpr absl::Duration kCertificateLifetime = absl::Hours(24 * 365);
// A certificate is valid from this long before it was made: clocks differ.
inline constexpr absl::Duration kClockTolerance = absl::Seconds(300);

// Holds the CA's key: a copyable value, immutable, threadsafe.
class CertificateAuthority {
 public:
  // A new self-signed authority, valid for 20 years.
  static absl::StatusOr<CertificateAuthority> Create(const std::string& name);
  // From what ca_pem() and key_pem() gave. InvalidArgument when the key is not the certificate's
  // or the certificate is not an authority's.
  static absl::StatusOr<CertificateAuthority> Load(const std::string& ca_pem,
                                                   const std::string& key_pem);

  const std::string& ca_pem() const { return ca_pem_; }
  const std::string& key_pem() const { return key_pem_; }

  // A certificate (PEM) for the key of the request, for servers and clients. Subject: CN=`name`,
  // O=`role`, whatever the request says; SAN: `name` as DNS name and each address, as IP where it
  // is one. Valid from kClockTolerance ago for `lifetime`. InvalidArgument: the request does not
  // parse, its signature is wrong or its key is not P-256.
  absl::StatusOr<std::string> Sign(const std::string& csr_pem, const std::string& role,
                                   const std::string& name,
                                   const std::vector<std::string>& addresses,
                                   absl::Duration lifetime = kCertificateLifetime) const;

 private:
  CertificateAuthority(std::string ca_pem, std::string key_pem)
      : ca_pem_(std::move(ca_pem)), key_pem_(std::move(key_pem)) {}

  std::string ca_pem_;
  std::string key_pem_;
};

// Lower-case hex of the SHA-256 of the certificate's DER: what a join token pins.
absl::StatusOr<std::string> Sha256OfCertificate(const std::string& certificate_pem);

// Whether `certificate_pem` was signed by `ca_pem` and is valid at `now`. PermissionDenied says why
// not.
absl::Status VerifyCertificate(const std::string& certificate_pem, const std::string& ca_pem,
                               absl::Time now);

struct CertificateInfo {
  std::string name;  // CN
  std::string role;  // O
  absl::Time not_before;
  absl::Time not_after;
  std::vector<std::string> addresses;  // SAN: DNS names and IP addresses as text
};
absl::StatusOr<CertificateInfo> ReadCertificate(const std::string& certificate_pem);

}  // namespace npufleet::tls

#endif  // COMMON_TLS_CERTIFICATE_AUTHORITY_H_
