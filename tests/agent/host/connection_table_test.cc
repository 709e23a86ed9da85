// SPDX-License-Identifier: Apache-2.0
#include "agent/host/connection_table.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/host/host.h"

namespace npufleet::host {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr std::string_view kTable =
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout "
    "inode\n"
    "   0: 0F00A8C0:18EB 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 41 "
    "1 0\n"
    "   1: 1500A8C0:C350 0F00A8C0:18EB 01 00000000:00000000 00:00000000 00000000     0        0 42 "
    "1 0\n"
    "   2: 1500A8C0:C351 0F00A8C0:18EB 06 00000000:00000000 00:00000000 00000000     0        0 43 "
    "1 0\n"
    "   3: 1500A8C0:C352 0F00A8C0:18EC 01 00000000:00000000 00:00000000 00000000     0        0 44 "
    "1 0\n";

TEST(ConnectionTable, FindsEstablishedSocketsOfTheRemoteEnd) {
  EXPECT_THAT(EstablishedInodes(kTable, "192.168.0.15", 6379), ElementsAre(42));
  EXPECT_THAT(EstablishedInodes(kTable, "192.168.0.15", 6381), IsEmpty());
}

TEST(ConnectionTable, KnowsAnAddressMappedIntoIpv6) {
  EXPECT_THAT(EstablishedInodes("  1: 0000000000000000FFFF00001500A8C0:C350 "
                                "0000000000000000FFFF00000F00A8C0:18EB 01 0:0 0:0 0 0 0 51 1 0\n",
                                "192.168.0.15", 6379),
              ElementsAre(51));
}

TEST(ConnectionTable, GarbageGivesNothing) {
  EXPECT_THAT(EstablishedInodes("\xff\xfe what\n01 01 01 01", "192.168.0.15", 6379), IsEmpty());
  EXPECT_THAT(EstablishedInodes(kTable, "node-a", 6379), IsEmpty());
}

// The kernel's own view of this very process.
TEST(ConnectionTable, SeesARealConnectionOfAProcessAndItsEnd) {
  std::unique_ptr<Host> host = MakeHost({});
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in end = {};
  end.sin_family = AF_INET;
  end.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(end);
  ASSERT_EQ(bind(listener, reinterpret_cast<sockaddr*>(&end), length), 0);
  ASSERT_EQ(listen(listener, 1), 0);
  ASSERT_EQ(getsockname(listener, reinterpret_cast<sockaddr*>(&end), &length), 0);
  const uint16_t port = ntohs(end.sin_port);
  EXPECT_EQ(host->system->ConnectedTo(getpid(), "127.0.0.1", port).value(), false);
  const int client = socket(AF_INET, SOCK_STREAM, 0);
  ASSERT_EQ(connect(client, reinterpret_cast<sockaddr*>(&end), length), 0);
  EXPECT_EQ(host->system->ConnectedTo(getpid(), "127.0.0.1", port).value(), true);
  close(client);
  EXPECT_EQ(host->system->ConnectedTo(getpid(), "127.0.0.1", port).value(), false);
  close(listener);
  EXPECT_TRUE(absl::IsNotFound(host->system->ConnectedTo(1 << 29, "127.0.0.1", port).status()));
}

}  // namespace
}  // namespace npufleet::host
