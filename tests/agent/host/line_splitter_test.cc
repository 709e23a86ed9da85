// SPDX-License-Identifier: Apache-2.0
#include "agent/host/line_splitter.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace npufleet::host {
namespace {

using ::testing::ElementsAre;

std::vector<std::string> LinesOf(const std::vector<std::string>& pieces) {
  std::vector<std::string> lines;
  LineSplitter splitter([&](std::string_view line) { lines.emplace_back(line); });
  for (const std::string& piece : pieces) splitter.Add(piece);
  splitter.Finish();
  return lines;
}

TEST(LineSplitterTest, JoinsPiecesAndKeepsAnUnfinishedLastLine) {
  EXPECT_THAT(LinesOf({"on", "e\ntw", "o\n", "three"}), ElementsAre("one", "two", "three"));
}

TEST(LineSplitterTest, AReturnEndsALineAndACrLfEndsOne) {
  EXPECT_THAT(LinesOf({"10%\r20%\r100%\n"}), ElementsAre("10%", "20%", "100%"));
  EXPECT_THAT(LinesOf({"a\r\nb\r", "\nc"}), ElementsAre("a", "b", "c"));
}

TEST(LineSplitterTest, KeepsEmptyLines) {
  EXPECT_THAT(LinesOf({"a\n\nb\n"}), ElementsAre("a", "", "b"));
}

TEST(LineSplitterTest, RemovesAnsiCodes) {
  EXPECT_EQ(WithoutAnsiCodes("\x1b[32m[INFO]\x1b[0m done\x1b[K"), "[INFO] done");
  EXPECT_EQ(WithoutAnsiCodes("\x1b]0;title\x07text\x1b]8;;u\x1b\\link"), "textlink");
  EXPECT_EQ(WithoutAnsiCodes("cut \x1b[3"), "cut ");
  EXPECT_EQ(WithoutAnsiCodes("\x1b(Bplain"), "plain");
}

TEST(LineSplitterTest, PassesAnEndlessLineOnInPieces) {
  const auto lines = LinesOf({std::string(200000, 'x')});
  EXPECT_EQ(lines.size(), 4u);
}

}  // namespace
}  // namespace npufleet::host
