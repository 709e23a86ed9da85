// SPDX-License-Identifier: Apache-2.0
#include "controller/api/service.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include "common/tls/grpc_credentials.h"
#include "controller/store/node_store.h"
#include "npufleet/v1/controller.grpc.pb.h"
#include "tests/controller/api/fakes.h"

namespace npufleet::api {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

class ServiceTest : public ::testing::Test {
 protected:
  ServiceTest()
      : authority_(tls::CertificateAuthority::Create("fleet CA").value()),
        store_(store::NodeStore::Open(folder_.path() + "/npufleet.db", true).value()),
        enrolment_(*store_, authority_, Clock::Real(), nullptr) {
    ServiceParts parts;
    parts.view = &view_;
    parts.control = &control_;
    parts.enrolment = &enrolment_;
    parts.clock = &Clock::Real();
    parts.audit = [this](const AuditRecord& record) {
      absl::MutexLock lock(&mutex_);
      audit_.push_back(record);
    };
    server_ =
        ApiServer::Start("127.0.0.1:0", MakeIdentity(authority_, "controller", "controller"), parts)
            .value();
  }

  std::string Address() const { return absl::StrCat("127.0.0.1:", server_->port()); }

  std::unique_ptr<v1::Controller::Stub> Connect(
      std::shared_ptr<grpc::ChannelCredentials> credentials) {
    return v1::Controller::NewStub(grpc::CreateChannel(Address(), credentials));
  }
  std::unique_ptr<v1::Controller::Stub> As(const std::string& role) {
    return Connect(tls::ClientCredentials(MakeIdentity(authority_, role, "some-" + role)));
  }

  static std::unique_ptr<grpc::ClientContext> Context() {
    auto context = std::make_unique<grpc::ClientContext>();
    context->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
    return context;
  }
  static grpc::StatusCode Version(v1::Controller::Stub& stub) {
    v1::Version reply;
    return stub.GetVersion(Context().get(), {}, &reply).error_code();
  }
  static grpc::Status Apply(v1::Controller::Stub& stub) {
    v1::ApplyDeploymentRequest request;
    request.mutable_deployment()->mutable_metadata()->set_name("qwen");
    v1::ApplyDeploymentReply reply;
    return stub.ApplyDeployment(Context().get(), request, &reply);
  }
  static grpc::Status CreateToken(v1::Controller::Stub& stub, std::string* token) {
    v1::CreateJoinTokenRequest request;
    request.set_node("node-c");
    v1::CreateJoinTokenReply reply;
    const grpc::Status status = stub.CreateJoinToken(Context().get(), request, &reply);
    *token = reply.token();
    return status;
  }
  std::vector<AuditRecord> audit() {
    absl::MutexLock lock(&mutex_);
    return audit_;
  }

