// SPDX-License-Identifier: Apache-2.0
#include "common/tls/certificate_authority.h"

#include <arpa/inet.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

#include <algorithm>
#include <ctime>

#include "absl/strings/str_join.h"
#include "common/clock.h"
#include "common/status_macros.h"
#include "common/tls/openssl.h"

namespace npufleet::tls {
namespace {

constexpr absl::Duration kAuthorityLifetime = absl::Hours(24 * 365 * 20);

bool AddExtension(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
  if (extension == nullptr) return false;
  const bool added = X509_add_ext(certificate, extension, -1) == 1;
  X509_EXTENSION_free(extension);
  return added;
}

bool AddName(X509_NAME* subject, const char* field, const std::string& value) {
  return X509_NAME_add_entry_by_txt(subject, field, MBSTRING_UTF8,
                                    reinterpret_cast<const unsigned char*>(value.data()),
                                    static_cast<int>(value.size()), -1, 0) == 1;
}

// Version 3, a random serial number, the validity and the public key.
bool SetFrame(X509* certificate, EVP_PKEY* key, absl::Duration lifetime) {
  unsigned char serial[16];
  if (RAND_bytes(serial, sizeof serial) != 1) return false;
  serial[0] &= 0x7f;  // positive
  BIGNUM* number = BN_bin2bn(serial, sizeof serial, nullptr);
  BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate));
  BN_free(number);
  const time_t now = absl::ToTimeT(Clock::Real().Now());
  const time_t from = now - absl::ToInt64Seconds(kClockTolerance);
  const time_t until = now + absl::ToInt64Seconds(lifetime);
  return X509_set_version(certificate, 2) == 1 &&
         ASN1_TIME_set(X509_getm_notBefore(certificate), from) != nullptr &&
         ASN1_TIME_set(X509_getm_notAfter(certificate), until) != nullptr &&
         X509_set_pubkey(certificate, key) == 1;
}

absl::StatusOr<std::string> ToPem(X509* certificate) {
  BioPtr bio = MemoryBio();
  if (PEM_write_bio_X509(bio.get(), certificate) != 1) {
    return OpensslError(absl::StatusCode::kInternal, "writing a certificate");
  }
  return TextOf(bio.get());
}

std::string SubjectField(X509* certificate, int nid) {
  X509_NAME* subject = X509_get_subject_name(certificate);
  const int index = X509_NAME_get_index_by_NID(subject, nid, -1);
  if (index < 0) return "";
  unsigned char* text = nullptr;
  const int size =
      ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, index)));
  if (size < 0) return "";
  std::string field(reinterpret_cast<char*>(text), static_cast<size_t>(size));
  OPENSSL_free(text);
  return field;
}

absl::Time TimeOf(const ASN1_TIME* time) {
  std::tm broken_down = {};
  ASN1_TIME_to_tm(time, &broken_down);
  return absl::FromTimeT(timegm(&broken_down));
}

std::vector<std::string> AlternativeNames(X509* certificate) {
  std::vector<std::string> addresses;
  auto* names = static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
  for (int i = 0; i < sk_GENERAL_NAME_num(names); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names, i);
    if (name->type != GEN_DNS && name->type != GEN_IPADD) continue;
    const ASN1_STRING* value =
        name->type == GEN_DNS ? static_cast<ASN1_STRING*>(name->d.dNSName) : name->d.iPAddress;
    const unsigned char* data = ASN1_STRING_get0_data(value);
    const int size = ASN1_STRING_length(value);
    if (name->type == GEN_DNS) {
      addresses.emplace_back(reinterpret_cast<const char*>(data), static_cast<size_t>(size));
      continue;
    }
    char text[INET6_ADDRSTRLEN] = {};
    if (inet_ntop(size == 4 ? AF_INET : AF_INET6, data, text, sizeof text) != nullptr) {
      addresses.emplace_back(text);
    }
  }
  GENERAL_NAMES_free(names);
  return addresses;
}

}  // namespace

