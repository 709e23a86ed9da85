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
// Without a `path`, /root/.docker/config.json is used when it is there. CONFIG for a file that is
// not there, that others may read, or that is none of docker's.
absl::StatusOr<std::string> RegistryAuthOf(host::Host& host, const std::string& path,
                                           std::string_view reference);

}  // namespace npufleet::verbs

#endif  // AGENT_VERBS_LOAD_IMAGE_REGISTRY_LOGIN_H_
