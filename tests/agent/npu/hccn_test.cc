// SPDX-License-Identifier: Apache-2.0
#include "agent/npu/hccn.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <string>

namespace npufleet::npu {
namespace {

std::string ReadSample(const std::string& name) {
  std::ifstream file(std::string(NPUFLEET_TESTDATA) + "/hccn/" + name, std::ios::binary);
  EXPECT_TRUE(file.good()) << name;
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(HccnTest, AnAddressIsReadAndItsAbsenceIsNoAddress) {
  std::optional<HccnAddress> address = ParseHccnAddress(ReadSample("ip_g.txt"));
  ASSERT_TRUE(address.has_value());
  EXPECT_EQ(address->address, "192.161.200.10");
  EXPECT_EQ(address->netmask, "255.255.255.0");
  EXPECT_FALSE(ParseHccnAddress(ReadSample("ip_g_unconfigured_empty.txt")).has_value());
  EXPECT_FALSE(ParseHccnAddress("ipaddr:192.161.200.300\n").has_value());
  EXPECT_FALSE(ParseHccnAddress("device 3 is not exist or not ready, ret is 4\n").has_value());
}

TEST(HccnTest, LinkIsUpDownOrNotSaid) {
  EXPECT_EQ(ParseHccnLink(ReadSample("link_up.txt")), HccnLink::kUp);
  EXPECT_EQ(ParseHccnLink("link status: DOWN\n"), HccnLink::kDown);
  EXPECT_FALSE(ParseHccnLink("link status: \n").has_value());
  EXPECT_FALSE(ParseHccnLink("\xff\xfe").has_value());
}

TEST(HccnTest, TlsSwitchIsReadFromItsBrackets) {
  EXPECT_EQ(ParseHccnTls(ReadSample("tls_switch.txt")), false);
  EXPECT_EQ(ParseHccnTls("dev_id:0, tls switch[1](0:disable, 1:enable), tls preconfigured[1]\n"),
            true);
  EXPECT_FALSE(ParseHccnTls("tls switch[").has_value());
  EXPECT_FALSE(ParseHccnTls("tls switch[7]").has_value());
}

TEST(HccnTest, NetHealthIsItsWord) {
  EXPECT_EQ(ParseHccnNetHealth(ReadSample("net_health_success.txt")), "Success");
  EXPECT_EQ(ParseHccnNetHealth(ReadSample("net_health_init.txt")), "Init");
  EXPECT_EQ(ParseHccnNetHealth(ReadSample("net_health_fault.txt")), "Fault");
  EXPECT_EQ(ParseHccnNetHealth(ReadSample("net_health_socket_failed.txt")), "Socket failed");
  EXPECT_FALSE(ParseHccnNetHealth("").has_value());
}

TEST(HccnTest, NetdetectAndGatewayAreAddresses) {
  EXPECT_EQ(ParseHccnNetdetect(ReadSample("netdetect.txt")), "11.12.165.1");
  EXPECT_EQ(ParseHccnGateway(ReadSample("gateway.txt")), "11.12.165.1");
}

TEST(HccnTest, APingIsCounted) {
  std::optional<HccnPing> ping = ParseHccnPing(
      "device 3 PING 192.168.1.1\nrecv seq=0,time=1.418000ms\n3 packets transmitted, 2 received, "
      "33.33% packet loss\n");
  ASSERT_TRUE(ping.has_value());
  EXPECT_EQ(ping->transmitted, 3);
  EXPECT_EQ(ping->received, 2);
  EXPECT_FALSE(ParseHccnPing("device 3 PING 192.168.1.1\n").has_value());
}

}  // namespace
}  // namespace npufleet::npu
