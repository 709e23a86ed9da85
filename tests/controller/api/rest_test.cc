// SPDX-License-Identifier: Apache-2.0
#include "controller/api/rest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <httplib.h>

#include "common/tls/join_token.h"
#include "controller/api/listing.h"
#include "controller/api/rest_server.h"
#include "tests/controller/api/fakes.h"

namespace npufleet::api {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

const std::string kBearer(64, 'b');

class RestTest : public ::testing::Test {
 protected:
  RestTest()
      : authority_(tls::CertificateAuthority::Create("fleet CA").value()),
        store_(store::NodeStore::Open(folder_.path() + "/npufleet.db", true).value()),
        enrolment_(*store_, authority_, clock_, nullptr),
        rest_(view_, *store_, &enrolment_) {
    EXPECT_TRUE(store_->AddBearer(tls::Sha256Hex(kBearer), {"web", "viewer"}, absl::Now()).ok());
    view_.SetRollout("alpha", 1);
    view_.SetRollout("beta", 1);
    view_.SetRollout("gamma", 1);
    for (const char* name : {"node-a", "node-b"}) {
      v1::NodeStatus* node = view_.nodes.add_nodes();
      node->set_name(name);
      for (uint32_t npu = 0; npu < 2; ++npu) {
        v1::Chip* chip = node->mutable_inventory()->add_chips();
        chip->set_npu(npu);
        chip->set_health(v1::Chip::OK);
        chip->set_hbm_total_mib(65536);
      }
    }
    for (int i = 1; i <= 5; ++i) view_.AddEvent(i % 2 == 1 ? "alpha" : "beta", absl::StrCat(i));
  }

  RestAnswer Get(const std::string& path,
                 const std::multimap<std::string, std::string>& parameters = {}) {
    RestRequest request;
    request.path = path;
    request.parameters = parameters;
    request.authorization = "Bearer " + kBearer;
    return rest_.Handle(request);
  }
  static Json Body(const RestAnswer& answer) {
    return Json::parse(answer.body, nullptr, /*allow_exceptions=*/false);
  }
  Json Ok(const std::string& path, const std::multimap<std::string, std::string>& parameters = {}) {
    const RestAnswer answer = Get(path, parameters);
    EXPECT_EQ(answer.status, 200) << path << " " << answer.body;
    EXPECT_EQ(answer.content_type, "application/json");
    return Body(answer);
  }
  static std::vector<std::string> Names(const Json& list, const char* key = "name") {
    std::vector<std::string> names;
    for (const Json& item : list) names.push_back(item.value(key, "?"));
    return names;
  }
  static void ExpectError(const RestAnswer& answer, int status, const std::string& name,
                          const std::string& part) {
    EXPECT_EQ(answer.status, status) << answer.body;
    const Json error = Body(answer).value("error", Json::object());
    EXPECT_EQ(error.value("code", 0), status);
    EXPECT_EQ(error.value("status", ""), name);
    EXPECT_THAT(error.value("message", ""), HasSubstr(part));
  }

