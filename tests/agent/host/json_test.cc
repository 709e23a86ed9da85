// SPDX-License-Identifier: Apache-2.0
#include "agent/host/json.h"

#include <gtest/gtest.h>

#include <limits>

namespace npufleet::host {
namespace {

TEST(JsonTest, ANumberIsWholeAndFitsOrIsNone) {
  const Json object = ParseJson(
      R"({"a": 7, "b": -7, "c": 1e30, "d": 1.5, "e": "7", "f": 9223372036854775807,
          "g": 18446744073709551615})");
  EXPECT_EQ(NumberOf(object, "a"), 7);
  EXPECT_EQ(NumberOf(object, "b"), -7);
  EXPECT_EQ(NumberOf(object, "f"), std::numeric_limits<int64_t>::max());
  for (const char* name : {"c", "d", "e", "g", "nothing"}) EXPECT_EQ(NumberOf(object, name), 0);
}

}  // namespace
}  // namespace npufleet::host
