// SPDX-License-Identifier: Apache-2.0
//
// Logins of registries, as `docker login` keeps them: {"auths": {"HOST": {"auth": BASE64}}}.
#ifndef AGENT_VERBS_LOAD_IMAGE_REGISTRY_LOGIN_H_
#define AGENT_VERBS_LOAD_IMAGE_REGISTRY_LOGIN_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "agent/host/host.h"

namespace npufleet::verbs {

// "swr.example.com" of "swr.example.com/quay.io/a:1"; "docker.io" for what names no host. Pure.
std::string RegistryOf(std::string_view reference);

// The X-Registry-Auth header for `reference`, empty when the file has no login for its registry.
// CONFIG for a file that is not there, that others may read, that is none of docker's, or whose
// login is a credential helper's. Without a `path`, /root/.docker/config.json is asked, where all
// this is no login, but CONFIG when others may read the login that it has.
absl::StatusOr<std::string> RegistryAuthOf(host::Host& host, const std::string& path,
                                           std::string_view reference);

}  // namespace npufleet::verbs

#endif  // AGENT_VERBS_LOAD_IMAGE_REGISTRY_LOGIN_H_
