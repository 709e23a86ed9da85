// SPDX-License-Identifier: Apache-2.0
//
// /etc/npufleet/agent.yaml. Every key is a flag of `npufleet-agent serve`, too, which wins.
#ifndef AGENT_SERVICE_CONFIG_H_
#define AGENT_SERVICE_CONFIG_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agent/host/host.h"

namespace npufleet::service {

struct Config {
  std::string name;  // of the node; empty: the one in its certificate
  std::string listen = "0.0.0.0:7602";
  std::string state_directory = "/var/lib/npufleet/agent";
  std::string identity_directory = "/etc/npufleet/agent";
  std::string log_level = "info";
  host::HostOptions host;  // keys root, path and docker_socket: for demonstrations
};

// Overwrites what `text` names. InvalidArgument names `file` and the line of an unknown key (and
// the keys that there are), of one that is given twice, and of a value that it cannot have.
absl::Status ReadConfig(std::string_view text, const std::string& file, Config& config);

}  // namespace npufleet::service

#endif  // AGENT_SERVICE_CONFIG_H_
