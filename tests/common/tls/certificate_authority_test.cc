// SPDX-License-Identifier: Apache-2.0
#include "common/tls/certificate_authority.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/clock.h"
#include "common/tls/identity.h"
#include "common/tls/join_token.h"
#include "common/tls/keys.h"

namespace npufleet::tls {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class CertificateAuthorityTest : public ::testing::Test {
 protected:
  CertificateAuthorityTest()
      : authority_(CertificateAuthority::Create("fleet CA").value()),
        key_(GenerateKey().value()),
        csr_(MakeCsr(key_, "node-a", "192.168.0.15").value()) {}

  CertificateAuthority authority_;
  std::string key_;
  std::string csr_;
};

TEST_F(CertificateAuthorityTest, SignsNameRoleAndAddresses) {
  const std::string certificate =
      authority_.Sign(csr_, "agent", "node-a", {"192.168.0.15", "::1", "node-a.example"}).value();
  const CertificateInfo info = ReadCertificate(certificate).value();
  EXPECT_EQ(info.name, "node-a");
  EXPECT_EQ(info.role, "agent");
  EXPECT_THAT(info.addresses, ElementsAre("node-a", "192.168.0.15", "::1", "node-a.example"));
  EXPECT_TRUE(VerifyCertificate(certificate, authority_.ca_pem(), absl::Now()).ok());
}

TEST_F(CertificateAuthorityTest, TheRequestsOwnNameAndRoleCountForNothing) {
  const std::string csr = MakeCsr(key_, "admin", "10.0.0.1").value();
  const CertificateInfo info =
      ReadCertificate(authority_.Sign(csr, "viewer", "guest", {}).value()).value();
  EXPECT_EQ(info.name, "guest");
  EXPECT_EQ(info.role, "viewer");
  EXPECT_THAT(info.addresses, ElementsAre("guest"));
}

TEST_F(CertificateAuthorityTest, IsValidFromFiveMinutesAgoForItsLifetime) {
  const std::string certificate =
      authority_.Sign(csr_, "agent", "node-a", {}, absl::Hours(1)).value();
  const absl::Time now = absl::Now();
  const std::string& ca = authority_.ca_pem();
  EXPECT_TRUE(VerifyCertificate(certificate, ca, now - absl::Minutes(4)).ok());
  EXPECT_TRUE(VerifyCertificate(certificate, ca, now + absl::Minutes(59)).ok());
  EXPECT_FALSE(VerifyCertificate(certificate, ca, now - absl::Minutes(6)).ok());
  EXPECT_EQ(VerifyCertificate(certificate, ca, now + absl::Minutes(61)).code(),
            absl::StatusCode::kPermissionDenied);
}

TEST_F(CertificateAuthorityTest, AnotherAuthoritysCertificateIsRefused) {
  const auto other = CertificateAuthority::Create("fleet CA").value();
  const std::string certificate = other.Sign(csr_, "agent", "node-a", {}).value();
  EXPECT_EQ(VerifyCertificate(certificate, authority_.ca_pem(), absl::Now()).code(),
            absl::StatusCode::kPermissionDenied);
}

TEST_F(CertificateAuthorityTest, ALeafIsNoAuthority) {
  const std::string leaf = authority_.Sign(csr_, "agent", "node-a", {}).value();
  EXPECT_EQ(CertificateAuthority::Load(leaf, key_).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(CertificateAuthorityTest, RefusesABrokenRequest) {
  EXPECT_EQ(authority_.Sign("nonsense", "agent", "node-a", {}).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(authority_.Sign("", "agent", "node-a", {}).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(CertificateAuthorityTest, AnAddressCannotSmuggleInAnother) {
  const absl::Status status =
      authority_.Sign(csr_, "agent", "node-a", {"10.0.0.1,DNS:controller"}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("neither an IP address nor a host name"));
}

TEST_F(CertificateAuthorityTest, LoadRefusesAForeignKey) {
  EXPECT_TRUE(CertificateAuthority::Load(authority_.ca_pem(), authority_.key_pem()).ok());
  EXPECT_EQ(CertificateAuthority::Load(authority_.ca_pem(), key_).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(CertificateAuthorityTest, TheDigestIdentifiesTheAuthority) {
  const std::string digest = Sha256OfCertificate(authority_.ca_pem()).value();
  EXPECT_EQ(digest.size(), 64u);
  EXPECT_EQ(digest, Sha256OfCertificate(authority_.ca_pem()).value());
  EXPECT_NE(digest,
            Sha256OfCertificate(CertificateAuthority::Create("fleet CA")->ca_pem()).value());
}

TEST_F(CertificateAuthorityTest, RenewalIsDueAtTwoThirdsOfTheLife) {
  const std::string certificate =
      authority_.Sign(csr_, "agent", "node-a", {}, absl::Hours(300)).value();
  const absl::Time now = absl::Now();
  EXPECT_FALSE(NeedsRenewal(certificate, now));
  EXPECT_FALSE(NeedsRenewal(certificate, now + absl::Hours(199)));
  EXPECT_TRUE(NeedsRenewal(certificate, now + absl::Hours(201)));
  EXPECT_TRUE(NeedsRenewal("garbage", now));
}

TEST_F(CertificateAuthorityTest, ASignatureProvesTheCertificatesKey) {
  const std::string certificate = authority_.Sign(csr_, "agent", "node-a", {}).value();
  const std::string signature = SignText(key_, csr_).value();
  EXPECT_TRUE(VerifyText(certificate, csr_, signature).ok());
  EXPECT_FALSE(VerifyText(certificate, csr_ + " ", signature).ok());
  EXPECT_FALSE(VerifyText(certificate, csr_, SignText(GenerateKey().value(), csr_).value()).ok());
  EXPECT_FALSE(VerifyText(certificate, csr_, "").ok());
  EXPECT_FALSE(VerifyText(certificate, csr_, "xyz").ok());
}

TEST(HostOfAddressTest, TakesThePortAway) {
  EXPECT_EQ(HostOfAddress("192.168.0.15:7602"), "192.168.0.15");
  EXPECT_EQ(HostOfAddress("node-a.example:7602"), "node-a.example");
  EXPECT_EQ(HostOfAddress("[::1]:7602"), "::1");
  EXPECT_EQ(HostOfAddress("::1"), "::1");
  EXPECT_EQ(HostOfAddress("192.168.0.15"), "192.168.0.15");
}

}  // namespace
}  // namespace npufleet::tls
