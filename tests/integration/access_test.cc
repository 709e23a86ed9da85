// SPDX-License-Identifier: Apache-2.0
//
// Who is let in: what a stranger reads from the ports of a fleet, down to the byte, and what a
// viewer may do.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <signal.h>

#include <functional>
#include <memory>
#include <optional>

#include "absl/strings/str_cat.h"
#include "common/tls/keys.h"
#include "tests/integration/ctl_program.h"

namespace npufleet::integration {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

template <auto Free>
struct Deleter {
  template <typename T>
  void operator()(T* object) const {
    Free(object);
  }
};
template <typename T, auto Free>
using Owned = std::unique_ptr<T, Deleter<Free>>;

void Use(SSL_CTX* context, const tls::Identity& identity) {
  const auto reader = [](const std::string& pem) {
    return Owned<BIO, BIO_free>(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  };
  const Owned<X509, X509_free> certificate(
      PEM_read_bio_X509(reader(identity.certificate_pem).get(), nullptr, nullptr, nullptr));
  const Owned<EVP_PKEY, EVP_PKEY_free> key(
      PEM_read_bio_PrivateKey(reader(identity.key_pem).get(), nullptr, nullptr, nullptr));
  ASSERT_EQ(SSL_CTX_use_certificate(context, certificate.get()), 1);
  ASSERT_EQ(SSL_CTX_use_PrivateKey(context, key.get()), 1);
}

// What the port says, inside TLS, to a client that trusts anybody and begins as HTTP/2 does.
std::string BytesFrom(const std::string& address, const std::optional<tls::Identity>& identity) {
  const Owned<SSL_CTX, SSL_CTX_free> context(SSL_CTX_new(TLS_client_method()));
  static constexpr unsigned char kHttp2[] = {2, 'h', '2'};
  SSL_CTX_set_alpn_protos(context.get(), kHttp2, sizeof(kHttp2));
  if (identity) Use(context.get(), *identity);
  const Owned<BIO, BIO_free_all> connection(BIO_new_ssl_connect(context.get()));
  BIO_set_conn_hostname(connection.get(), address.c_str());
  if (BIO_do_handshake(connection.get()) != 1) return "";
  const std::string preface("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", 33);
  BIO_write(connection.get(), preface.data(), static_cast<int>(preface.size()));
  char buffer[512];
  const int read = BIO_read(connection.get(), buffer, sizeof(buffer));
  return read > 0 ? std::string(buffer, static_cast<size_t>(read)) : "";
}

class AccessTest : public ::testing::Test {
 protected:
  AccessTest() : fleet_(1) {
    signal(SIGPIPE, SIG_IGN);  // OpenSSL writes to a connection that the server has closed
    fleet_.StartController();
  }

  // Signed by another authority, with the name of ours.
  tls::Identity ForeignAs(const std::string& role) {
    const auto foreign = tls::CertificateAuthority::Create("fleet").value();
    tls::Identity identity = fleet_.IdentityAs(role);
    identity.certificate_pem = foreign
                                   .Sign(tls::MakeCsr(identity.key_pem, role, "127.0.0.1").value(),
                                         role, role, {"127.0.0.1"})
                                   .value();
    return identity;
  }

  Fleet fleet_;
};

TEST_F(AccessTest, AClientWithoutACertificateGetsNoByte) {
  EXPECT_EQ(BytesFrom(fleet_.controller_address(), std::nullopt), "");
  EXPECT_EQ(BytesFrom(fleet_.agent_address(0), std::nullopt), "");
}

TEST_F(AccessTest, AClientWithAForeignCertificateGetsNoByte) {
  EXPECT_EQ(BytesFrom(fleet_.controller_address(), ForeignAs("admin")), "");
  EXPECT_EQ(BytesFrom(fleet_.agent_address(0), ForeignAs("controller")), "");
}

TEST_F(AccessTest, TheFleetsOwnAreAnswered) {
  EXPECT_NE(BytesFrom(fleet_.controller_address(), fleet_.IdentityAs("viewer")), "");
  EXPECT_NE(BytesFrom(fleet_.agent_address(0), fleet_.IdentityAs("controller")), "");
}

TEST_F(AccessTest, AViewerMayLookAndEveryChangeIsPermissionDenied) {
  ASSERT_TRUE(fleet_.Apply(MakeDeployment(1)).ok());
  fleet_.AwaitPhase(v1::Rollout::SERVING);
  const auto viewer = fleet_.ClientAs("viewer");
  const size_t operations = fleet_.Journal(0).size();

  v1::ApplyDeploymentRequest apply;
  *apply.mutable_deployment() = MakeDeployment(1);
  apply.mutable_deployment()->mutable_spec()->mutable_engine()->set_served_model_name("another");
  v1::ApplyDeploymentReply applied;
  v1::DeleteDeploymentRequest remove;
  remove.set_name("tiny");
  v1::ControlRolloutRequest control;
  control.set_name("tiny");
  control.set_verb(v1::ControlRolloutRequest::RESTART);
  v1::Rollout rollout;
  v1::RebootNodeRequest reboot;
  reboot.set_name("node-a");
  v1::RemoveNodeRequest leave;
  leave.set_name("node-a");
  v1::NodeStatus node;
  v1::CreateJoinTokenRequest admit;
  admit.set_node("node-b");
  v1::CreateJoinTokenReply token;
  for (const grpc::Status& status : {viewer->ApplyDeployment(Context().get(), apply, &applied),
                                     viewer->DeleteDeployment(Context().get(), remove, &rollout),
                                     viewer->ControlRollout(Context().get(), control, &rollout),
                                     viewer->RebootNode(Context().get(), reboot, &node),
                                     viewer->RemoveNode(Context().get(), leave, &node),
                                     viewer->CreateJoinToken(Context().get(), admit, &token)}) {
    EXPECT_EQ(status.error_code(), grpc::StatusCode::PERMISSION_DENIED) << status.error_message();
  }
  EXPECT_EQ(token.token(), "");
  v1::ListRolloutsReply seen;
  ASSERT_TRUE(viewer->ListRollouts(Context().get(), {}, &seen).ok());
  ASSERT_THAT(seen.rollouts(), SizeIs(1));
  EXPECT_EQ(seen.rollouts(0).phase(), v1::Rollout::SERVING);
  EXPECT_EQ(seen.rollouts(0).revision(), 1u);
  EXPECT_THAT(fleet_.Journal(0), SizeIs(operations));
}

TEST_F(AccessTest, AnAgentServesNobodyButTheController) {
  for (const char* role : {"viewer", "operator", "admin", "agent"}) {
    const auto agent = v1::Agent::NewStub(
        grpc::CreateChannel(fleet_.agent_address(0), fleet_.CredentialsAs(role)));
    v1::Inventory inventory;
    EXPECT_EQ(agent->GetInventory(Context().get(), {}, &inventory).error_code(),
              grpc::StatusCode::PERMISSION_DENIED)
        << role;
    EXPECT_THAT(inventory.chips(), IsEmpty());
  }
}

TEST_F(AccessTest, CtlOfAViewerSaysWhoMay) {
  const CtlProgram ctl(fleet_, "viewer");
  EXPECT_EQ(ctl.Run({"node", "list"}).exit_code, 0);
  const CtlProgram::Result refused = ctl.Run({"node", "reboot", "node-a"});
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_THAT(refused.err, HasSubstr("viewer"));
}

}  // namespace
}  // namespace npufleet::integration
