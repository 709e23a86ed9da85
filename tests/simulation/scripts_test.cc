// SPDX-License-Identifier: Apache-2.0
//
// The faults that once broke something, by name: seeds rot, scripts do not.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/simulation/shrink.h"
#include "tests/simulation/world.h"

namespace npufleet::simulation {
namespace {

std::vector<std::string> Names() {
  std::vector<std::string> names;
  const std::string folder = absl::StrCat(NPUFLEET_SOURCE_DIR, "/tests/simulation/scripts");
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    names.push_back(entry.path().stem().string());
  std::sort(names.begin(), names.end());
  return names;
}

class ScriptsTest : public testing::TestWithParam<std::string> {};

TEST_P(ScriptsTest, HoldsForEverySeed) {
  std::ifstream in(
      absl::StrCat(NPUFLEET_SOURCE_DIR, "/tests/simulation/scripts/", GetParam(), ".faults"));
  std::stringstream text;
  text << in.rdbuf();
  absl::StatusOr<Script> script = ScriptFromText(text.str());
  ASSERT_TRUE(script.ok()) << script.status();
  ASSERT_FALSE(script->faults.empty());
  // The durations of its own seed, and others.
  for (int i = 0; i < 10; ++i) {
    World world(*script);
    world.Run();
    ASSERT_THAT(world.violations(), testing::IsEmpty()) << "seed " << script->seed;
    script->seed += 1000;
  }
}

std::string NameOf(const testing::TestParamInfo<std::string>& info) {
  std::string name = info.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Scripts, ScriptsTest, testing::ValuesIn(Names()), NameOf);

TEST(ScriptTest, IsWrittenAndReadAgain) {
  for (uint64_t seed = 1; seed < 200; ++seed) {
    const Script script = MakeScript(seed);
    absl::StatusOr<Script> read = ScriptFromText(absl::StrCat("# text\n\n", ToText(script)));
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(*read, script);
  }
}

TEST(ScriptTest, ABadLineIsNamed) {
  for (const char* text :
       {"seed x", "nodes 0", "fault 1 explode node-1 0", "fault x kill serve@node-0 0",
        "fault 1 kill serve@node-0", "nonsense"}) {
    absl::StatusOr<Script> script = ScriptFromText(absl::StrCat("nodes 2\n", text));
    EXPECT_EQ(script.status().code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(std::string(script.status().message()), testing::HasSubstr("line 2")) << text;
  }
}

TEST(ShrinkTest, FindsTheFaultsThatMatterAndHalvesWhatLasts) {
  Script script = {.seed = 1, .nodes = 4};
  for (int i = 0; i < 20; ++i)
    script.faults.push_back({.when = i, .what = "cut", .target = "node-1", .amount = 1000});
  const Script shortest = Shrink(script, [](const Script& one) {
    int64_t found = 0;
    for (const Fault& fault : one.faults) {
      if (fault.when == 3 && fault.amount >= 100) ++found;
      if (fault.when == 17) ++found;
    }
    return found == 2 && one.nodes >= 2;
  });
  EXPECT_EQ(shortest.nodes, 2);
  ASSERT_EQ(shortest.faults.size(), 2u);
  EXPECT_EQ(shortest.faults[0].amount, 125);
  EXPECT_EQ(shortest.faults[1].amount, 1);
}

}  // namespace
}  // namespace npufleet::simulation
