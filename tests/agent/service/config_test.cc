// SPDX-License-Identifier: Apache-2.0
#include "agent/service/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace npufleet::service {
namespace {

using ::testing::HasSubstr;

TEST(ConfigTest, ReadsEachKeyAndKeepsWhatIsNotNamed) {
  Config config;
  ASSERT_TRUE(ReadConfig("name: node-a\naddress: 192.168.0.15:7602\npath: [/a, /b]\nroot: /demo\n",
                         "agent.yaml", config)
                  .ok());
  EXPECT_EQ(config.name, "node-a");
  EXPECT_EQ(config.host.root, "/demo");
  EXPECT_EQ(config.host.path, (std::vector<std::string>{"/a", "/b"}));
  EXPECT_EQ(config.listen, "0.0.0.0:7602");
  EXPECT_TRUE(ReadConfig("", "agent.yaml", config).ok());
}

TEST(ConfigTest, ErrorsNameFileLineAndKeys) {
  Config config;
  absl::Status unknown = ReadConfig("name: node-a\nadress: x\n", "agent.yaml", config);
  EXPECT_THAT(std::string(unknown.message()),
              HasSubstr("agent.yaml:2:1: there is no key 'adress'"));
  EXPECT_THAT(std::string(unknown.message()), HasSubstr("address"));
  for (const char* bad : {"name: [a]\n", "path: /a\n", "- name\n", "name: {a\n"}) {
    absl::Status status = ReadConfig(bad, "agent.yaml", config);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << bad;
    EXPECT_THAT(std::string(status.message()), HasSubstr("agent.yaml:")) << bad;
  }
}

}  // namespace
}  // namespace npufleet::service
