// SPDX-License-Identifier: Apache-2.0
#include "common/tls/keys.h"

#include <openssl/rand.h>
#include <openssl/sha.h>

#include <vector>

#include "common/status_macros.h"
#include "common/tls/openssl.h"

namespace npufleet::tls {

absl::StatusOr<std::string> GenerateKey() {
  KeyPtr key(EVP_EC_gen("P-256"));
  BioPtr bio = MemoryBio();
  if (!key || PEM_write_bio_PKCS8PrivateKey(bio.get(), key.get(), nullptr, nullptr, 0, nullptr,
                                            nullptr) != 1) {
    return OpensslError(absl::StatusCode::kInternal, "generating a key");
  }
  return TextOf(bio.get());
}

absl::StatusOr<std::string> MakeCsr(const std::string& key_pem, const std::string& name,
                                    const std::string& address) {
  ASSIGN_OR_RETURN(KeyPtr key, ParseKey(key_pem));
  ASSIGN_OR_RETURN(std::string alternatives, AlternativeName(name));
  if (!address.empty() && address != name) {
    ASSIGN_OR_RETURN(std::string alternative, AlternativeName(address));
    absl::StrAppend(&alternatives, ",", alternative);
  }
  RequestPtr request(X509_REQ_new());
  X509_NAME* subject = X509_REQ_get_subject_name(request.get());
  X509_EXTENSION* extension =
      X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, alternatives.c_str());
  STACK_OF(X509_EXTENSION)* extensions = sk_X509_EXTENSION_new_null();
  if (extension != nullptr) sk_X509_EXTENSION_push(extensions, extension);
  const bool made = extension != nullptr &&
                    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
                                               reinterpret_cast<const unsigned char*>(name.data()),
                                               static_cast<int>(name.size()), -1, 0) == 1 &&
                    X509_REQ_add_extensions(request.get(), extensions) == 1 &&
                    X509_REQ_set_pubkey(request.get(), key.get()) == 1 &&
                    X509_REQ_sign(request.get(), key.get(), EVP_sha256()) > 0;
  sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
  BioPtr bio = MemoryBio();
  if (!made || PEM_write_bio_X509_REQ(bio.get(), request.get()) != 1) {
    return OpensslError(absl::StatusCode::kInvalidArgument,
                        absl::StrCat("making a signing request for \"", name, "\""));
  }
  return TextOf(bio.get());
}

absl::StatusOr<std::string> RandomHex(int bytes) {
  std::vector<unsigned char> random(static_cast<size_t>(bytes));
  if (RAND_bytes(random.data(), bytes) != 1) {
    return OpensslError(absl::StatusCode::kInternal, "reading random bytes");
  }
  return Hex(random.data(), random.size());
}

std::string Sha256Hex(const std::string& data) {
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(data.data()), data.size(), digest);
  return Hex(digest, sizeof digest);
}

std::string HostOfAddress(const std::string& host_and_port) {
  if (!host_and_port.empty() && host_and_port.front() == '[') {
    return host_and_port.substr(1, host_and_port.find(']') - 1);
  }
  const size_t colon = host_and_port.find(':');
  // More than one colon without brackets is an IPv6 address without a port.
  if (colon == std::string::npos || host_and_port.find(':', colon + 1) != std::string::npos) {
    return host_and_port;
  }
  return host_and_port.substr(0, colon);
}

}  // namespace npufleet::tls
