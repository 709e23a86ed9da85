// SPDX-License-Identifier: Apache-2.0
//
// Serves a Rest over HTTPS (TLS 1.3, the controller's certificate) or, when asked for by name, over
// plain HTTP on 127.0.0.1.
#ifndef CONTROLLER_API_REST_SERVER_H_
#define CONTROLLER_API_REST_SERVER_H_

#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "common/tls/identity.h"
#include "controller/api/rest.h"

namespace npufleet::api {

// Serves until it is destroyed, which waits for the requests that run.
class RestServer {
 public:
  virtual ~RestServer() = default;
  virtual int port() const = 0;

  // `listen` is HOST:PORT; port 0 takes a free one. Without an identity the host must be 127.0.0.1
  // (InvalidArgument). Unavailable: the port is taken. `rest` outlives the server.
  static absl::StatusOr<std::unique_ptr<RestServer>> Start(
      const std::string& listen, const std::optional<tls::Identity>& identity, Rest& rest);
};

}  // namespace npufleet::api

#endif  // CONTROLLER_API_REST_SERVER_H_
