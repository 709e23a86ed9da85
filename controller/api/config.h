// SPDX-License-Identifier: Apache-2.0
//
// controller.yaml: what `serve` needs to know, and where everything of the controller lies.
#ifndef CONTROLLER_API_CONFIG_H_
#define CONTROLLER_API_CONFIG_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace npufleet::api {

struct Config {
  std::string
      address;  // HOST[,HOST…]: where others reach the controller; its certificate holds these
  std::string listen = "0.0.0.0:7600";       // gRPC
  std::string rest_listen = "0.0.0.0:7601";  // HTTPS
  std::string state_directory = "/var/lib/npufleet/controller";
  std::string log_level = "info";

  std::string Database() const { return state_directory + "/npufleet.db"; }
  std::string AuthorityDirectory() const { return state_directory + "/ca"; }  // ca.pem, key.pem
  std::string IdentityDirectory() const { return state_directory + "/identity"; }
  std::string AuditLog() const { return state_directory + "/audit.log"; }
  std::vector<std::string> Hosts() const;  // of `address`
};

// InvalidArgument "FILE:LINE: …" for an unknown key, a key given twice or a value that is no single
// text; NotFound.
absl::StatusOr<Config> ReadConfig(const std::string& path);
std::string WriteConfig(const Config& config);

}  // namespace npufleet::api

#endif  // CONTROLLER_API_CONFIG_H_
