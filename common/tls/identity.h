// SPDX-License-Identifier: Apache-2.0
//
// A program's own certificate, its key and the CA that it trusts, as three files of one folder:
// ca.pem, cert.pem, key.pem.
#ifndef COMMON_TLS_IDENTITY_H_
#define COMMON_TLS_IDENTITY_H_

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace npufleet::tls {

struct Identity {
  std::string ca_pem;
  std::string certificate_pem;
  std::string key_pem;
};

// NotFound names the file that is missing.
absl::StatusOr<Identity> LoadIdentity(std::string_view directory);
// The same from three paths of any name.
absl::StatusOr<Identity> LoadIdentity(std::string_view ca, std::string_view certificate,
                                      std::string_view key);

// Makes the folder (0755, parents too) and replaces each file atomically; the key is 0600 from its
// first byte. After a crash in between the old certificate may stand beside the new key: renewal
// keeps the key when it can, joining is done again.
absl::Status SaveIdentity(std::string_view directory, const Identity& identity);

// True from two thirds of the certificate's life on, and for one that cannot be read.
bool NeedsRenewal(const std::string& certificate_pem, absl::Time now);

// Replaces `path` atomically (temporary file beside it, fsync, rename, fsync of the folder).
absl::Status WriteFileAtomically(const std::string& path, const std::string& content,
                                 unsigned mode);
// NotFound when it is missing; a megabyte at most.
absl::StatusOr<std::string> ReadWholeFile(const std::string& path);

}  // namespace npufleet::tls

#endif  // COMMON_TLS_IDENTITY_H_
