// SPDX-License-Identifier: Apache-2.0
#include "common/tls/join_token.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace npufleet::tls {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

const std::string kSecret(64, 'a');
const std::string kDigest(64, '0');

TEST(JoinTokenTest, ParsesWhatItFormats) {
  const JoinToken token = ParseJoinToken(FormatJoinToken({"node-b", kSecret, kDigest})).value();
  EXPECT_EQ(token.node, "node-b");
  EXPECT_EQ(token.secret, kSecret);
  EXPECT_EQ(token.ca_sha256, kDigest);
}

TEST(JoinTokenTest, SaysWhatIsWrongWithoutTheSecret) {
  const auto message = [](const std::string& text) {
    return std::string(ParseJoinToken(text).status().message());
  };
  EXPECT_THAT(message(""), HasSubstr("npufleet.NODE.SECRET.SHA256-OF-CA"));
  EXPECT_THAT(message("npufleet.node-b." + kSecret), HasSubstr("not a join token"));
  EXPECT_THAT(message("npufleet.Node_B." + kSecret + "." + kDigest), HasSubstr("\"Node_B\""));
  EXPECT_THAT(message("npufleet.node-b.beef." + kDigest), HasSubstr("secret is not 64"));
  EXPECT_THAT(message("npufleet.node-b.beef." + kDigest), Not(HasSubstr("beef")));
  EXPECT_THAT(message("npufleet.node-b." + kSecret + ".00"), HasSubstr("digest is not 64"));
}

TEST(JoinTokenTest, KnowsNodeNames) {
  EXPECT_TRUE(CheckNodeName("node-a").ok());
  EXPECT_TRUE(CheckNodeName("7").ok());
  for (const char* name : {"", "-a", "a-", "A", "a.b", "a/b", "a b"}) {
    EXPECT_FALSE(CheckNodeName(name).ok()) << name;
  }
  EXPECT_FALSE(CheckNodeName(std::string(64, 'a')).ok());
}

}  // namespace
}  // namespace npufleet::tls
