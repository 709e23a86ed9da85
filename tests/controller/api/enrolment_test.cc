// SPDX-License-Identifier: Apache-2.0
#include "controller/api/enrolment.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/tls/join_token.h"
#include "tests/controller/api/fakes.h"

namespace npufleet::api {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class EnrolmentTest : public ::testing::Test {
 protected:
  EnrolmentTest()
      : authority_(tls::CertificateAuthority::Create("fleet CA").value()),
        store_(store::NodeStore::Open(folder_.path() + "/npufleet.db", true).value()),
        enrolment_(*store_, authority_, clock_,
                   [this](const std::string& node, const std::string& address) {
                     joined_.push_back(node + " " + address);
                   }),
        key_(tls::GenerateKey().value()) {}

  JoinRequest RequestWith(const std::string& token) {
    JoinRequest request;
    request.node = "node-b";
    request.secret = tls::ParseJoinToken(token)->secret;
    request.address = "192.168.0.16:7602";
    request.csr = tls::MakeCsr(key_, "node-b", "192.168.0.16").value();
    return request;
  }
  JoinRequest GoodRequest() {
    return RequestWith(enrolment_.CreateJoinToken("node-b", absl::Hours(1)).value());
  }
  absl::StatusCode CodeOf(const JoinRequest& request) {
    return enrolment_.Join(request).status().code();
  }

