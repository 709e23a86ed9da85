// SPDX-License-Identifier: Apache-2.0
#include <arpa/inet.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/host/host.h"
#include "agent/host/os_release.h"
#include "agent/host/process_tree.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/fakes/fake_host.h"

namespace npufleet::host {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;

class SystemTest : public ::testing::Test {
 protected:
  SystemTest() {
    options_.root = node_.root();
    system_ = MakeSystem(options_);
  }

  fakes::FakeHost node_;
  HostOptions options_;
  std::unique_ptr<System> system_;
};

TEST_F(SystemTest, ReadsTheKernelAndWhatIsUnderTheRootFirst) {
  EXPECT_EQ(system_->BootId()->size(), 36u);
  EXPECT_GT(system_->Uptime().value(), absl::ZeroDuration());
  ASSERT_TRUE(node_.files().Write("/proc/sys/kernel/random/boot_id", "boot-7\n").ok());
  ASSERT_TRUE(node_.files().Write("/proc/uptime", "12.50 40.00\n").ok());
  ASSERT_TRUE(node_.files().Write("/etc/os-release", "ID=\"openEuler\"\nVERSION_ID=22.03\n").ok());
  EXPECT_EQ(system_->BootId().value(), "boot-7");
  EXPECT_EQ(system_->Uptime().value(), absl::Milliseconds(12500));
  EXPECT_EQ(system_->OsRelease()->at("ID"), "openEuler");
  EXPECT_FALSE(system_->Architecture().empty());
  EXPECT_FALSE(system_->KernelRelease().empty());
}

TEST_F(SystemTest, ListsInterfaces) {
  const auto interfaces = system_->Interfaces();
  ASSERT_TRUE(interfaces.ok());
  EXPECT_THAT(*interfaces, Contains(::testing::Field(&NetworkInterface::name, "lo")));
}

TEST_F(SystemTest, TakesTheInterfacesOfARootThatNamesThem) {
  ASSERT_TRUE(
      node_.files()
          .Write("/etc/npufleet/interfaces", "lo 127.77.1.2\nlo 127.77.1.3\neth9 198.18.0.1\n")
          .ok());
  const auto interfaces = system_->Interfaces();
  ASSERT_TRUE(interfaces.ok()) << interfaces.status();
  ASSERT_EQ(interfaces->size(), 2u);
  EXPECT_EQ((*interfaces)[0].name, "eth9");
  EXPECT_THAT((*interfaces)[1].ipv4, ElementsAre("127.77.1.2", "127.77.1.3"));
  EXPECT_TRUE((*interfaces)[1].up);
}

TEST_F(SystemTest, FindsWhoListens) {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(address);
  ASSERT_EQ(bind(listener, reinterpret_cast<sockaddr*>(&address), length), 0);
  ASSERT_EQ(listen(listener, 1), 0);
  ASSERT_EQ(getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length), 0);
  const auto ports = system_->ListeningTcpPorts();
  ASSERT_TRUE(ports.ok()) << ports.status();
  int pid = 0;
  for (const ListeningPort& port : *ports) {
    if (port.port == ntohs(address.sin_port)) pid = port.pid;
  }
  EXPECT_EQ(pid, getpid());
  close(listener);
}

TEST_F(SystemTest, InspectsAndSignalsProcesses) {
  const pid_t pid = fork();
  ASSERT_GE(pid, 0);
  if (pid == 0) {
    char* const environment[] = {const_cast<char*>("NPUFLEET_STAMP=s=1"), nullptr};
    execle("/bin/sleep", "sleep", "1000", nullptr, environment);
    _exit(127);
  }
  // Until exec has taken place it is still a copy of this test.
  absl::StatusOr<ProcessInfo> info = system_->InspectProcess(pid);
  while (info.ok() && info->argv != std::vector<std::string>{"sleep", "1000"}) {
    info = system_->InspectProcess(pid);
  }
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(info->environment.at("NPUFLEET_STAMP"), "s=1");
  EXPECT_GT(info->start_ticks, 0u);
  ASSERT_TRUE(system_->SignalProcess(pid, SIGKILL).ok());
  siginfo_t ended = {};
  ASSERT_EQ(waitid(P_PID, static_cast<id_t>(pid), &ended, WEXITED | WNOWAIT), 0);
  EXPECT_TRUE(absl::IsNotFound(system_->InspectProcess(pid).status()));  // a zombie is gone
  waitpid(pid, nullptr, 0);
  EXPECT_TRUE(absl::IsNotFound(system_->SignalProcess(pid, SIGTERM)));
  EXPECT_TRUE(absl::IsInvalidArgument(system_->SignalProcess(-1, SIGTERM)));
}

TEST_F(SystemTest, NeverTouchesTheMachinesOwnSystemdFromARoot) {
  EXPECT_FALSE(system_->Systemctl({"is-active", "docker"}).ok());
  EXPECT_FALSE(system_->Reboot().ok());
  ASSERT_TRUE(node_.files().Write("/usr/bin/systemctl", "#!/bin/sh\necho \"$@\"\n", 0755).ok());
  EXPECT_EQ(system_->Systemctl({"is-active", "docker"})->out, "is-active docker\n");
  EXPECT_TRUE(system_->Reboot().ok());
}

TEST(OsReleaseTest, UnquotesAsTheShellDoes) {
  const auto variables =
      ParseOsRelease("# comment\nNAME=\"Debian \\\"x\\\"\"\nID=debian\nBAD\nV='12'\n");
  EXPECT_EQ(variables.at("NAME"), "Debian \"x\"");
  EXPECT_EQ(variables.at("ID"), "debian");
  EXPECT_EQ(variables.at("V"), "12");
  EXPECT_EQ(variables.size(), 3u);
}

TEST(ProcessTreeTest, ReadsAStatLineWhoseCommandHoldsBrackets) {
  const auto stat = ParseProcessStat(
      "42 (a) b (c) S 7 42 42 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 98765 1000 200\n");
  ASSERT_TRUE(stat.ok());
  EXPECT_EQ(stat->command, "a) b (c");
  EXPECT_EQ(stat->parent, 7);
  EXPECT_EQ(stat->state, 'S');
  EXPECT_EQ(stat->start_ticks, 98765u);
  EXPECT_FALSE(ParseProcessStat("nonsense").ok());
}

TEST(ProcessTreeTest, FindsTheContainerInEitherCgroup) {
  const std::string id(64, 'a');
  EXPECT_EQ(ContainerOfCgroup("12:cpu:/docker/" + id + "\n1:name=systemd:/docker/" + id + "\n"),
            id);
  EXPECT_EQ(ContainerOfCgroup("0::/system.slice/docker-" + id + ".scope\n"), id);
  EXPECT_EQ(ContainerOfCgroup("0::/system.slice/sshd.service\n"), "");
}

}  // namespace
}  // namespace npufleet::host
