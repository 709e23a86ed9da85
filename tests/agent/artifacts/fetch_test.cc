// SPDX-License-Identifier: Apache-2.0
#include "agent/artifacts/fetch.h"

#include "absl/strings/str_cat.h"
#include "common/failure.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/fakes/fake_host.h"
#include "tests/fakes/local_server.h"

namespace npufleet::artifacts {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kAbc[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
constexpr char kUrl[] = "http://files/driver.run";
constexpr char kTarget[] = "/var/cache/driver.run";

class FetchTest : public ::testing::Test {
 protected:
  FetchTest() {
    callbacks_.log = [this](std::string_view line) {
      log_ += absl::StrCat(std::string(line), "\n");
    };
    artifact_.set_url(kUrl);
    artifact_.set_sha256(kAbc);
  }
  absl::StatusOr<std::string> Fetch() {
    return FetchArtifact(node_.host(), artifact_, kTarget, callbacks_);
  }
  void ServeInTurn(const std::vector<std::string>& bodies) {
    node_.http().On("GET", kUrl, [this, bodies](const host::HttpRequest&) {
      const size_t turn = static_cast<size_t>(node_.http().Count("GET", kUrl)) - 1;
      host::HttpResponse response;
      response.status = 200;
      response.body = bodies.at(turn);
      response.headers = {{"content-length", absl::StrCat(response.body.size())}};
      return absl::StatusOr<host::HttpResponse>(response);
    });
  }
  std::string Content() { return node_.files().Read(kTarget).value_or("(none)"); }
  static v1::Failure::Class ClassOf(const absl::Status& status) {
    return FailureOf(status).value_or(v1::Failure()).class_();
  }

  fakes::FakeHost node_;
  FetchCallbacks callbacks_;
  v1::Artifact artifact_;
  std::string log_;
};

TEST_F(FetchTest, BringsTheFileAndLeavesNothingElse) {
  node_.http().Serve(kUrl, "abc");
  const auto path = Fetch();
  ASSERT_TRUE(path.ok()) << path.status();
  EXPECT_EQ(*path, kTarget);
  EXPECT_EQ(Content(), "abc");
  EXPECT_THAT(node_.files().List("/var/cache").value(), ElementsAre("driver.run"));
}

TEST_F(FetchTest, KeepsARightFileAndReplacesAWrongOne) {
  ASSERT_TRUE(node_.files().Write(kTarget, "abc").ok());
  ASSERT_TRUE(Fetch().ok());
  EXPECT_TRUE(node_.http().Requests().empty());
  ASSERT_TRUE(node_.files().Write(kTarget, "abd").ok());
  node_.http().Serve(kUrl, "abc");
  ASSERT_TRUE(Fetch().ok());
  EXPECT_EQ(Content(), "abc");
}

TEST_F(FetchTest, AWrongDigestRemovesTheFileAndNamesBoth) {
  node_.http().Serve(kUrl, "other");
  const absl::Status status = Fetch().status();
  EXPECT_EQ(ClassOf(status), v1::Failure::CONFIG);
  EXPECT_THAT(
      std::string(status.message()),
      AllOf(HasSubstr(kAbc), HasSubstr("d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53")));
  EXPECT_TRUE(node_.files().List("/var/cache")->empty());
}

TEST_F(FetchTest, BytesThatWereChangedOnTheWayAreFetchedOnceMore) {
  ServeInTurn({"xyz", "abc"});
  const auto path = Fetch();
  ASSERT_TRUE(path.ok()) << path.status() << log_;
  EXPECT_EQ(Content(), "abc");
  EXPECT_EQ(node_.http().Count("GET", kUrl), 2);
}

TEST_F(FetchTest, OtherBytesEachTimeAreNoFaultOfTheSpec) {
  ServeInTurn({"xyz", "zyx"});
  EXPECT_EQ(ClassOf(Fetch().status()), v1::Failure::TRANSIENT);
  EXPECT_TRUE(node_.files().List("/var/cache")->empty());
}

TEST_F(FetchTest, UsesAnAbsolutePathInPlace) {
  artifact_.set_url("/media/driver.run");
  EXPECT_EQ(ClassOf(Fetch().status()), v1::Failure::CONFIG);
  ASSERT_TRUE(node_.files().Write("/media/driver.run", "abc").ok());
  EXPECT_EQ(Fetch().value(), "/media/driver.run");
  ASSERT_TRUE(node_.files().Write("/media/driver.run", "abd").ok());
  EXPECT_EQ(ClassOf(Fetch().status()), v1::Failure::CONFIG);
  EXPECT_TRUE(node_.files().Exists("/media/driver.run"));
}

TEST_F(FetchTest, RefusesPlainHttpWithoutADigest) {
  artifact_.clear_sha256();
  EXPECT_EQ(ClassOf(Fetch().status()), v1::Failure::CONFIG);
  EXPECT_TRUE(node_.http().Requests().empty());
  artifact_.set_url("ftp://files/x");
  EXPECT_EQ(ClassOf(Fetch().status()), v1::Failure::CONFIG);
  artifact_.set_url("https://files/x");
  node_.http().Serve("https://files/x", "anything");
  EXPECT_TRUE(Fetch().ok());
}

TEST_F(FetchTest, ResumesWhatIsOfTheSameFile) {
  int calls = 0;
  node_.http().On("GET", kUrl,
                  [&](const host::HttpRequest& request) -> absl::StatusOr<host::HttpResponse> {
                    if (++calls == 1) {
                      host::HttpResponse head;
                      head.status = 200;
                      head.headers = {{"etag", "\"e\""}, {"content-length", "3"}};
                      request.on_head(head);
                      request.on_data("ab");
                      return absl::UnavailableError("cut");
                    }
                    EXPECT_EQ(request.headers.at("Range"), "bytes=2-");
                    EXPECT_EQ(request.headers.at("If-Range"), "\"e\"");
                    host::HttpResponse rest;
                    rest.status = 206;
                    rest.headers = {{"content-range", "bytes 2-2/3"}, {"etag", "\"e\""}};
                    rest.body = "c";
                    return rest;
                  });
  ASSERT_TRUE(Fetch().ok()) << log_;
  EXPECT_EQ(Content(), "abc");
}

TEST_F(FetchTest, StartsFromTheBeginningWhenTheFileHasChanged) {
  ASSERT_TRUE(node_.files().Write(std::string(kTarget) + ".part", "xy").ok());
  ASSERT_TRUE(node_.files()
                  .Write(std::string(kTarget) + ".part.json",
                         absl::StrCat(R"({"url":")", kUrl, R"(","sha256":")", kAbc,
                                      R"(","validator":"\"old\"","size":3})"))
                  .ok());
  node_.http().Serve(kUrl, "abc", "\"new\"");
  ASSERT_TRUE(Fetch().ok());
  EXPECT_EQ(Content(), "abc");
  EXPECT_EQ(node_.http().Requests().at(0).headers.at("If-Range"), "\"old\"");
}

TEST_F(FetchTest, AWrongFileAfterAResumeIsFetchedOnceMoreAsAWhole) {
  ASSERT_TRUE(node_.files().Write(std::string(kTarget) + ".part", "xy").ok());
  ASSERT_TRUE(node_.files()
                  .Write(std::string(kTarget) + ".part.json",
                         absl::StrCat(R"({"url":")", kUrl, R"(","sha256":")", kAbc,
                                      R"(","validator":"\"1\"","size":3})"))
                  .ok());
  node_.http().Serve(kUrl, "abc", "\"1\"");
  ASSERT_TRUE(Fetch().ok());
  EXPECT_EQ(Content(), "abc");
}