  fakes::TemporaryFolder folder_;
  ShiftedClock clock_;
  tls::CertificateAuthority authority_;
  std::unique_ptr<store::NodeStore> store_;
  std::vector<std::string> joined_;
  Enrolment enrolment_;
  std::string key_;
};

constexpr auto kDenied = absl::StatusCode::kPermissionDenied;

TEST_F(EnrolmentTest, ANodeJoinsAsAgentOfItsAddress) {
  const std::string certificate = enrolment_.Join(GoodRequest()).value();
  const tls::CertificateInfo info = tls::ReadCertificate(certificate).value();
  EXPECT_EQ(info.name, "node-b");
  EXPECT_EQ(info.role, "agent");
  EXPECT_THAT(info.addresses, ElementsAre("node-b", "192.168.0.16"));
  EXPECT_TRUE(tls::VerifyCertificate(certificate, authority_.ca_pem(), absl::Now()).ok());
  EXPECT_THAT(joined_, ElementsAre("node-b 192.168.0.16:7602"));
  EXPECT_EQ(store_->FindNode("node-b")->address, "192.168.0.16:7602");
}

TEST_F(EnrolmentTest, TheTokenPinsTheAuthority) {
  const auto token =
      tls::ParseJoinToken(enrolment_.CreateJoinToken("node-b", absl::Hours(1)).value()).value();
  EXPECT_EQ(token.ca_sha256, tls::Sha256OfCertificate(enrolment_.ca_pem()).value());
}

TEST_F(EnrolmentTest, ATokenIsGoodForOneJoin) {
  const JoinRequest request = GoodRequest();
  ASSERT_TRUE(enrolment_.Join(request).ok());
  EXPECT_EQ(CodeOf(request), kDenied);
  EXPECT_EQ(joined_.size(), 1u);
}

TEST_F(EnrolmentTest, AWrongSecretIsRefused) {
  JoinRequest request = GoodRequest();
  request.secret.back() = request.secret.back() == '0' ? '1' : '0';
  const absl::Status status = enrolment_.Join(request).status();
  EXPECT_EQ(status.code(), kDenied);
  EXPECT_THAT(std::string(status.message()), HasSubstr("token create --node node-b"));
}

TEST_F(EnrolmentTest, AnotherNodesTokenIsRefused) {
  JoinRequest request = GoodRequest();
  request.node = "node-c";
  EXPECT_EQ(CodeOf(request), kDenied);
}

TEST_F(EnrolmentTest, AnExpiredTokenIsRefused) {
  const JoinRequest request = GoodRequest();
  clock_.shift = absl::Hours(1) + absl::Seconds(1);
  EXPECT_EQ(CodeOf(request), kDenied);
}

TEST_F(EnrolmentTest, ABrokenRequestDoesNotUseTheTokenUp) {
  JoinRequest request = GoodRequest();
  const std::string csr = request.csr;
  request.csr = "nonsense";
  EXPECT_EQ(CodeOf(request), absl::StatusCode::kInvalidArgument);
  request.csr = csr;
  for (const char* address :
       {"", "192.168.0.16:0", "192.168.0.16:x", ":7602", "0.0.0.0:7602", "a,DNS:controller:7602"}) {
    request.address = address;
    EXPECT_EQ(CodeOf(request), absl::StatusCode::kInvalidArgument) << address;
  }
  request.address = "192.168.0.16:7602";
  EXPECT_TRUE(enrolment_.Join(request).ok());
}

TEST_F(EnrolmentTest, AnAddressWithoutAPortGetsTheAgents) {
  JoinRequest request = GoodRequest();
  request.address = "192.168.0.16";
  ASSERT_TRUE(enrolment_.Join(request).ok());
  EXPECT_EQ(store_->FindNode("node-b")->address, "192.168.0.16:7602");
}

TEST_F(EnrolmentTest, JoiningAgainWithANewTokenReplacesTheAddress) {
  ASSERT_TRUE(enrolment_.Join(GoodRequest()).ok());
  JoinRequest again = GoodRequest();
  again.address = "192.168.0.17:7602";
  ASSERT_TRUE(enrolment_.Join(again).ok());
  ASSERT_EQ(store_->ListNodes()->size(), 1u);
  EXPECT_EQ(store_->FindNode("node-b")->address, "192.168.0.17:7602");
}

TEST_F(EnrolmentTest, SaysWhichTokensCanBeMade) {
  EXPECT_FALSE(enrolment_.CreateJoinToken("Node", absl::Hours(1)).ok());
  EXPECT_FALSE(enrolment_.CreateJoinToken("node-b", absl::ZeroDuration()).ok());
  EXPECT_FALSE(enrolment_.CreateJoinToken("node-b", absl::InfiniteDuration()).ok());
}

TEST_F(EnrolmentTest, TheHolderOfTheKeyRenews) {
  const std::string certificate = enrolment_.Join(GoodRequest()).value();
  const std::string csr = tls::MakeCsr(tls::GenerateKey().value(), "node-b", "").value();
  const std::string renewed =
      enrolment_.Renew(certificate, csr, tls::SignText(key_, csr).value()).value();
  const tls::CertificateInfo info = tls::ReadCertificate(renewed).value();
  EXPECT_EQ(info.name, "node-b");
  EXPECT_THAT(info.addresses, ElementsAre("node-b", "192.168.0.16"));
}

TEST_F(EnrolmentTest, ANodeThatWasRemovedNeitherRenewsNorUsesAnOldToken) {
  const std::string certificate = enrolment_.Join(GoodRequest()).value();
  const JoinRequest unused = GoodRequest();
  ASSERT_TRUE(store_->RemoveNode("node-b").ok());
  const std::string csr = tls::MakeCsr(key_, "node-b", "").value();
  EXPECT_EQ(enrolment_.Renew(certificate, csr, tls::SignText(key_, csr).value()).status().code(),
            kDenied);
  EXPECT_EQ(CodeOf(unused), kDenied);
  EXPECT_TRUE(absl::IsNotFound(store_->RemoveNode("node-b")));
  EXPECT_TRUE(enrolment_.Join(GoodRequest()).ok()) << "with a new token it is admitted again";
}

TEST_F(EnrolmentTest, RenewalNeedsTheKeyTheFleetsCertificateAndAPresentOne) {
  const std::string certificate = enrolment_.Join(GoodRequest()).value();
  const std::string csr = tls::MakeCsr(key_, "node-b", "").value();
  const std::string signature = tls::SignText(key_, csr).value();
  const auto code = [&](const std::string& shown, const std::string& signed_by) {
    return enrolment_.Renew(shown, csr, signed_by).status().code();
  };
  EXPECT_EQ(code(certificate, tls::SignText(tls::GenerateKey().value(), csr).value()), kDenied);

  const auto foreign = tls::CertificateAuthority::Create("fleet CA").value();
  EXPECT_EQ(code(foreign.Sign(csr, "agent", "node-b", {}).value(), signature), kDenied);
  EXPECT_EQ(code(authority_.Sign(csr, "viewer", "node-b", {}).value(), signature), kDenied);

  clock_.shift = absl::Minutes(1);
  ASSERT_TRUE(enrolment_.Join(GoodRequest()).ok());
  EXPECT_EQ(code(certificate, signature), kDenied) << "it is from before the newest join";
}

}  // namespace
}  // namespace npufleet::api
