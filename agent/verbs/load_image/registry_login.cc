// SPDX-License-Identifier: Apache-2.0
#include "agent/verbs/load_image/registry_login.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "agent/artifacts/secret_file.h"
#include "agent/host/json.h"
#include "common/failure.h"
#include "common/status_macros.h"

namespace npufleet::verbs {
namespace {

constexpr char kDefaultFile[] = "/root/.docker/config.json";
constexpr char kLogins[] = "the registries' logins";
constexpr char kDockerHub[] = "docker.io";

// docker login writes Docker Hub under its old address, and others with or without a scheme.
const host::Json& EntryOf(const host::Json& auths, const std::string& registry) {
  for (const std::string& name :
       {registry, "https://" + registry, "https://" + registry + "/", "http://" + registry}) {
    const host::Json& entry = host::Member(auths, name.c_str());
    if (entry.is_object()) return entry;
  }
  return host::Member(auths, registry == kDockerHub ? "https://index.docker.io/v1/" : "");
}

absl::Status Unfit(const std::string& path, std::string_view why) {
  return FailureStatus(v1::Failure::CONFIG, absl::StrCat(path, ": ", std::string(why)),
                       "Write it with docker login on the node, without a credential helper.");
}

// The header of docker's `text`, which is that of `file`; empty when it does not name `registry`.
absl::StatusOr<std::string> HeaderFrom(const std::string& text, const std::string& file,
                                       const std::string& registry) {
  const host::Json config = host::ParseJson(text);
  if (!config.is_object()) return Unfit(file, "no JSON as docker login writes it");
  const host::Json& entry = EntryOf(host::Member(config, "auths"), registry);
  if (!entry.is_object()) return "";
  host::Json login = {{"serveraddress", registry}};
  if (const std::string token = host::TextOf(entry, "identitytoken"); !token.empty()) {
    login["identitytoken"] = token;
  } else {
    std::string pair;
    const bool decoded = absl::Base64Unescape(host::TextOf(entry, "auth"), &pair);
    const size_t colon = pair.find(':');
    if (!decoded || colon == std::string::npos) {
      return Unfit(file, absl::StrCat("holds no login for ", registry));
    }
    login["username"] = pair.substr(0, colon);
    login["password"] = pair.substr(colon + 1);
  }
  // The daemon reads the alphabet for URLs, with padding.
  return absl::StrReplaceAll(absl::Base64Escape(host::WriteJson(login)), {{"+", "-"}, {"/", "_"}});
}

}  // namespace

std::string RegistryOf(std::string_view reference) {
  const size_t slash = reference.find('/');
  const std::string first(reference.substr(0, slash));
  const bool is_host = slash != std::string_view::npos &&
                       (first.find_first_of(".:") != std::string::npos || first == "localhost");
  return is_host ? first : kDockerHub;
}

absl::StatusOr<std::string> RegistryAuthOf(host::Host& host, const std::string& path,
                                           std::string_view reference) {
  const std::string registry = RegistryOf(reference);
  if (!path.empty()) {
    ASSIGN_OR_RETURN(const std::string text, artifacts::ReadSecretFile(host, path, kLogins));
    return HeaderFrom(text, path, registry);
  }
  // Nobody said that there is a login: docker keeps its proxies and helpers in that file, too.
  const std::string text = host.filesystem->Read(kDefaultFile, 1 << 20).value_or("");
  const absl::StatusOr<std::string> header = HeaderFrom(text, kDefaultFile, registry);
  if (!header.ok() || header->empty()) return "";
  RETURN_IF_ERROR(artifacts::ReadSecretFile(host, kDefaultFile, kLogins).status());
  return header;
}

}  // namespace npufleet::verbs