  fakes::TemporaryFolder folder_;
  ShiftedClock clock_;
  tls::CertificateAuthority authority_;
  FakeView view_;
  std::unique_ptr<store::NodeStore> store_;
  Enrolment enrolment_;
  Rest rest_;
};

TEST_F(RestTest, EveryPathAnswersInProtobufsJson) {
  EXPECT_THAT(Names(Ok("/api/v1/nodes")["nodes"]), ElementsAre("node-a", "node-b"));
  EXPECT_THAT(Names(Ok("/api/v1/rollouts")["rollouts"]), ElementsAre("alpha", "beta", "gamma"));
  EXPECT_FALSE(Ok("/api/v1/rollouts")["rollouts"][0].contains("tasks"));

  const Json npus = Ok("/api/v1/npus")["npus"];
  EXPECT_THAT(Names(npus, "node"), ElementsAre("node-a", "node-a", "node-b", "node-b"));
  EXPECT_EQ(npus[1]["npu"], 1);
  EXPECT_EQ(npus[1]["health"], "OK");
  EXPECT_EQ(npus[1]["hbmTotalMib"], "65536") << "64 bit numbers are strings";
  EXPECT_FALSE(npus[1].contains("powerWatts")) << "a reading that failed is absent";

  const Json deployments = Ok("/api/v1/deployments")["deployments"];
  EXPECT_THAT(Names(deployments), ElementsAre("alpha", "beta", "gamma"));
  EXPECT_EQ(deployments[0]["revision"], "7");
  EXPECT_EQ(deployments[0]["deployment"]["metadata"]["name"], "alpha");

  const Json rollout = Ok("/api/v1/rollouts/alpha");
  EXPECT_EQ(rollout["name"], "alpha");
  EXPECT_EQ(rollout["tasks"].size(), 3u);
  EXPECT_THAT(Names(Ok("/api/v1/rollouts/alpha/tasks")["tasks"], "id"),
              ElementsAre("driver@node-a", "docker@node-a", "image@node-a"));
  EXPECT_EQ(Ok("/healthz")["status"], "ok");
  EXPECT_EQ(Ok("/readyz")["status"], "ok");
}

TEST_F(RestTest, ListsComeInPages) {
  Json page = Ok("/api/v1/rollouts", {{"pageSize", "2"}});
  EXPECT_THAT(Names(page["rollouts"]), ElementsAre("alpha", "beta"));
  page = Ok("/api/v1/rollouts", {{"pageSize", "2"}, {"pageToken", page["nextPageToken"]}});
  EXPECT_THAT(Names(page["rollouts"]), ElementsAre("gamma"));
  EXPECT_EQ(page["nextPageToken"], "");

  page = Ok("/api/v1/rollouts/alpha/tasks", {{"pageSize", "1"}});
  page = Ok("/api/v1/rollouts/alpha/tasks", {{"pageToken", page["nextPageToken"]}});
  EXPECT_THAT(Names(page["tasks"], "id"), ElementsAre("docker@node-a", "image@node-a"));
}

TEST_F(RestTest, EventsFollowACursor) {
  Json page = Ok("/api/v1/events", {{"pageSize", "3"}});
  EXPECT_THAT(Names(page["events"], "id"), ElementsAre("1", "2", "3"));
  page = Ok("/api/v1/events", {{"after", page["next"]}});
  EXPECT_THAT(Names(page["events"], "id"), ElementsAre("4", "5"));
  EXPECT_THAT(Names(Ok("/api/v1/events", {{"after", page["next"]}})["events"], "id"), IsEmpty());
  EXPECT_THAT(Names(Ok("/api/v1/events", {{"rollout", "beta"}})["events"], "id"),
              ElementsAre("2", "4"));
}

TEST_F(RestTest, EventsOfARolloutThatNeverWasAreNotFound) {
  ExpectError(Get("/api/v1/events", {{"rollout", "nobody"}}), 404, "NOT_FOUND",
              "no rollout \"nobody\"");
  EXPECT_THAT(Names(Ok("/api/v1/events", {{"rollout", "gamma"}})["events"], "id"), IsEmpty());
  view_.AddEvent("deleted", "6");
  EXPECT_THAT(Names(Ok("/api/v1/events", {{"rollout", "deleted"}})["events"], "id"),
              ElementsAre("6"));
  EXPECT_THAT(Names(Ok("/api/v1/events", {{"rollout", "deleted"}, {"after", "6"}})["events"], "id"),
              IsEmpty());
}

TEST_F(RestTest, BadParametersAreNamed) {
  const std::string invalid = "INVALID_ARGUMENT";
  for (const char* size : {"", "0", "-1", "1001", "ten", "1x"}) {
    ExpectError(Get("/api/v1/nodes", {{"pageSize", size}}), 400, invalid, "pageSize");
  }
  ExpectError(Get("/api/v1/nodes", {{"pageToken", "!"}}), 400, invalid, "pageToken \"!\"");
  ExpectError(Get("/api/v1/nodes", {{"pagesize", "1"}}), 400, invalid,
              "unknown parameter \"pagesize\"; /api/v1/nodes takes pageSize, pageToken");
  ExpectError(Get("/api/v1/nodes", {{"pageSize", "1"}, {"pageSize", "2"}}), 400, invalid, "twice");
  ExpectError(Get("/api/v1/events", {{"after", "now"}}), 400, invalid, "after \"now\"");
  ExpectError(Get("/api/v1/rollouts/alpha", {{"x", "1"}}), 400, invalid, "takes none");
}

TEST_F(RestTest, UnknownPathsAreNotFound) {
  for (const char* path : {"/", "/api", "/api/v1", "/api/v1/", "/api/v1/pods", "/api/v1/nodes/",
                           "/api/v1/rollouts/alpha/tasks/1", "/api/v2/nodes", "/join/x"}) {
    ExpectError(Get(path), 404, "NOT_FOUND", path);
  }
  ExpectError(Get("/api/v1/rollouts/delta"), 404, "NOT_FOUND", "delta");
  ExpectError(Get("/api/v1/rollouts/delta/tasks"), 404, "NOT_FOUND", "delta");
  ExpectError(Get(std::string("/\xff")), 404, "NOT_FOUND", "there is no");
}

TEST_F(RestTest, OnlyReadingIsAllowed) {
  for (const char* method : {"POST", "PUT", "PATCH", "DELETE", "OPTIONS"}) {
    RestRequest request;
    request.method = method;
    request.path = "/api/v1/nodes";
    const RestAnswer answer = rest_.Handle(request);
    ExpectError(answer, 405, "METHOD_NOT_ALLOWED", "takes only GET");
    EXPECT_EQ(answer.headers.at("Allow"), "GET, HEAD");
  }
  ExpectError(Get("/join"), 405, "METHOD_NOT_ALLOWED", "takes only POST");
}

TEST_F(RestTest, TheApiNeedsABearerToken) {
  RestRequest request;
  request.path = "/api/v1/nodes";
  const std::map<std::string, std::string> headers = {
      {"", "needs the header"},
      {"Bearer ", "needs the header"},
      {"Basic " + kBearer, "needs the header"},
      {"Bearer " + std::string(64, 'c'), "the bearer token is not known"}};
  for (const auto& [header, message] : headers) {
    request.authorization = header;
    const RestAnswer answer = rest_.Handle(request);
    ExpectError(answer, 401, "UNAUTHENTICATED", message);
    EXPECT_EQ(answer.headers.at("WWW-Authenticate"), "Bearer");
    EXPECT_THAT(answer.body, Not(HasSubstr("node-a")));
  }
}

TEST_F(RestTest, AnUnchangedAnswerIsNotSentAgain) {
  RestRequest request;
  request.path = "/api/v1/rollouts/alpha";
  request.authorization = "Bearer " + kBearer;
  const std::string etag = rest_.Handle(request).headers.at("ETag");
  request.if_none_match = "\"other\", W/" + etag;
  RestAnswer answer = rest_.Handle(request);
  EXPECT_EQ(answer.status, 304);
  EXPECT_EQ(answer.body, "");
  EXPECT_EQ(answer.headers.at("ETag"), etag);

  view_.SetRollout("alpha", 2);
  answer = rest_.Handle(request);
  EXPECT_EQ(answer.status, 200);
  EXPECT_NE(answer.headers.at("ETag"), etag);
}

TEST_F(RestTest, ReadinessSaysWhatIsWrongAndHealthStaysGood) {
  view_.ready = absl::ResourceExhaustedError("the store is full");
  ExpectError(Get("/readyz"), 503, "UNAVAILABLE", "the store is full");
  EXPECT_EQ(Get("/healthz").status, 200);
}

TEST_F(RestTest, WithoutEnrolmentThereIsNoJoin) {
  Rest plain(view_, *store_, nullptr);
  RestRequest request;
  request.path = "/join/ca";
  EXPECT_EQ(plain.Handle(request).status, 404);
  request.method = "POST";
  request.path = "/join";
  EXPECT_EQ(plain.Handle(request).status, 405);
}

// --- Over the wire -----------------------------------------------------------------------------

class RestServerTest : public RestTest {
 protected:
  RestServerTest()
      : server_(RestServer::Start("127.0.0.1:0", MakeIdentity(authority_, "controller", "c"), rest_)
                    .value()),
        ca_file_(folder_.path() + "/ca.pem") {
    EXPECT_TRUE(tls::WriteFileAtomically(ca_file_, authority_.ca_pem(), 0644).ok());
  }

