// SPDX-License-Identifier: Apache-2.0
//
// A real HTTP server on loopback, or on a unix socket, that lives as long as the object.
#ifndef TESTS_FAKES_LOCAL_SERVER_H_
#define TESTS_FAKES_LOCAL_SERVER_H_

#include <httplib.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"

namespace npufleet::fakes {

class LocalServer {
 public:
  LocalServer() = default;  // on a free port of 127.0.0.1
  explicit LocalServer(std::string unix_socket) : unix_socket_(std::move(unix_socket)) {}
  ~LocalServer();

  // Add handlers to it before Start().
  httplib::Server& routes() { return server_; }
  void Start();

  // "http://127.0.0.1:PORT" + path.
  std::string Url(const std::string& path) const;

  // A file with ETag and ranges. The first `cuts` answers end after `cut_after` bytes of their
  // body.
  void ServeFile(const std::string& path, std::string body, int cuts = 0, size_t cut_after = 0);

  // Every request to `pattern` waits without an answer until this server ends.
  void ServeSilence(const std::string& pattern);

  // "METHOD PATH" of each request so far, with " bytes=N-" when it asked for a range.
  std::vector<std::string> Requests() const;

 private:
  std::string unix_socket_;
  absl::Notification ending_;
  httplib::Server server_;
  std::thread thread_;
  int port_ = 0;
  mutable absl::Mutex mutex_;
  std::vector<std::string> requests_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace npufleet::fakes

#endif  // TESTS_FAKES_LOCAL_SERVER_H_
