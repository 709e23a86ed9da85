// SPDX-License-Identifier: Apache-2.0
#include "common/tls/openssl.h"

#include <arpa/inet.h>

#include <algorithm>

namespace npufleet::tls {

absl::Status OpensslError(absl::StatusCode code, const std::string& what) {
  const unsigned long error = ERR_peek_last_error();
  ERR_clear_error();
  if (error == 0) return absl::Status(code, what);
  char text[256];
  ERR_error_string_n(error, text, sizeof text);
  return absl::Status(code, absl::StrCat(what, ": ", text));
}

BioPtr ReadBio(const std::string& text) {
  return BioPtr(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

BioPtr MemoryBio() { return BioPtr(BIO_new(BIO_s_mem())); }

std::string TextOf(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return size > 0 ? std::string(data, static_cast<size_t>(size)) : std::string();
}

namespace {

// Without this OpenSSL would ask for the passphrase of an encrypted key on the terminal.
int NoPassphrase(char*, int, int, void*) { return 0; }

}  // namespace

absl::StatusOr<KeyPtr> ParseKey(const std::string& pem) {
  BioPtr bio = ReadBio(pem);
  KeyPtr key(PEM_read_bio_PrivateKey(bio.get(), nullptr, NoPassphrase, nullptr));
  if (!key) return OpensslError(absl::StatusCode::kInvalidArgument, "not a private key in PEM");
  return key;
}

absl::StatusOr<CertificatePtr> ParseCertificate(const std::string& pem) {
  BioPtr bio = ReadBio(pem);
  CertificatePtr certificate(PEM_read_bio_X509(bio.get(), nullptr, NoPassphrase, nullptr));
  if (!certificate) {
    return OpensslError(absl::StatusCode::kInvalidArgument, "not a certificate in PEM");
  }
  return certificate;
}

absl::StatusOr<RequestPtr> ParseRequest(const std::string& pem) {
  BioPtr bio = ReadBio(pem);
  RequestPtr request(PEM_read_bio_X509_REQ(bio.get(), nullptr, NoPassphrase, nullptr));
  if (!request) {
    return OpensslError(absl::StatusCode::kInvalidArgument, "not a signing request in PEM");
  }
  return request;
}

bool IsP256(EVP_PKEY* key) {
  char group[64] = {};
  size_t size = 0;
  return EVP_PKEY_is_a(key, "EC") &&
         EVP_PKEY_get_group_name(key, group, sizeof group, &size) == 1 &&
         std::string(group, size) == "prime256v1";
}

absl::StatusOr<std::string> AlternativeName(const std::string& address) {
  unsigned char bytes[16];
  if (inet_pton(AF_INET, address.c_str(), bytes) == 1 ||
      inet_pton(AF_INET6, address.c_str(), bytes) == 1) {
    return absl::StrCat("IP:", address);
  }
  const bool is_name = !address.empty() && address.size() <= 253 &&
                       std::all_of(address.begin(), address.end(), [](char c) {
                         return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                                (c >= '0' && c <= '9') || c == '-' || c == '.';
                       });
  if (!is_name) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", address, "\" is neither an IP address nor a host name"));
  }
  return absl::StrCat("DNS:", address);
}

std::string Hex(const unsigned char* bytes, size_t size) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  hex.reserve(2 * size);
  for (size_t i = 0; i < size; ++i) {
    hex += kDigits[bytes[i] >> 4];
    hex += kDigits[bytes[i] & 15];
  }
  return hex;
}

}  // namespace npufleet::tls
