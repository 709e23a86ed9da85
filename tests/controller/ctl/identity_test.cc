// SPDX-License-Identifier: Apache-2.0
//
// ctl's own certificate: config.yaml, mTLS to the controller, and what a foreign one gets.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "common/tls/certificate_authority.h"
#include "common/tls/grpc_credentials.h"
#include "common/tls/keys.h"
#include "controller/ctl/command_line.h"
#include "tests/controller/ctl/fake_controller.h"

namespace npufleet::ctl {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

tls::Identity IdentityOf(const tls::CertificateAuthority& authority, const std::string& name,
                         const std::string& role,
                         absl::Duration lifetime = tls::kCertificateLifetime) {
  tls::Identity identity;
  identity.ca_pem = authority.ca_pem();
  identity.key_pem = tls::GenerateKey().value();
  std::string csr = tls::MakeCsr(identity.key_pem, name, "").value();
  identity.certificate_pem = authority.Sign(csr, role, name, {"127.0.0.1"}, lifetime).value();
  return identity;
}

class IdentityTest : public ::testing::Test {
 protected:
  IdentityTest()
      : authority_(tls::CertificateAuthority::Create("fleet").value()),
        controller_(tls::ServerCredentials(IdentityOf(authority_, "controller", "controller"))),
        directory_(absl::StrCat(::testing::TempDir(), "/ctl_identity_", getpid())) {}
  ~IdentityTest() override { std::filesystem::remove_all(directory_); }

  ExitCode VersionWith(const tls::Identity& identity) {
    EXPECT_TRUE(tls::SaveIdentity(directory_, identity).ok());
    std::ofstream(directory_ + "/config.yaml")
        << "controller: " << controller_.address()
        << "\nca: ca.pem\ncertificate: cert.pem\nkey: key.pem\n";
    std::istringstream in;
    std::ostringstream out, err;
    Terminal terminal{in, out, err};
    ExitCode code =
        RunCtl({"version", "--config", directory_ + "/config.yaml"}, terminal, {"0.1.0", "abc"});
    out_ = out.str();
    err_ = err.str();
    return code;
  }

  tls::CertificateAuthority authority_;
  FakeController controller_;
  std::string directory_;
  std::string out_;
  std::string err_;
};

TEST_F(IdentityTest, ACertificateOfTheFleetIsLetIn) {
  EXPECT_EQ(VersionWith(IdentityOf(authority_, "alice", "viewer")), ExitCode::kDone) << err_;
  EXPECT_THAT(out_, HasSubstr("controller  9.9"));
}

TEST_F(IdentityTest, AnExpiredCertificateSaysWhenAndHowToGetAnother) {
  EXPECT_EQ(VersionWith(IdentityOf(authority_, "alice", "viewer", absl::Seconds(-1))),
            ExitCode::kUnreachable);
  EXPECT_THAT(err_, HasSubstr("cert.pem expired on "));
  EXPECT_THAT(err_, HasSubstr("identity create --role viewer --name alice --out "));
  EXPECT_THAT(controller_.calls(), IsEmpty());
}

TEST_F(IdentityTest, OneThatWillExpireIsToldOfAndWorks) {
  EXPECT_EQ(VersionWith(IdentityOf(authority_, "alice", "viewer", absl::Hours(24 * 29))),
            ExitCode::kDone);
  EXPECT_THAT(err_, HasSubstr("cert.pem expires on "));
  EXPECT_EQ(VersionWith(IdentityOf(authority_, "alice", "viewer", absl::Hours(24 * 31))),
            ExitCode::kDone);
  EXPECT_EQ(err_, "");
}

TEST_F(IdentityTest, AForeignCertificateGetsNoByte) {
  tls::CertificateAuthority foreign = tls::CertificateAuthority::Create("fleet").value();
  tls::Identity identity = IdentityOf(foreign, "alice", "admin");
  identity.ca_pem = authority_.ca_pem();
  EXPECT_EQ(VersionWith(identity), ExitCode::kUnreachable);
  EXPECT_THAT(err_, HasSubstr("is this certificate of its CA?"));
  EXPECT_THAT(controller_.calls(), IsEmpty());
}

TEST_F(IdentityTest, AForeignControllerIsNotTalkedTo) {
  tls::CertificateAuthority foreign = tls::CertificateAuthority::Create("other").value();
  tls::Identity identity = IdentityOf(authority_, "alice", "admin");
  identity.ca_pem = foreign.ca_pem();
  EXPECT_EQ(VersionWith(identity), ExitCode::kUnreachable);
  EXPECT_THAT(controller_.calls(), IsEmpty());
}

}  // namespace
}  // namespace npufleet::ctl
