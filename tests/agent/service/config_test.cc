// SPDX-License-Identifier: Apache-2.0
#include "agent/service/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace npufleet::service {
namespace {

using ::testing::HasSubstr;

TEST(ConfigTest, ReadsEachKeyAndKeepsWhatIsNotNamed) {
  Config config;
  ASSERT_TRUE(ReadConfig("name: node-a\npath: [/a, /b]\nroot: /demo\n", "agent.yaml", config).ok());
  EXPECT_EQ(config.name, "node-a");
  EXPECT_EQ(config.host.root, "/demo");
  EXPECT_EQ(config.host.path, (std::vector<std::string>{"/a", "/b"}));
  EXPECT_EQ(config.listen, "0.0.0.0:7602");
  EXPECT_TRUE(ReadConfig("", "agent.yaml", config).ok());
}

TEST(ConfigTest, ErrorsNameFileLineAndKeys) {
  Config config;
  absl::Status unknown = ReadConfig("name: node-a\nlisen: x\n", "agent.yaml", config);
  EXPECT_THAT(std::string(unknown.message()), HasSubstr("agent.yaml:2:1: there is no key 'lisen'"));
  EXPECT_THAT(std::string(unknown.message()), HasSubstr("listen"));
  for (const char* bad : {"name: [a]\n", "path: /a\n", "- name\n", "name: {a\n"}) {
    absl::Status status = ReadConfig(bad, "agent.yaml", config);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << bad;
    EXPECT_THAT(std::string(status.message()), HasSubstr("agent.yaml:")) << bad;
  }
  const absl::Status twice = ReadConfig("name: node-a\nname: node-b\n", "agent.yaml", config);
  EXPECT_EQ(twice.message(), "agent.yaml:2:1: 'name' is given twice");
}

TEST(ConfigTest, AnUnknownLogLevelIsRefused) {
  Config config;
  EXPECT_TRUE(ReadConfig("log_level: debug\n", "agent.yaml", config).ok());
  EXPECT_EQ(config.log_level, "debug");
  const absl::Status loud = ReadConfig("log_level: loud\n", "agent.yaml", config);
  EXPECT_EQ(loud.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(loud.message(),
            "agent.yaml:1:12: log_level 'loud' is not debug, info, warning or error");
}

}  // namespace
}  // namespace npufleet::service