  std::unique_ptr<httplib::SSLClient> Client(bool trusting = true) {
    auto client = std::make_unique<httplib::SSLClient>("127.0.0.1", server_->port());
    client->enable_server_certificate_verification(trusting);
    if (trusting) client->set_ca_cert_path(ca_file_.c_str());
    return client;
  }
  std::string JoinBody(const tls::JoinToken& token, const std::string& key) {
    return Json{{"node", token.node},
                {"secret", token.secret},
                {"address", "192.168.0.16:7602"},
                {"csr", tls::MakeCsr(key, token.node, "192.168.0.16").value()}}
        .dump();
  }

  std::unique_ptr<RestServer> server_;
  std::string ca_file_;
};

TEST_F(RestServerTest, ANodeJoinsOverTheWireOnce) {
  const auto token =
      tls::ParseJoinToken(enrolment_.CreateJoinToken("node-b", absl::Hours(1)).value()).value();
  auto untrusting = Client(false);
  const auto ca = untrusting->Get("/join/ca");
  ASSERT_TRUE(ca);
  EXPECT_EQ(ca->status, 200);
  EXPECT_EQ(tls::Sha256OfCertificate(ca->body).value(), token.ca_sha256);

  auto client = Client();
  const std::string body = JoinBody(token, tls::GenerateKey().value());
  auto joined = client->Post("/join", body, "application/json");
  ASSERT_TRUE(joined);
  ASSERT_EQ(joined->status, 200) << joined->body;
  const std::string certificate = Json::parse(joined->body)["certificate"];
  EXPECT_TRUE(tls::VerifyCertificate(certificate, ca->body, absl::Now()).ok());

  joined = client->Post("/join", body, "application/json");
  ASSERT_TRUE(joined);
  EXPECT_EQ(joined->status, 403);
  EXPECT_THAT(joined->body, Not(HasSubstr(token.secret)));
}

TEST_F(RestServerTest, AnotherControllersAuthorityDoesNotFitThePin) {
  const auto other = tls::CertificateAuthority::Create("fleet CA").value();
  Enrolment others(*store_, other, clock_, nullptr);
  const auto token =
      tls::ParseJoinToken(others.CreateJoinToken("node-b", absl::Hours(1)).value()).value();
  auto untrusting = Client(false);
  EXPECT_NE(tls::Sha256OfCertificate(untrusting->Get("/join/ca")->body).value(), token.ca_sha256);
}

TEST_F(RestServerTest, BrokenJoinsGetAJsonError) {
  auto client = Client();
  for (const char* body : {"", "[]", "{", "{\"csr\":7}", "{\"csr\":\"x\"}"}) {
    const auto answer = client->Post("/join", body, "application/json");
    ASSERT_TRUE(answer) << body;
    EXPECT_EQ(answer->status, 400) << body;
    EXPECT_EQ(Json::parse(answer->body)["error"]["status"], "INVALID_ARGUMENT");
  }
  const auto huge = client->Post("/join", std::string(100 << 10, 'x'), "application/json");
  ASSERT_TRUE(huge);
  EXPECT_EQ(huge->status, 413);
  EXPECT_EQ(Json::parse(huge->body)["error"]["code"], 413);
}

TEST_F(RestServerTest, ServesHeadersMethodsAndQueries) {
  auto client = Client();
  client->set_bearer_token_auth(kBearer.c_str());
  auto answer = client->Get("/api/v1/rollouts?pageSize=1");
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 200);
  EXPECT_EQ(Json::parse(answer->body)["rollouts"].size(), 1u);
  const std::string etag = answer->get_header_value("ETag");
  answer = client->Get("/api/v1/rollouts?pageSize=1", {{"If-None-Match", etag}});
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 304);
  EXPECT_EQ(answer->body, "");
  answer = client->Delete("/api/v1/rollouts/alpha");
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 405);
  answer = client->Post("/api/v1/rollouts", "{}", "application/json");
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 405);
  answer = client->Get("/nothing");
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 404);
  EXPECT_EQ(Json::parse(answer->body)["error"]["code"], 404);
}

TEST_F(RestServerTest, PlainHttpIsForLoopbackByNameOnly) {
  EXPECT_EQ(RestServer::Start("0.0.0.0:0", std::nullopt, rest_).status().code(),
            absl::StatusCode::kInvalidArgument);
  const auto plain = RestServer::Start("127.0.0.1:0", std::nullopt, rest_).value();
  httplib::Client client("127.0.0.1", plain->port());
  EXPECT_EQ(client.Get("/healthz")->status, 200);
}

TEST_F(RestServerTest, ATakenPortAndANonsensicalOneAreErrors) {
  const std::string taken = absl::StrCat("127.0.0.1:", server_->port());
  EXPECT_EQ(RestServer::Start(taken, std::nullopt, rest_).status().code(),
            absl::StatusCode::kUnavailable);
  for (const char* listen : {"", "7601", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:70000"}) {
    EXPECT_EQ(RestServer::Start(listen, std::nullopt, rest_).status().code(),
              absl::StatusCode::kInvalidArgument)
        << listen;
  }
}

}  // namespace
}  // namespace npufleet::api
