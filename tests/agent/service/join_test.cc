// SPDX-License-Identifier: Apache-2.0
#include "agent/service/join.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/host/json.h"
#include "common/tls/certificate_authority.h"
#include "common/tls/identity.h"
#include "common/tls/join_token.h"
#include "common/tls/keys.h"
#include "tests/fakes/fake_host.h"
#include "tests/fakes/temporary_folder.h"

namespace npufleet::service {
namespace {

using fakes::FakeHost;
using ::testing::HasSubstr;

constexpr char kController[] = "https://192.168.0.15:7601";

// A node in front of a controller that signs what it is asked for.
class JoinTest : public ::testing::Test {
 protected:
  JoinTest() : authority_(tls::CertificateAuthority::Create("fleet CA").value()) {
    node_.http().On("GET", absl::StrCat(kController, "/join/ca"), 200, authority_.ca_pem());
    const auto sign = [this](const host::HttpRequest& request) {
      body_ = host::ParseJson(request.body);
      ca_file_ = request.ca_file;
      deadline_ = request.deadline;
      host::HttpResponse response;
      response.status = 200;
      response.body = host::Json{
          {"certificate",
           authority_.Sign(host::TextOf(body_, "csr"), "agent", "node-b", {"192.168.0.16"})
               .value()}}.dump();
      return absl::StatusOr<host::HttpResponse>(response);
    };
    node_.http().On("POST", absl::StrCat(kController, "/join"), sign);
    node_.http().On("POST", absl::StrCat(kController, "/join/renew"), sign);
  }

  absl::Status JoinFleet() {
    JoinOptions options;
    options.controller = absl::StrCat(kController, "/");
    tls::JoinToken token{"node-b", std::string(64, 'a'),
                         tls::Sha256OfCertificate(authority_.ca_pem()).value()};
    options.token = tls::FormatJoinToken(token);
    options.address = "192.168.0.16:7602";
    options.identity_directory = folder_.path();
    return Join(node_.host(), options);
  }
  tls::Identity OwnIdentity() { return tls::LoadIdentity(folder_.path()).value(); }
  absl::Time Due() {
    const tls::CertificateInfo info = tls::ReadCertificate(OwnIdentity().certificate_pem).value();
    return info.not_before + (info.not_after - info.not_before) * 0.67;
  }

  fakes::TemporaryFolder folder_;
  tls::CertificateAuthority authority_;
  FakeHost node_;
  host::Json body_;
  std::string ca_file_;
  absl::Duration deadline_;
};

TEST_F(JoinTest, KeepsWhereToRenew) {
  ASSERT_TRUE(JoinFleet().ok());
  EXPECT_EQ(tls::ReadWholeFile(folder_.path() + "/controller").value(),
            "https://192.168.0.15:7601\n");
  EXPECT_EQ(host::TextOf(body_, "node"), "node-b");
}

TEST_F(JoinTest, TheNodeIsCalledWhatItsCertificateSays) {
  ASSERT_TRUE(JoinFleet().ok());
  EXPECT_EQ(JoinedName(folder_.path()).value(), "node-b");
}

TEST_F(JoinTest, ANodeThatHasNotJoinedIsToldHow) {
  const absl::Status missing = JoinedName(folder_.path()).status();
  EXPECT_EQ(missing.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(missing.message()),
              HasSubstr("this node has not joined: npufleet-agent join --controller"));
  EXPECT_THAT(std::string(missing.message()), HasSubstr(folder_.path() + "/ca.pem"));
}

TEST_F(JoinTest, BeforeTwoThirdsOfItsLifeACertificateIsLeftAlone) {
  ASSERT_TRUE(JoinFleet().ok());
  const absl::StatusOr<bool> renewed =
      RenewIfDue(node_.host(), folder_.path(), Due() - absl::Hours(24 * 10));
  ASSERT_TRUE(renewed.ok()) << renewed.status();
  EXPECT_FALSE(*renewed);
  EXPECT_EQ(node_.http().Count("POST", absl::StrCat(kController, "/join/renew")), 0);
}

TEST_F(JoinTest, ADueCertificateIsReplacedForTheSameKeyWithProofOfIt) {
  ASSERT_TRUE(JoinFleet().ok());
  const tls::Identity before = OwnIdentity();
  const absl::StatusOr<bool> renewed = RenewIfDue(node_.host(), folder_.path(), Due());
  ASSERT_TRUE(renewed.ok()) << renewed.status();
  EXPECT_TRUE(*renewed);
  const tls::Identity after = OwnIdentity();
  EXPECT_NE(after.certificate_pem, before.certificate_pem);
  EXPECT_EQ(after.key_pem, before.key_pem);
  EXPECT_EQ(host::TextOf(body_, "certificate"), before.certificate_pem);
  EXPECT_TRUE(tls::VerifyText(before.certificate_pem, host::TextOf(body_, "csr"),
                              host::TextOf(body_, "signature"))
                  .ok());
  EXPECT_EQ(ca_file_, folder_.path() + "/ca.pem") << "only the fleet's controller is trusted";
}

// WatchdogSec=30, and the beat comes 15 s after the last and after this call.
TEST_F(JoinTest, AControllerThatHangsDoesNotHoldUpTheWatchdog) {
  ASSERT_TRUE(JoinFleet().ok());
  ASSERT_TRUE(RenewIfDue(node_.host(), folder_.path(), Due()).ok());
  EXPECT_LE(deadline_, absl::Seconds(10));
}

TEST_F(JoinTest, ARefusalKeepsTheOldCertificateAndSaysWhy) {
  ASSERT_TRUE(JoinFleet().ok());
  const std::string before = OwnIdentity().certificate_pem;
  node_.http().On("POST", absl::StrCat(kController, "/join/renew"), 403,
                  R"({"error":{"code":403,"message":"not a present certificate: join again"}})");
  const absl::StatusOr<bool> renewed = RenewIfDue(node_.host(), folder_.path(), Due());
  EXPECT_EQ(renewed.status().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(std::string(renewed.status().message()), HasSubstr("join again"));
  EXPECT_EQ(OwnIdentity().certificate_pem, before);
}

TEST_F(JoinTest, ACertificateOfAnotherAuthorityIsNotTaken) {
  ASSERT_TRUE(JoinFleet().ok());
  const std::string before = OwnIdentity().certificate_pem;
  authority_ = tls::CertificateAuthority::Create("fleet CA").value();
  EXPECT_FALSE(RenewIfDue(node_.host(), folder_.path(), Due()).ok());
  EXPECT_EQ(OwnIdentity().certificate_pem, before);
}

}  // namespace
}  // namespace npufleet::service