TEST_F(FetchTest, TriesAgainWhatPassesAndWaitsAsLongAsAsked) {
  int calls = 0;
  node_.http().On("GET", kUrl, [&](const host::HttpRequest&) {
    host::HttpResponse response;
    ++calls;
    response.status = calls == 1 ? 503 : calls == 2 ? 429 : 200;
    if (calls == 2) response.headers["retry-after"] = "60";
    if (calls == 3) response.body = "abc";
    return response;
  });
  const absl::Duration before = node_.clock().Elapsed();
  ASSERT_TRUE(Fetch().ok());
  EXPECT_EQ(calls, 3);
  EXPECT_EQ(node_.clock().Elapsed() - before, absl::Seconds(61));
}

TEST_F(FetchTest, GivesUpAsTransientWhenTheSourceStaysAway) {
  const absl::Status status = Fetch().status();  // nothing is served
  EXPECT_EQ(ClassOf(status), v1::Failure::TRANSIENT);
  EXPECT_EQ(node_.http().Requests().size(), 5u);
}

TEST_F(FetchTest, NoSuchFileOrNoRightIsConfigAtOnce) {
  for (int code : {404, 403}) {
    node_.http().On("GET", kUrl, code, "");
    const absl::Status status = Fetch().status();
    EXPECT_EQ(ClassOf(status), v1::Failure::CONFIG);
    EXPECT_THAT(std::string(status.message()),
                HasSubstr(absl::StrCat(kUrl, " answers HTTP ", code)));
  }
  EXPECT_EQ(node_.http().Requests().size(), 2u);
}