  fakes::TemporaryFolder folder_;
  tls::CertificateAuthority authority_;
  FakeView view_;
  FakeControl control_;
  std::unique_ptr<store::NodeStore> store_;
  Enrolment enrolment_;
  absl::Mutex mutex_;
  std::vector<AuditRecord> audit_;
  std::unique_ptr<ApiServer> server_;
};

TEST_F(ServiceTest, AClientWithoutACertificateGetsNoByte) {
  grpc::SslCredentialsOptions options;
  options.pem_root_certs = authority_.ca_pem();
  EXPECT_EQ(Version(*Connect(grpc::SslCredentials(options))), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(Version(*Connect(grpc::InsecureChannelCredentials())), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(ServiceTest, AForeignAuthoritysCertificateGetsNoByte) {
  const auto foreign = tls::CertificateAuthority::Create("fleet CA").value();
  tls::Identity identity = MakeIdentity(foreign, "admin", "admin");
  identity.ca_pem = authority_.ca_pem();
  EXPECT_EQ(Version(*Connect(tls::ClientCredentials(identity))), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(ServiceTest, AClientRefusesAServerOfAForeignAuthority) {
  const auto foreign = tls::CertificateAuthority::Create("fleet CA").value();
  tls::Identity identity = MakeIdentity(authority_, "admin", "admin");
  identity.ca_pem = foreign.ca_pem();
  EXPECT_EQ(Version(*Connect(tls::ClientCredentials(identity))), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(ServiceTest, AnExpiredCertificateGetsNoByte) {
  tls::Identity identity = MakeIdentity(authority_, "admin", "admin");
  identity.certificate_pem = authority_
                                 .Sign(tls::MakeCsr(identity.key_pem, "admin", "").value(), "admin",
                                       "admin", {}, -absl::Minutes(1))
                                 .value();
  EXPECT_EQ(Version(*Connect(tls::ClientCredentials(identity))), grpc::StatusCode::UNAVAILABLE);
}

// The protocol version that a TLS client with a certificate reaches, or its error.
std::string Handshake(int port, const tls::Identity& identity, int highest_version,
                      const std::string& folder) {
  EXPECT_TRUE(tls::SaveIdentity(folder, identity).ok());
  SSL_CTX* context = SSL_CTX_new(TLS_client_method());
  SSL_CTX_set_max_proto_version(context, highest_version);
  SSL_CTX_use_certificate_file(context, (folder + "/cert.pem").c_str(), SSL_FILETYPE_PEM);
  SSL_CTX_use_PrivateKey_file(context, (folder + "/key.pem").c_str(), SSL_FILETYPE_PEM);
  BIO* bio = BIO_new_ssl_connect(context);
  SSL* ssl = nullptr;
  BIO_get_ssl(bio, &ssl);
  SSL_set_alpn_protos(ssl, reinterpret_cast<const unsigned char*>("\x02h2"), 3);
  BIO_set_conn_hostname(bio, absl::StrCat("127.0.0.1:", port).c_str());
  const std::string result = BIO_do_connect(bio) == 1 ? SSL_get_version(ssl) : "refused";
  BIO_free_all(bio);
  SSL_CTX_free(context);
  return result;
}

TEST_F(ServiceTest, SpeaksTls13Only) {
  const tls::Identity identity = MakeIdentity(authority_, "admin", "admin");
  EXPECT_EQ(Handshake(server_->port(), identity, TLS1_3_VERSION, folder_.path()), "TLSv1.3");
  EXPECT_EQ(Handshake(server_->port(), identity, TLS1_2_VERSION, folder_.path()), "refused");
}

TEST_F(ServiceTest, AViewerReadsAndChangesNothing) {
  const auto viewer = As("viewer");
  EXPECT_EQ(Version(*viewer), grpc::StatusCode::OK);
  v1::Plan plan;
  EXPECT_TRUE(viewer->PlanDeployment(Context().get(), {}, &plan).ok());
  EXPECT_THAT(plan.current(), ElementsAre("driver@node-a"));

  const auto denied = grpc::StatusCode::PERMISSION_DENIED;
  std::string token;
  v1::Rollout rollout;
  v1::NodeStatus node;
  const grpc::Status applied = Apply(*viewer);
  EXPECT_EQ(applied.error_code(), denied);
  EXPECT_THAT(applied.error_message(), HasSubstr("\"some-viewer\" has the role viewer"));
  EXPECT_EQ(viewer->DeleteDeployment(Context().get(), {}, &rollout).error_code(), denied);
  EXPECT_EQ(viewer->ControlRollout(Context().get(), {}, &rollout).error_code(), denied);
  EXPECT_EQ(viewer->RebootNode(Context().get(), {}, &node).error_code(), denied);
  EXPECT_EQ(viewer->RemoveNode(Context().get(), {}, &node).error_code(), denied);
  EXPECT_EQ(CreateToken(*viewer, &token).error_code(), denied);
  EXPECT_THAT(control_.calls(), IsEmpty());
}

TEST_F(ServiceTest, AnOperatorChangesRolloutsAndAdmitsNobody) {
  const auto an_operator = As("operator");
  std::string token;
  EXPECT_TRUE(Apply(*an_operator).ok());
  v1::NodeStatus node;
  EXPECT_EQ(an_operator->RemoveNode(Context().get(), {}, &node).error_code(),
            grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(CreateToken(*an_operator, &token).error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_THAT(control_.calls(), ElementsAre("apply qwen by some-operator"));
}

TEST_F(ServiceTest, AnAdminAdmitsNodes) {
  std::string token;
  EXPECT_TRUE(CreateToken(*As("admin"), &token).ok());
  EXPECT_THAT(token, StartsWith("npufleet.node-c."));
}

TEST_F(ServiceTest, AnAgentsCertificateMayDoNothing) {
  EXPECT_EQ(Version(*As("agent")), grpc::StatusCode::PERMISSION_DENIED);
  const auto agent = As("agent");
  const auto context = Context();
  auto stream = agent->WatchEvents(context.get(), {});
  v1::Event event;
  EXPECT_FALSE(stream->Read(&event));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::PERMISSION_DENIED);
}

TEST_F(ServiceTest, ChangesAndRefusalsAreAuditedAndReadsAreNot) {
  const auto an_operator = As("operator");
  Version(*an_operator);
  Apply(*an_operator);
  Apply(*As("viewer"));
  v1::ControlRolloutRequest retry;
  retry.set_name("qwen");
  retry.set_verb(v1::ControlRolloutRequest::RETRY);
  v1::Rollout rollout;
  EXPECT_EQ(an_operator->ControlRollout(Context().get(), retry, &rollout).error_code(),
            grpc::StatusCode::FAILED_PRECONDITION);

  const std::vector<AuditRecord> records = audit();
  ASSERT_EQ(records.size(), 3u);
  EXPECT_EQ(records[0].name, "some-operator");
  EXPECT_EQ(records[0].role, "operator");
  EXPECT_EQ(records[0].method, "ApplyDeployment");
  EXPECT_EQ(records[0].subject, "qwen");
  EXPECT_EQ(records[0].outcome, "OK");
  EXPECT_THAT(records[0].peer, HasSubstr("127.0.0.1"));
  EXPECT_EQ(records[1].name, "some-viewer");
  EXPECT_THAT(records[1].outcome, StartsWith("PERMISSION_DENIED"));
  EXPECT_EQ(records[2].subject, "RETRY qwen");
  EXPECT_THAT(records[2].outcome, HasSubstr("nothing to retry"));
}

TEST_F(ServiceTest, WatchRolloutSendsTheRolloutNowAndWithEachChange) {
  view_.SetRollout("qwen", 1);
  const auto viewer = As("viewer");
  const auto context = Context();
  v1::GetRolloutRequest request;
  request.set_name("qwen");
  auto stream = viewer->WatchRollout(context.get(), request);
  v1::Rollout rollout;
  ASSERT_TRUE(stream->Read(&rollout));
  EXPECT_EQ(rollout.change(), 1u);
  view_.AddEvent("qwen", "not a change of the rollout");
  view_.SetRollout("qwen", 2);
  ASSERT_TRUE(stream->Read(&rollout));
  EXPECT_EQ(rollout.change(), 2u);
  context->TryCancel();
  EXPECT_FALSE(stream->Read(&rollout));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
}

TEST_F(ServiceTest, WatchRolloutOfAnUnknownOneSaysSo) {
  const auto viewer = As("viewer");
  const auto context = Context();
  auto stream = viewer->WatchRollout(context.get(), {});
  v1::Rollout rollout;
  EXPECT_FALSE(stream->Read(&rollout));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(ServiceTest, WatchEventsSendsEachEventOnceInOrder) {
  for (int i = 0; i < 50; ++i) view_.AddEvent("qwen", absl::StrCat(i));
  const auto viewer = As("viewer");
  const auto context = Context();
  v1::ListEventsRequest request;
  request.set_after(10);
  auto stream = viewer->WatchEvents(context.get(), request);
  v1::Event event;
  for (uint64_t id = 11; id <= 50; ++id) {
    ASSERT_TRUE(stream->Read(&event));
    EXPECT_EQ(event.id(), id);
  }
  view_.AddEvent("qwen", "later");
  ASSERT_TRUE(stream->Read(&event));
  EXPECT_EQ(event.id(), 51u);
  context->TryCancel();
}

TEST_F(ServiceTest, EventsOfARolloutThatNeverWasAreNotFound) {
  view_.AddEvent("deleted", "1");
  const auto viewer = As("viewer");
  v1::ListEventsRequest request;
  request.set_rollout("deleted");
  v1::ListEventsReply reply;
  EXPECT_TRUE(viewer->ListEvents(Context().get(), request, &reply).ok());
  EXPECT_EQ(reply.events_size(), 1);
  request.set_rollout("nobody");
  const grpc::Status listed = viewer->ListEvents(Context().get(), request, &reply);
  EXPECT_EQ(listed.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_THAT(listed.error_message(), HasSubstr("nobody"));

  const auto context = Context();
  auto stream = viewer->WatchEvents(context.get(), request);
  v1::Event event;
  EXPECT_FALSE(stream->Read(&event));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(ServiceTest, AWatcherThatIsStillThereDoesNotKeepTheServerFromStopping) {
  view_.SetRollout("qwen", 1);
  const auto viewer = As("viewer");
  const auto context = Context();
  auto stream = viewer->WatchEvents(context.get(), {});
  server_.reset();
  v1::Event event;
  EXPECT_FALSE(stream->Read(&event));
  EXPECT_FALSE(stream->Finish().ok());
}

TEST_F(ServiceTest, WatchTaskLogEndsWithTheLog) {
  const auto viewer = As("viewer");
  const auto context = Context();
  auto stream = viewer->WatchTaskLog(context.get(), {});
  v1::OperationEvent event;
  for (uint64_t sequence = 1; sequence <= 3; ++sequence) {
    ASSERT_TRUE(stream->Read(&event));
    EXPECT_EQ(event.sequence(), sequence);
  }
  EXPECT_FALSE(stream->Read(&event));
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(ServiceTest, WhenTheClientLeavesTheLogIsWatchedNoLonger) {
  const auto viewer = As("viewer");
  const auto context = Context();
  v1::WatchTaskLogRequest request;
  request.set_follow(true);
  auto stream = viewer->WatchTaskLog(context.get(), request);
  v1::OperationEvent event;
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(stream->Read(&event));
  context->TryCancel();
  EXPECT_FALSE(stream->Read(&event));
  EXPECT_TRUE(control_.log_cancelled.WaitForNotificationWithTimeout(absl::Seconds(30)));
}

TEST_F(ServiceTest, ASecondServerOnThePortIsRefused) {
  ServiceParts parts;
  const auto second =
      ApiServer::Start(Address(), MakeIdentity(authority_, "controller", "controller"), parts);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace npufleet::api
