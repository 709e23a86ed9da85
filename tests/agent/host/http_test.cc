// SPDX-License-Identifier: Apache-2.0
#include "agent/host/http.h"

#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/synchronization/notification.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/fakes/fake_host.h"
#include "tests/fakes/local_server.h"

namespace npufleet::host {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class HttpTest : public ::testing::Test {
 protected:
  HttpRequest Get(const std::string& path) const {
    HttpRequest request;
    request.url = server_.Url(path);
    return request;
  }

  fakes::LocalServer server_;
  std::unique_ptr<Http> http_ = MakeHttp();
};

TEST_F(HttpTest, GivesStatusHeadersAndBody) {
  server_.routes().Get("/missing", [](const httplib::Request&, httplib::Response& response) {
    response.status = 404;
    response.set_header("X-Reason", "gone");
    response.set_content("not here", "text/plain");
  });
  server_.Start();
  const auto response = http_->Send(Get("/missing"));
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(response->status, 404);
  EXPECT_EQ(response->headers.at("x-reason"), "gone");
  EXPECT_EQ(response->body, "not here");
  EXPECT_EQ(response->effective_url, server_.Url("/missing"));
}

TEST_F(HttpTest, SendsMethodHeadersAndBody) {
  std::string seen;
  server_.routes().Put("/x", [&](const httplib::Request& request, httplib::Response&) {
    seen = absl::StrCat(request.get_header_value("Authorization"), " ", request.body);
  });
  server_.routes().Delete(
      "/x", [&](const httplib::Request&, httplib::Response& response) { response.status = 204; });
  server_.Start();
  HttpRequest request = Get("/x");
  request.method = "PUT";
  request.headers["Authorization"] = "Bearer t";
  request.body = "content";
  ASSERT_TRUE(http_->Send(request).ok());
  EXPECT_EQ(seen, "Bearer t content");
  request.method = "DELETE";
  request.body.clear();
  EXPECT_EQ(http_->Send(request)->status, 204);
}

TEST_F(HttpTest, StreamsAFileAsBody) {
  fakes::FakeHost node;
  const std::string content(3000000, 'z');
  ASSERT_TRUE(node.files().Write("/archive", content).ok());
  bool same = false;
  server_.routes().Post("/load", [&](const httplib::Request& request, httplib::Response&) {
    same = request.body == content;
  });
  server_.Start();
  HttpRequest request = Get("/load");
  request.method = "POST";
  request.body_file = node.files().Real("/archive");
  request.headers["Content-Type"] = "application/x-tar";
  EXPECT_EQ(http_->Send(request)->status, 200);
  EXPECT_TRUE(same);
  request.body_file = "/not/there";
  EXPECT_TRUE(absl::IsNotFound(http_->Send(request).status()));
}

TEST_F(HttpTest, GivesTheBodyAsItComesAndOnlyThatOfAnErrorInTheResponse) {
  const std::string content(1000000, 'q');
  server_.ServeFile("/file", content);
  server_.Start();
  std::string received;
  HttpRequest request = Get("/file");
  request.on_data = [&](std::string_view bytes) {
    received.append(bytes);
    return true;
  };
  auto response = http_->Send(request);
  ASSERT_TRUE(response.ok());
  EXPECT_EQ(received, content);
  EXPECT_EQ(response->body, "");
  request.headers["Range"] = "bytes=999990-";
  received.clear();
  EXPECT_EQ(http_->Send(request)->status, 206);
  EXPECT_EQ(received, std::string(10, 'q'));
  request.url = server_.Url("/none");
  received.clear();
  response = http_->Send(request);
  EXPECT_EQ(response->status, 404);
  EXPECT_EQ(received, "");
}

TEST_F(HttpTest, StopsWhenTheReceiverSaysSo) {
  server_.ServeFile("/file", std::string(5000000, 'q'));
  server_.Start();
  HttpRequest request = Get("/file");
  request.on_data = [](std::string_view) { return false; };
  EXPECT_TRUE(absl::IsCancelled(http_->Send(request).status()));
}

TEST_F(HttpTest, ACutConnectionIsUnavailable) {
  server_.ServeFile("/file", std::string(1000000, 'q'), /*cuts=*/1, /*cut_after=*/1000);
  server_.Start();
  const auto response = http_->Send(Get("/file"));
  EXPECT_TRUE(absl::IsUnavailable(response.status())) << response.status();
}

TEST_F(HttpTest, NobodyThereIsUnavailableAndNamesTheHost) {
  server_.Start();
  HttpRequest request;
  request.url = "http://127.0.0.1:1/x?token=hidden";
  request.headers["Authorization"] = "Bearer hidden";
  const auto response = http_->Send(request);
  EXPECT_TRUE(absl::IsUnavailable(response.status()));
  EXPECT_THAT(std::string(response.status().message()), HasSubstr("127.0.0.1:1"));
  EXPECT_THAT(std::string(response.status().message()), Not(HasSubstr("hidden")));
}

TEST_F(HttpTest, SilenceEndsAtTheStallDeadlineAndTheWholeAtItsDeadline) {
  server_.ServeSilence("/silent");
  server_.Start();
  HttpRequest request = Get("/silent");
  request.stall_deadline = absl::Milliseconds(100);
  EXPECT_THAT(std::string(http_->Send(request).status().message()), HasSubstr("no byte for 100ms"));
  request.stall_deadline = absl::InfiniteDuration();
  request.deadline = absl::Milliseconds(100);
  EXPECT_TRUE(absl::IsDeadlineExceeded(http_->Send(request).status()));
  int asked = 0;
  request.deadline = absl::InfiniteDuration();
  request.cancelled = [&] { return ++asked > 2; };
  EXPECT_TRUE(absl::IsCancelled(http_->Send(request).status()));
}

TEST_F(HttpTest, TakesNoTokenToAnotherHost) {
  fakes::LocalServer other;
  std::string seen = "nobody came";
  other.routes().Get("/blob", [&](const httplib::Request& request, httplib::Response&) {
    seen = request.get_header_value("Authorization");
  });
  other.Start();
  server_.routes().Get("/file", [&](const httplib::Request&, httplib::Response& response) {
    response.set_redirect(other.Url("/blob"));
  });
  server_.routes().Get("/same", [&](const httplib::Request&, httplib::Response& response) {
    response.set_redirect("/there");
  });
  std::string there;
  server_.routes().Get("/there", [&](const httplib::Request& request, httplib::Response&) {
    there = request.get_header_value("Authorization");
  });
  server_.Start();
  HttpRequest request = Get("/file");
  request.headers["Authorization"] = "Bearer secret";
  const auto response = http_->Send(request);
  ASSERT_TRUE(response.ok());
  EXPECT_EQ(response->effective_url, other.Url("/blob"));
  EXPECT_EQ(seen, "");
  request.url = server_.Url("/same");
  ASSERT_TRUE(http_->Send(request).ok());
  EXPECT_EQ(there, "Bearer secret");
  request.url = server_.Url("/file");
  request.follow_redirects = false;
  EXPECT_EQ(http_->Send(request)->status, 302);
}

TEST_F(HttpTest, TakesNoProxyToLoopback) {
  server_.ServeFile("/file", "direct");
  server_.Start();
  setenv("http_proxy", "http://127.0.0.1:1", 1);
  const auto response = http_->Send(Get("/file"));
  unsetenv("http_proxy");
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(response->body, "direct");
}

TEST_F(HttpTest, TakesNoProxyToTheFleetsOwn) {
  server_.ServeFile("/file", "direct");
  server_.Start();
  setenv("http_proxy", "http://127.0.0.1:1", 1);
  HttpRequest request = Get("/file");
  // Linux takes it to the loopback; its name is none of the loopback's.
  request.url = absl::StrReplaceAll(request.url, {{"127.0.0.1", "0.0.0.0"}});
  const auto by_proxy = http_->Send(request);
  request.direct = true;
  const auto direct = http_->Send(request);
  unsetenv("http_proxy");
  EXPECT_TRUE(absl::IsUnavailable(by_proxy.status())) << by_proxy.status();
  ASSERT_TRUE(direct.ok()) << direct.status();
  EXPECT_EQ(direct->body, "direct");
}

TEST_F(HttpTest, SpeaksOverAUnixSocket) {
  fakes::FakeHost node;
  fakes::LocalServer daemon(node.files().Real("/docker.sock"));
  daemon.ServeFile("/_ping", "OK");
  daemon.Start();
  HttpRequest request;
  request.url = "http://docker/_ping";
  request.unix_socket = node.files().Real("/docker.sock");
  const auto response = http_->Send(request);
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(response->body, "OK");
}

TEST_F(HttpTest, RefusesOtherProtocols) {
  HttpRequest request;
  request.url = "file:///etc/passwd";
  EXPECT_TRUE(absl::IsInvalidArgument(http_->Send(request).status()));
  request.url = "nonsense";
  EXPECT_TRUE(absl::IsInvalidArgument(http_->Send(request).status()));
}

}  // namespace
}  // namespace npufleet::host
