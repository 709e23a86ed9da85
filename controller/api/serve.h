// SPDX-License-Identifier: Apache-2.0
//
// `npufleet-controller serve`: puts store, runtime and the two servers together, and runs until it
// is told to stop.
#ifndef CONTROLLER_API_SERVE_H_
#define CONTROLLER_API_SERVE_H_

#include <string>

#include "absl/status/status.h"
#include "controller/api/config.h"

namespace npufleet::api {

struct ServeOptions {
  Config config;
  bool insecure_loopback = false;  // the REST view over plain HTTP on 127.0.0.1, without /join
  std::string version;
  std::string commit;
};

// Returns OK after SIGTERM or SIGINT, and when the controller's own certificate is due for renewal
// (which the next start does); otherwise why it could not serve. Tells systemd when it is ready,
// and feeds its watchdog as long as the runtime answers. To be called by the main thread before any
// other is started.
absl::Status Serve(const ServeOptions& options);

}  // namespace npufleet::api

#endif  // CONTROLLER_API_SERVE_H_
