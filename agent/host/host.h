// SPDX-License-Identifier: Apache-2.0
//
// Everything that touches the machine, in one bundle that verbs are given. Tests put fakes or a
// temporary root behind it (tests/fakes/fake_host.h).
#ifndef AGENT_HOST_HOST_H_
#define AGENT_HOST_HOST_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "agent/host/docker.h"
#include "agent/host/filesystem.h"
#include "agent/host/http.h"
#include "agent/host/subprocess.h"
#include "common/clock.h"

namespace npufleet::host {

struct HostOptions {
  std::string root = "/";  // prefix of every path; not "/" only in tests and demonstrations
  // Where programs are searched, each under the root first. /usr/local/Ascend/driver/tools is among
  // them.
  std::vector<std::string> path = {"/usr/local/sbin",
                                   "/usr/local/bin",
                                   "/usr/sbin",
                                   "/usr/bin",
                                   "/sbin",
                                   "/bin",
                                   "/usr/local/Ascend/driver/tools"};
  std::string docker_socket = "/var/run/docker.sock";  // under the root
};

struct NetworkInterface {
  std::string name;
  std::vector<std::string> ipv4;  // without the prefix length
  bool up = false;
};

struct ListeningPort {
  uint16_t port = 0;
  int pid = 0;            // 0: not found
  std::string command;    // its /proc/PID/comm
  std::string container;  // id of the container that owns it, from its cgroup; empty: none
};

// A process as /proc shows it.
struct ProcessInfo {
  int pid = 0;
  uint64_t start_ticks = 0;  // since boot: with the pid it identifies the process within a boot
  std::vector<std::string> argv;
  std::map<std::string, std::string> environment;
  std::string container;  // id of the container that owns it, from its cgroup; empty: none
};

// What the kernel and the system say of themselves. Threadsafe.
class System {
 public:
  virtual ~System() = default;
  virtual absl::StatusOr<std::string> BootId() = 0;  // /proc/sys/kernel/random/boot_id
  virtual absl::StatusOr<absl::Duration> Uptime() = 0;
  virtual std::string Architecture() = 0;   // uname -m
  virtual std::string KernelRelease() = 0;  // uname -r
  virtual bool IsRoot() = 0;
  virtual absl::StatusOr<std::map<std::string, std::string>> OsRelease() = 0;  // ID, VERSION_ID, …
  virtual absl::StatusOr<std::vector<NetworkInterface>> Interfaces() = 0;
  virtual absl::StatusOr<std::vector<ListeningPort>> ListeningTcpPorts() = 0;
  // NotFound when there is no such process (any more). Reads the real /proc, whatever the root.
  virtual absl::StatusOr<ProcessInfo> InspectProcess(int pid) = 0;
  virtual absl::Status SignalProcess(int pid, int signal) = 0;  // NotFound when it is gone
  // Whether process `pid` itself holds an established TCP connection to `address` (IPv4) and
  // `port`, as /proc/PID/fd and the table of its network namespace say. NotFound when the process
  // is gone.
  virtual absl::StatusOr<bool> ConnectedTo(int pid, std::string_view address, uint16_t port);
  // systemctl ARGS. The unit manager of the node; Unavailable when systemd is not running.
  virtual absl::StatusOr<ProcessResult> Systemctl(const std::vector<std::string>& arguments) = 0;
  virtual absl::Status Reboot() = 0;  // returns when the reboot is under way
};

struct Host {
  Clock* clock = nullptr;  // not owned
  std::unique_ptr<Filesystem> filesystem;
  std::unique_ptr<Subprocess> subprocess;
  std::unique_ptr<Http> http;
  std::unique_ptr<Docker> docker;
  std::unique_ptr<System> system;
};

// The real kernel and system. With a root other than "/", boot_id, uptime, os-release and the
// interfaces (lines of "NAME ADDRESS" in /etc/npufleet/interfaces) under the root go first, and
// systemctl is only run when it is under the root: a demonstration reboots nobody.
std::unique_ptr<System> MakeSystem(const HostOptions& options);

// The real machine.
std::unique_ptr<Host> MakeHost(const HostOptions& options);

}  // namespace npufleet::host

#endif  // AGENT_HOST_HOST_H_
