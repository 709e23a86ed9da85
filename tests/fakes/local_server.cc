// SPDX-License-Identifier: Apache-2.0
#include "tests/fakes/local_server.h"

#include <sys/socket.h>

#include <algorithm>
#include <atomic>

#include "absl/strings/str_cat.h"

namespace npufleet::fakes {

LocalServer::~LocalServer() {
  ending_.Notify();
  server_.stop();
  if (thread_.joinable()) thread_.join();
}

void LocalServer::Start() {
  server_.set_pre_routing_handler([this](const httplib::Request& request, httplib::Response&) {
    std::string line = absl::StrCat(request.method, " ", request.target);
    if (request.has_header("Range")) {
      absl::StrAppend(&line, " ", request.get_header_value("Range"));
    }
    absl::MutexLock lock(&mutex_);
    requests_.push_back(std::move(line));
    return httplib::Server::HandlerResponse::Unhandled;
  });
  if (!unix_socket_.empty()) {
    server_.set_address_family(AF_UNIX);
    // The port is not used, but 0 would make httplib ask the socket for one.
    if (!server_.bind_to_port(unix_socket_, 80)) abort();
  } else {
    port_ = server_.bind_to_any_port("127.0.0.1");
  }
  thread_ = std::thread([this] { server_.listen_after_bind(); });
  // stop() does nothing to a server that does not run yet.
  while (!server_.is_running()) std::this_thread::yield();
}

std::string LocalServer::Url(const std::string& path) const {
  return absl::StrCat("http://127.0.0.1:", port_, path);
}

void LocalServer::ServeSilence(const std::string& pattern) {
  const auto wait = [this](const httplib::Request&, httplib::Response&) {
    ending_.WaitForNotification();
  };
  server_.Get(pattern, wait);
  server_.Post(pattern, wait);
}

void LocalServer::ServeFile(const std::string& path, std::string body, int cuts, size_t cut_after) {
  auto left = std::make_shared<std::atomic<int>>(cuts);
  auto content = std::make_shared<const std::string>(std::move(body));
  server_.Get(path, [=](const httplib::Request& request, httplib::Response& response) {
    response.set_header("ETag", "\"v1\"");
    const bool cut = left->fetch_sub(1) > 0;
    response.set_content_provider(
        content->size(), "application/octet-stream",
        [content, cut, cut_after, sent = size_t{0}](size_t offset, size_t length,
                                                    httplib::DataSink& sink) mutable {
          if (cut && sent >= cut_after) return false;
          const size_t limit = cut ? cut_after - sent : length;
          const size_t count = std::min({length, limit, size_t{65536}});
          sent += count;
          return sink.write(content->data() + offset, count);
        });
  });
}

std::vector<std::string> LocalServer::Requests() const {
  absl::MutexLock lock(&mutex_);
  return requests_;
}

}  // namespace npufleet::fakes
