// SPDX-License-Identifier: Apache-2.0
//
// HTTP by libcurl, over TCP or a unix socket. Blocking; threadsafe (a handle per call).
#ifndef AGENT_HOST_HTTP_H_
#define AGENT_HOST_HTTP_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "agent/host/subprocess.h"

namespace npufleet::host {

struct HttpResponse {
  int status = 0;
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;                            // 64 MiB at most
  std::string effective_url;
};

struct HttpRequest {
  std::string method = "GET";
  std::string url;
  std::string unix_socket;                     // path; the url's host is then only a name
  std::map<std::string, std::string> headers;  // a secret in here never reaches a log
  std::string body;
  std::string body_file;                              // real path; sent instead of `body` when set
  absl::Duration deadline = absl::Seconds(30);        // of the whole call; infinite is allowed
  absl::Duration stall_deadline = absl::Seconds(60);  // without a byte
  bool follow_redirects = true;                       // never with Authorization to another host
  std::string ca_file;                                // PEM; empty: the system's
  bool verify_peer = true;
  bool direct = false;  // of the fleet's own: never through a proxy
  Cancelled cancelled;
  // Body bytes as they come, only for a status below 300; false stops the call (Cancelled). When
  // set, response.body holds only the body of an error status.
  std::function<bool(std::string_view)> on_data;
  // Once, before the first on_data, also when there is no body: status and headers are there. False
  // as above.
  std::function<bool(const HttpResponse&)> on_head;
};

class Http {
 public:
  virtual ~Http() = default;
  // Any HTTP status is a response. Unavailable: no connection, name or TLS failure, connection cut;
  // DeadlineExceeded; Cancelled. Messages name the host and never a header.
  virtual absl::StatusOr<HttpResponse> Send(const HttpRequest& request) = 0;
};

// The real one. Proxies of the environment are used for hosts other than loopback, unless `direct`.
std::unique_ptr<Http> MakeHttp();

}  // namespace npufleet::host

#endif  // AGENT_HOST_HTTP_H_
