// SPDX-License-Identifier: Apache-2.0
#include "common/spec/foreign_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace npufleet::spec {
namespace {

using ::testing::ElementsAre;

TEST(ForeignOptionsTest, NamesThatNoVllmHasBecomeWhatItHas) {
  const absl::StatusOr<MappedOptions> mapped = MapForeignOptions(
      {"--Npu-memory-utilization", "0.9", "--max-concurrent-requests=32", "--model-cache-dir",
       "/data2/cache", "--log-level", "debug", "--fp16", "--model_tag", "/data2/m", "--seed", "1"},
      {}, "/data2/m");
  ASSERT_TRUE(mapped.ok()) << mapped.status();
  EXPECT_THAT(mapped->arguments,
              ElementsAre("--gpu-memory-utilization", "0.9", "--max-num-seqs", "32",
                          "--download-dir", "/data2/cache", "--dtype", "float16", "--seed", "1"));
  EXPECT_EQ(mapped->environment.at("VLLM_LOGGING_LEVEL"), "DEBUG");
  EXPECT_EQ(mapped->notes.size(), 6u);
}

TEST(ForeignOptionsTest, AVersionThatHasTheNameKeepsIt) {
  const absl::StatusOr<MappedOptions> mapped =
      MapForeignOptions({"--log-level", "debug"}, {"log-level"}, "/data2/m");
  ASSERT_TRUE(mapped.ok());
  EXPECT_THAT(mapped->arguments, ElementsAre("--log-level", "debug"));
}

TEST(ForeignOptionsTest, AnotherModelOrNoValueIsTheSpecsFault) {
  EXPECT_TRUE(absl::IsInvalidArgument(
      MapForeignOptions({"--model-tag", "gpt-neo"}, {}, "/data2/m").status()));
  EXPECT_TRUE(absl::IsInvalidArgument(MapForeignOptions({"--log-level"}, {}, "/data2/m").status()));
}

}  // namespace
}  // namespace npufleet::spec