TEST_F(FetchTest, AnHtmlPageIsNoInstaller) {
  node_.http().Serve(kUrl, "<html>login</html>", "\"1\"", "text/html; charset=utf-8");
  const absl::Status status = Fetch().status();
  EXPECT_EQ(ClassOf(status), v1::Failure::CONFIG);
  EXPECT_THAT(std::string(status.message()), HasSubstr("HTML"));
}

TEST_F(FetchTest, ADiskTooSmallIsFoundBeforeTheFirstByte) {
  node_.http().On("GET", kUrl, 200, "abc", {{"content-length", "4611686018427387904"}});
  const absl::Status status = Fetch().status();
  EXPECT_EQ(ClassOf(status), v1::Failure::NEEDS_OPERATOR);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr(kTarget), HasSubstr("needs "), HasSubstr("free ")));
  EXPECT_EQ(Content(), "(none)");
}

TEST_F(FetchTest, EndsWhenCancelled) {
  callbacks_.cancelled = [this] { return node_.http().Requests().size() == 1; };
  EXPECT_TRUE(absl::IsCancelled(Fetch().status()));
}

TEST_F(FetchTest, ShowsNoSecretOfAnUrl) {
  artifact_.set_url("http://user:secret@files/driver.run");
  node_.http().Serve("http://user:secret@files/driver.run", "abc");
  ASSERT_TRUE(Fetch().ok());
  EXPECT_THAT(log_, AllOf(HasSubstr("http://files/driver.run"), Not(HasSubstr("secret"))));
  EXPECT_EQ(ShownUrl("https://b/k?X-Amz-Signature=abc"), "https://b/k?…");
  EXPECT_EQ(ShownUrl("https://b/k@v?Revision=master"), "https://b/k@v?Revision=master");
  EXPECT_EQ(ShownUrl("https://u:p@b"), "https://b");
}

TEST_F(FetchTest, ComesThroughARealServerThatCutsTheConnection) {
  fakes::FakeHost node;
  node.host().http = host::MakeHttp();
  fakes::LocalServer server;
  std::string body(3000000, 'a');
  for (size_t i = 0; i < body.size(); i += 7) body[i] = static_cast<char>('a' + i % 26);
  server.ServeFile("/model.bin", body, /*cuts=*/3, /*cut_after=*/500000);
  server.Start();
  ASSERT_TRUE(node.files().Write("/expected", body).ok());
  artifact_.set_url(server.Url("/model.bin"));
  artifact_.set_sha256(node.files().Sha256("/expected").value());
  uint64_t last = 0;
  callbacks_.progress = [&](uint64_t done, uint64_t) { last = done; };
  const auto path = FetchArtifact(node.host(), artifact_, "/data/model.bin", callbacks_);
  ASSERT_TRUE(path.ok()) << path.status() << log_;
  EXPECT_EQ(node.files().Read("/data/model.bin").value(), body);
  EXPECT_EQ(last, body.size());
  EXPECT_THAT(server.Requests(), ElementsAre("GET /model.bin", HasSubstr("bytes="),
                                             HasSubstr("bytes="), HasSubstr("bytes=")));
}

}  // namespace
}  // namespace npufleet::artifacts