absl::StatusOr<CertificateAuthority> CertificateAuthority::Create(const std::string& name) {
  KeyPtr key(EVP_EC_gen("P-256"));
  CertificatePtr certificate(X509_new());
  if (!key || !certificate) {
    return OpensslError(absl::StatusCode::kInternal, "generating the authority's key");
  }
  X509* self = certificate.get();
  const bool made = SetFrame(self, key.get(), kAuthorityLifetime) &&
                    AddName(X509_get_subject_name(self), "CN", name) &&
                    X509_set_issuer_name(self, X509_get_subject_name(self)) == 1 &&
                    AddExtension(self, self, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
                    AddExtension(self, self, NID_key_usage, "critical,keyCertSign,cRLSign") &&
                    AddExtension(self, self, NID_subject_key_identifier, "hash") &&
                    X509_sign(self, key.get(), EVP_sha256()) > 0;
  BioPtr bio = MemoryBio();
  if (!made || PEM_write_bio_PKCS8PrivateKey(bio.get(), key.get(), nullptr, nullptr, 0, nullptr,
                                             nullptr) != 1) {
    return OpensslError(absl::StatusCode::kInternal, "making the authority's certificate");
  }
  ASSIGN_OR_RETURN(std::string ca_pem, ToPem(self));
  return CertificateAuthority(std::move(ca_pem), TextOf(bio.get()));
}

absl::StatusOr<CertificateAuthority> CertificateAuthority::Load(const std::string& ca_pem,
                                                                const std::string& key_pem) {
  ASSIGN_OR_RETURN(CertificatePtr certificate, ParseCertificate(ca_pem));
  ASSIGN_OR_RETURN(KeyPtr key, ParseKey(key_pem));
  if (X509_check_private_key(certificate.get(), key.get()) != 1) {
    return OpensslError(absl::StatusCode::kInvalidArgument,
                        "the authority's key is not that of its certificate");
  }
  if (X509_check_ca(certificate.get()) != 1) {
    return absl::InvalidArgumentError("the certificate is not that of an authority");
  }
  return CertificateAuthority(ca_pem, key_pem);
}

absl::StatusOr<std::string> CertificateAuthority::Sign(const std::string& csr_pem,
                                                       const std::string& role,
                                                       const std::string& name,
                                                       const std::vector<std::string>& addresses,
                                                       absl::Duration lifetime) const {
  ASSIGN_OR_RETURN(RequestPtr request, ParseRequest(csr_pem));
  EVP_PKEY* key = X509_REQ_get0_pubkey(request.get());
  if (key == nullptr || X509_REQ_verify(request.get(), key) != 1) {
    return OpensslError(absl::StatusCode::kInvalidArgument,
                        "the signing request's signature is wrong");
  }
  if (!IsP256(key)) return absl::InvalidArgumentError("the signing request's key is not P-256");

  std::vector<std::string> alternatives;
  ASSIGN_OR_RETURN(std::string own_name, AlternativeName(name));
  alternatives.push_back(std::move(own_name));
  for (const std::string& address : addresses) {
    ASSIGN_OR_RETURN(std::string alternative, AlternativeName(address));
    if (std::find(alternatives.begin(), alternatives.end(), alternative) == alternatives.end()) {
      alternatives.push_back(std::move(alternative));
    }
  }
  ASSIGN_OR_RETURN(CertificatePtr issuer, ParseCertificate(ca_pem_));
  ASSIGN_OR_RETURN(KeyPtr issuer_key, ParseKey(key_pem_));
  CertificatePtr certificate(X509_new());
  X509* leaf = certificate.get();
  const bool made =
      SetFrame(leaf, key, lifetime) && AddName(X509_get_subject_name(leaf), "O", role) &&
      AddName(X509_get_subject_name(leaf), "CN", name) &&
      X509_set_issuer_name(leaf, X509_get_subject_name(issuer.get())) == 1 &&
      AddExtension(leaf, issuer.get(), NID_basic_constraints, "critical,CA:FALSE") &&
      AddExtension(leaf, issuer.get(), NID_key_usage, "critical,digitalSignature") &&
      AddExtension(leaf, issuer.get(), NID_ext_key_usage, "serverAuth,clientAuth") &&
      AddExtension(leaf, issuer.get(), NID_authority_key_identifier, "keyid") &&
      AddExtension(leaf, issuer.get(), NID_subject_alt_name, absl::StrJoin(alternatives, ",")) &&
      X509_sign(leaf, issuer_key.get(), EVP_sha256()) > 0;
  if (!made) {
    return OpensslError(absl::StatusCode::kInvalidArgument,
                        absl::StrCat("signing the certificate of \"", name, "\""));
  }
  return ToPem(leaf);
}

absl::StatusOr<std::string> Sha256OfCertificate(const std::string& certificate_pem) {
  ASSIGN_OR_RETURN(CertificatePtr certificate, ParseCertificate(certificate_pem));
  unsigned char digest[SHA256_DIGEST_LENGTH];
  unsigned size = 0;
  if (X509_digest(certificate.get(), EVP_sha256(), digest, &size) != 1) {
    return OpensslError(absl::StatusCode::kInternal, "hashing a certificate");
  }
  return Hex(digest, size);
}

absl::Status VerifyCertificate(const std::string& certificate_pem, const std::string& ca_pem,
                               absl::Time now) {
  ASSIGN_OR_RETURN(CertificatePtr certificate, ParseCertificate(certificate_pem));
  ASSIGN_OR_RETURN(CertificatePtr ca, ParseCertificate(ca_pem));
  StorePtr store(X509_STORE_new());
  StoreContextPtr context(X509_STORE_CTX_new());
  if (!store || !context || X509_STORE_add_cert(store.get(), ca.get()) != 1 ||
      X509_STORE_CTX_init(context.get(), store.get(), certificate.get(), nullptr) != 1) {
    return OpensslError(absl::StatusCode::kInternal, "verifying a certificate");
  }
  X509_STORE_CTX_set_time(context.get(), 0, absl::ToTimeT(now));
  if (X509_verify_cert(context.get()) != 1) {
    const int error = X509_STORE_CTX_get_error(context.get());
    ERR_clear_error();
    return absl::PermissionDeniedError(
        absl::StrCat("the certificate is not valid: ", X509_verify_cert_error_string(error)));
  }
  return absl::OkStatus();
}

absl::StatusOr<CertificateInfo> ReadCertificate(const std::string& certificate_pem) {
  ASSIGN_OR_RETURN(CertificatePtr certificate, ParseCertificate(certificate_pem));
  CertificateInfo info;
  info.name = SubjectField(certificate.get(), NID_commonName);
  info.role = SubjectField(certificate.get(), NID_organizationName);
  info.not_before = TimeOf(X509_get0_notBefore(certificate.get()));
  info.not_after = TimeOf(X509_get0_notAfter(certificate.get()));
  info.addresses = AlternativeNames(certificate.get());
  return info;
}

}  // namespace npufleet::tls
