// SPDX-License-Identifier: Apache-2.0
#include "agent/artifacts/git_blob.h"

#include <openssl/evp.h>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace npufleet::artifacts {

bool IsGitBlobId(std::string_view text) {
  return text.size() == 40 && std::all_of(text.begin(), text.end(), [](unsigned char digit) {
           return absl::ascii_isxdigit(digit);
         });
}

absl::StatusOr<std::string> GitBlobId(const host::Filesystem& filesystem, std::string_view path) {
  ASSIGN_OR_RETURN(const host::FileInfo info, filesystem.Stat(path));
  std::ifstream file(filesystem.Real(path), std::ios::binary);
  std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  if (context == nullptr || EVP_DigestInit_ex(context.get(), EVP_sha1(), nullptr) != 1) {
    return absl::InternalError("no SHA-1 in this OpenSSL");
  }
  const std::string head = absl::StrCat("blob ", info.size_bytes);
  EVP_DigestUpdate(context.get(), head.c_str(), head.size() + 1);  // with the zero behind it
  std::string buffer(1 << 20, '\0');
  uint64_t size = 0;
  while (file.read(buffer.data(), static_cast<std::streamsize>(buffer.size())) ||
         file.gcount() > 0) {
    EVP_DigestUpdate(context.get(), buffer.data(), static_cast<size_t>(file.gcount()));
    size += static_cast<uint64_t>(file.gcount());
  }
  if (size != info.size_bytes) {
    return absl::UnavailableError(
        absl::StrCat("reading ", std::string(path), ": ", size, " of ", info.size_bytes, " bytes"));
  }
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int length = 0;
  EVP_DigestFinal_ex(context.get(), digest, &length);
  return absl::BytesToHexString(absl::string_view(reinterpret_cast<const char*>(digest), length));
}

}  // namespace npufleet::artifacts
