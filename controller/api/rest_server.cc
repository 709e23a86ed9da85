// SPDX-License-Identifier: Apache-2.0
#include "controller/api/rest_server.h"

#include <httplib.h>

#include <thread>

#include "absl/strings/numbers.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "common/tls/keys.h"
#include "common/tls/openssl.h"

namespace npufleet::api {
namespace {

constexpr size_t kLargestBody = 64 << 10;
constexpr size_t kThreads = 16;
constexpr int kReadSeconds = 10;

RestRequest FromHttp(const httplib::Request& request) {
  RestRequest converted;
  converted.method = request.method;
  converted.path = request.path;
  converted.parameters.insert(request.params.begin(), request.params.end());
  converted.authorization = request.get_header_value("Authorization");
  converted.if_none_match = request.get_header_value("If-None-Match");
  converted.body = request.body;
  return converted;
}

void ToHttp(const RestAnswer& answer, httplib::Response& response) {
  response.status = answer.status;
  for (const auto& [name, value] : answer.headers) response.set_header(name, value);
  if (answer.status != 304) response.set_content(answer.body, answer.content_type);
}

bool SetUpTls(SSL_CTX& context, const tls::Identity& identity) {
  const absl::StatusOr<tls::CertificatePtr> certificate =
      tls::ParseCertificate(identity.certificate_pem);
  const absl::StatusOr<tls::KeyPtr> key = tls::ParseKey(identity.key_pem);
  return certificate.ok() && key.ok() &&
         SSL_CTX_set_min_proto_version(&context, TLS1_3_VERSION) == 1 &&
         SSL_CTX_use_certificate(&context, certificate->get()) == 1 &&
         SSL_CTX_use_PrivateKey(&context, key->get()) == 1;
}

void Install(httplib::Server& server, Rest& rest) {
  server.new_task_queue = [] { return new httplib::ThreadPool(kThreads); };
  server.set_payload_max_length(kLargestBody);
  // The library's own choice, SO_REUSEPORT, would let a second controller take half of the
  // requests.
  server.set_socket_options([](socket_t socket) {
    const int yes = 1;
    setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  });
  server.set_read_timeout(kReadSeconds);
  server.set_write_timeout(kReadSeconds);
  server.set_keep_alive_timeout(5);
  const auto handle = [&rest](const httplib::Request& request, httplib::Response& response) {
    ToHttp(rest.Handle(FromHttp(request)), response);
  };
  server.set_pre_routing_handler([handle](const auto& request, auto& response) {
    // A body has not been read yet here.
    if (request.method == "POST") return httplib::Server::HandlerResponse::Unhandled;
    handle(request, response);
    return httplib::Server::HandlerResponse::Handled;
  });
  server.Post(".*", handle);
  server.set_error_handler([](const httplib::Request&, httplib::Response& response) {
    if (!response.body.empty() || response.status == 304) return;
    const std::string message =
        response.status == 413 ? "the body is too large" : "the request is not well-formed HTTP";
    ToHttp(ErrorAnswer(response.status, "INVALID_ARGUMENT", message), response);
  });
  server.set_exception_handler([](const httplib::Request& request, httplib::Response& response,
                                  std::exception_ptr) {
    log::Error("REST: an exception while answering ", request.path);
    ToHttp(ErrorAnswer(500, "INTERNAL", "an error in the controller; its log has more"), response);
  });
}

class HttplibServer : public RestServer {
 public:
  explicit HttplibServer(std::unique_ptr<httplib::Server> server) : server_(std::move(server)) {}
  ~HttplibServer() override {
    server_->stop();
    if (thread_.joinable()) thread_.join();
  }

  absl::Status Listen(const std::string& host, int port) {
    port_ = port == 0 ? server_->bind_to_any_port(host)
                      : (server_->bind_to_port(host, port) ? port : -1);
    if (port_ <= 0) {
      return absl::UnavailableError(
          absl::StrCat("REST: cannot listen on ", host, ":", port, ": is another program there?"));
    }
    thread_ = std::thread([this] { server_->listen_after_bind(); });
    // stop() does nothing to a server that does not run yet; the library has no other way to know.
    while (!server_->is_running()) std::this_thread::yield();
    return absl::OkStatus();
  }

  int port() const override { return port_; }

 private:
  std::unique_ptr<httplib::Server> server_;
  int port_ = 0;
  std::thread thread_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<RestServer>> RestServer::Start(
    const std::string& listen, const std::optional<tls::Identity>& identity, Rest& rest) {
  const std::string host = tls::HostOfAddress(listen);
  const size_t colon = listen.rfind(':');
  int port = -1;
  if (host == listen || !absl::SimpleAtoi(listen.substr(colon + 1), &port) || port < 0 ||
      port > 65535) {
    return absl::InvalidArgumentError(absl::StrCat("REST: \"", listen, "\" is not HOST:PORT"));
  }
  std::unique_ptr<httplib::Server> server;
  if (identity.has_value()) {
    auto with_tls = std::make_unique<httplib::SSLServer>(
        [&](SSL_CTX& context) { return SetUpTls(context, *identity); });
    if (!with_tls->is_valid()) {
      return tls::OpensslError(absl::StatusCode::kInvalidArgument,
                               "REST: the controller's certificate or key cannot be used");
    }
    server = std::move(with_tls);
  } else if (host == "127.0.0.1") {
    server = std::make_unique<httplib::Server>();
  } else {
    return absl::InvalidArgumentError(
        absl::StrCat("plain HTTP is served on 127.0.0.1 only, not on \"", host,
                     "\": set rest_listen: "
                     "127.0.0.1:7601, or leave --insecure-loopback out"));
  }
  Install(*server, rest);
  auto running = std::make_unique<HttplibServer>(std::move(server));
  RETURN_IF_ERROR(running->Listen(host, port));
  return running;
}

}  // namespace npufleet::api
