// SPDX-License-Identifier: Apache-2.0
//
// The commands of npufleet-controller beside `serve`. Each prints its result to `out`.
#ifndef CONTROLLER_API_PROGRAM_H_
#define CONTROLLER_API_PROGRAM_H_

#include <ostream>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "controller/api/config.h"

namespace npufleet::api {

// Makes a fleet: the CA, the controller's identity, an empty store with a new epoch,
// controller.yaml, and the admin's identity with config.yaml and bearer token in
// CONFIG_DIRECTORY/ctl. AlreadyExists names what is there already; then, and after an error,
// nothing new is left behind.
absl::Status Init(const Config& config, const std::string& config_directory, std::ostream& out);

// Prints a join token. Works beside a running controller.
absl::Status CreateToken(const Config& config, const std::string& node, absl::Duration valid_for,
                         std::ostream& out);

struct IdentityRequest {
  std::string role;  // viewer, operator, admin
  std::string name;
  std::string directory;
  bool bearer = false;  // also a token for the REST view, in the file `bearer`
};
// ca.pem, cert.pem, key.pem and ctl's config.yaml in request.directory. AlreadyExists when one is
// there.
absl::Status CreateIdentity(const Config& config, const IdentityRequest& request,
                            std::ostream& out);

// A table of name, address and time of joining.
absl::Status ListNodes(const Config& config, std::ostream& out);

// Takes `backup` as the store, under a new epoch: no answer to what was started since is taken for
// one of its own. The former store is kept beside it. FailedPrecondition while a controller serves;
// InvalidArgument for a file that is no whole store; then nothing was changed. (restore.cc)
absl::Status Restore(const Config& config, const std::string& backup, std::ostream& out);

}  // namespace npufleet::api

#endif  // CONTROLLER_API_PROGRAM_H_
