// SPDX-License-Identifier: Apache-2.0
#include "agent/verbs/load_image/registry_login.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/escaping.h"
#include "common/failure.h"
#include "tests/fakes/fake_host.h"

namespace npufleet::verbs {
namespace {

using ::testing::HasSubstr;

constexpr char kFile[] = "/root/logins.json";
constexpr char kDefaultFile[] = "/root/.docker/config.json";

std::string Decoded(const std::string& header) {
  std::string text;
  EXPECT_TRUE(absl::WebSafeBase64Unescape(header, &text));
  return text;
}

TEST(RegistryLoginTest, TheRegistryIsTheFirstPartThatCanBeAHost) {
  EXPECT_EQ(RegistryOf("swr.example.com/quay.io/ascend/a:1"), "swr.example.com");
  EXPECT_EQ(RegistryOf("localhost/a"), "localhost");
  EXPECT_EQ(RegistryOf("host:5000/a@sha256:00"), "host:5000");
  EXPECT_EQ(RegistryOf("ascend/vllm:1"), "docker.io");
  EXPECT_EQ(RegistryOf("vllm.img"), "docker.io");
}

TEST(RegistryLoginTest, ALoginIsFoundUnderEachNameThatDockerGivesIt) {
  fakes::FakeHost node;
  const std::string auth = absl::Base64Escape("me:p:w");
  for (const char* name : {"r.example.com", "https://r.example.com"}) {
    ASSERT_TRUE(
        node.files()
            .Write(kFile,
                   R"({"auths": {")" + std::string(name) + R"(": {"auth": ")" + auth + R"("}}})",
                   0600)
            .ok());
    const auto header = RegistryAuthOf(node.host(), kFile, "r.example.com/a:1");
    ASSERT_TRUE(header.ok()) << header.status();
    EXPECT_THAT(Decoded(*header), HasSubstr(R"("password":"p:w")"));
    EXPECT_EQ(RegistryAuthOf(node.host(), kFile, "other.example.com/a:1").value(), "");
  }
}

TEST(RegistryLoginTest, WithoutAFileThereIsNoLogin) {
  fakes::FakeHost node;
  EXPECT_EQ(RegistryAuthOf(node.host(), "", "r.example.com/a:1").value(), "");
}

TEST(RegistryLoginTest, DockersOwnFileWithoutALoginIsNone) {
  fakes::FakeHost node;
  for (const char* text :
       {"", "{", R"({"proxies": {"default": {"httpProxy": "http://10.0.0.1:3128"}}})",
        R"({"auths": {"r.example.com": {}}, "credsStore": "x"})",
        R"({"auths": {"r.example.com": {"auth": "?"}}})"}) {
    ASSERT_TRUE(node.files().Write(kDefaultFile, text, 0644).ok());
    EXPECT_EQ(RegistryAuthOf(node.host(), "", "r.example.com/a:1").value_or("refused"), "") << text;
  }
}

TEST(RegistryLoginTest, AFileThatTheSpecNamesMustBeFit) {
  fakes::FakeHost node;
  for (const char* text : {"", "{", R"({"auths": {"r.example.com": {"auth": "?"}}})"}) {
    ASSERT_TRUE(node.files().Write(kFile, text, 0600).ok());
    const auto header = RegistryAuthOf(node.host(), kFile, "r.example.com/a:1");
    EXPECT_EQ(ToFailure(header.status()).class_(), v1::Failure::CONFIG) << text;
  }
  ASSERT_TRUE(node.files().Write(kFile, R"({"proxies": {}})", 0644).ok());
  const auto header = RegistryAuthOf(node.host(), kFile, "r.example.com/a:1");
  EXPECT_THAT(ToFailure(header.status()).advice(), HasSubstr("chmod 0600"));
}

TEST(RegistryLoginTest, ALoginOfDockersOwnFileIsItsOwnersAlone) {
  fakes::FakeHost node;
  const std::string text =
      R"({"auths": {"r.example.com": {"auth": ")" + absl::Base64Escape("me:p") + R"("}}})";
  ASSERT_TRUE(node.files().Write(kDefaultFile, text, 0644).ok());
  const auto header = RegistryAuthOf(node.host(), "", "r.example.com/a:1");
  EXPECT_THAT(ToFailure(header.status()).advice(), HasSubstr("chmod 0600"));
  EXPECT_EQ(RegistryAuthOf(node.host(), "", "other.example.com/a:1").value_or("refused"), "");
  ASSERT_TRUE(node.files().SetMode(kDefaultFile, 0600).ok());
  EXPECT_THAT(Decoded(RegistryAuthOf(node.host(), "", "r.example.com/a:1").value_or("")),
              HasSubstr(R"("password":"p")"));
}

TEST(RegistryLoginTest, ACredentialHelperIsSaidSo) {
  fakes::FakeHost node;
  ASSERT_TRUE(node.files()
                  .Write(kFile, R"({"auths": {"r.example.com": {}}, "credsStore": "x"})", 0600)
                  .ok());
  const auto header = RegistryAuthOf(node.host(), kFile, "r.example.com/a:1");
  EXPECT_EQ(ToFailure(header.status()).class_(), v1::Failure::CONFIG);
  EXPECT_THAT(ToFailure(header.status()).advice(), HasSubstr("credential helper"));
}

}  // namespace
}  // namespace npufleet::verbs
