// SPDX-License-Identifier: Apache-2.0
//
// Owners and conversions for OpenSSL's objects. Only for the sources of common/tls.
#ifndef COMMON_TLS_OPENSSL_H_
#define COMMON_TLS_OPENSSL_H_

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"

namespace npufleet::tls {

template <auto Free>
struct Freer {
  template <typename T>
  void operator()(T* object) const {
    Free(object);
  }
};
using KeyPtr = std::unique_ptr<EVP_PKEY, Freer<EVP_PKEY_free>>;
using CertificatePtr = std::unique_ptr<X509, Freer<X509_free>>;
using RequestPtr = std::unique_ptr<X509_REQ, Freer<X509_REQ_free>>;
using BioPtr = std::unique_ptr<BIO, Freer<BIO_free_all>>;
using DigestPtr = std::unique_ptr<EVP_MD_CTX, Freer<EVP_MD_CTX_free>>;
using StorePtr = std::unique_ptr<X509_STORE, Freer<X509_STORE_free>>;
using StoreContextPtr = std::unique_ptr<X509_STORE_CTX, Freer<X509_STORE_CTX_free>>;

// "what: OpenSSL's newest error"; clears OpenSSL's queue of this thread.
absl::Status OpensslError(absl::StatusCode code, const std::string& what);

absl::StatusOr<KeyPtr> ParseKey(const std::string& pem);                  // InvalidArgument
absl::StatusOr<CertificatePtr> ParseCertificate(const std::string& pem);  // InvalidArgument
absl::StatusOr<RequestPtr> ParseRequest(const std::string& pem);          // InvalidArgument

BioPtr ReadBio(const std::string& text);  // reads `text`, which must outlive it
BioPtr MemoryBio();
std::string TextOf(BIO* bio);

bool IsP256(EVP_PKEY* key);

// "IP:192.168.0.15" or "DNS:node-b", as OpenSSL's extension configuration writes it.
// InvalidArgument for anything that is neither, so that no address can smuggle in another entry.
absl::StatusOr<std::string> AlternativeName(const std::string& address);

std::string Hex(const unsigned char* bytes, size_t size);

}  // namespace npufleet::tls

#endif  // COMMON_TLS_OPENSSL_H_
