// SPDX-License-Identifier: Apache-2.0
#include "common/notify.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>

namespace npufleet::notify {
namespace {

class NotifyTest : public ::testing::Test {
 protected:
  ~NotifyTest() override {
    for (const char* name : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}) unsetenv(name);
  }
};

TEST_F(NotifyTest, SendsADatagramToTheSocket) {
  std::string pattern = ::testing::TempDir() + "notify.XXXXXX";
  const std::string folder = mkdtemp(pattern.data());
  const std::string path = folder + "/socket";
  const int receiver = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
  ASSERT_EQ(bind(receiver, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  setenv("NOTIFY_SOCKET", path.c_str(), 1);

  EXPECT_TRUE(Ready("serving"));

  char buffer[256];
  const ssize_t size = recv(receiver, buffer, sizeof buffer, 0);
  EXPECT_EQ(std::string(buffer, size > 0 ? static_cast<size_t>(size) : 0),
            "READY=1\nSTATUS=serving");
  close(receiver);
  std::filesystem::remove_all(folder);
}

TEST_F(NotifyTest, DoesNothingOutsideOfSystemd) {
  unsetenv("NOTIFY_SOCKET");
  EXPECT_FALSE(Ready("serving"));
}

TEST_F(NotifyTest, TheWatchdogIsFedTwiceInItsPeriod) {
  EXPECT_EQ(WatchdogPeriod(), absl::InfiniteDuration());
  setenv("WATCHDOG_USEC", "30000000", 1);
  EXPECT_EQ(WatchdogPeriod(), absl::Seconds(15));
  setenv("WATCHDOG_PID", std::to_string(getpid()).c_str(), 1);
  EXPECT_EQ(WatchdogPeriod(), absl::Seconds(15));
  setenv("WATCHDOG_PID", "1", 1);
  EXPECT_EQ(WatchdogPeriod(), absl::InfiniteDuration());
}

}  // namespace
}  // namespace npufleet::notify
