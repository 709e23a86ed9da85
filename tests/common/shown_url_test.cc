// SPDX-License-Identifier: Apache-2.0
#include "common/shown_url.h"

#include <gtest/gtest.h>

namespace npufleet {
namespace {

TEST(ShownUrlTest, LeavesOutUserAndPassword) {
  EXPECT_EQ(ShownUrl("https://u:p@b"), "https://b");
  EXPECT_EQ(ShownUrl("https://u:p@b/k", "***@"), "https://***@b/k");
  EXPECT_EQ(ShownUrl("https://b/k", "***@"), "https://b/k");
}

TEST(ShownUrlTest, LeavesOutAQueryThatSigns) {
  EXPECT_EQ(ShownUrl("https://b/k?X-Amz-Signature=abc"), "https://b/k?…");
  EXPECT_EQ(ShownUrl("https://b.obs.example/k?AccessKeyId=A&Expires=1&Signature=S"),
            "https://b.obs.example/k?…");
  EXPECT_EQ(ShownUrl("https://b?sv=1&sig=abc"), "https://b?…");
}

TEST(ShownUrlTest, KeepsWhatIsNoSecret) {
  EXPECT_EQ(ShownUrl("https://b/k@v?Revision=master"), "https://b/k@v?Revision=master");
  EXPECT_EQ(ShownUrl("/data/k@v"), "/data/k@v");
}

}  // namespace
}  // namespace npufleet
