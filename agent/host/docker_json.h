// SPDX-License-Identifier: Apache-2.0
//
// The Docker Engine API's JSON into our structs and back. Pure.
#ifndef AGENT_HOST_DOCKER_JSON_H_
#define AGENT_HOST_DOCKER_JSON_H_

#include <string>
#include <string_view>
#include <vector>

#include "agent/host/docker.h"
#include "agent/host/json.h"

namespace npufleet::host {

DockerInfo InfoFromJson(const Json& info);                 // GET /info
DockerImage ImageFromJson(const Json& image);              // GET /images/NAME/json
DockerContainer ContainerFromJson(const Json& container);  // GET /containers/ID/json

// POST /containers/create: what `docker run -itd --restart=no` sends.
Json ContainerCreateBody(const ContainerSpec& spec);
// POST /containers/ID/exec.
Json ExecCreateBody(const ExecSpec& spec);

// {"A": "1"} -> ["A=1"] and back.
std::vector<std::string> EnvironmentLines(const std::map<std::string, std::string>& environment);
std::map<std::string, std::string> EnvironmentMap(const Json& lines);

// "host:5000/name:tag" -> {"host:5000/name", "tag"}; the tag is "latest" when there is none, and
// the digest ("sha256:…") when the reference has one.
struct ImageReference {
  std::string name;
  std::string tag;
};
ImageReference ParseImageReference(std::string_view reference);

// What a person reads of one message of load or pull: "Loading layer 5f70bf18a086", "Loaded image:
// x:y". Empty for one that only moves a progress bar.
std::string LineOfMessage(const Json& message);

// The error in a message of load or pull, or empty.
std::string ErrorOfMessage(const Json& message);

}  // namespace npufleet::host

#endif  // AGENT_HOST_DOCKER_JSON_H_
