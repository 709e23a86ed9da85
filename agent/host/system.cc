// SPDX-License-Identifier: Apache-2.0
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <signal.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <filesystem>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "agent/host/connection_table.h"
#include "agent/host/host.h"
#include "agent/host/os_release.h"
#include "agent/host/process_tree.h"
#include "common/status_macros.h"

namespace npufleet::host {
namespace {

constexpr char kInterfaces[] = "/etc/npufleet/interfaces";

// The inodes of all sockets that process `pid` holds.
std::set<uint64_t> SocketsOf(int pid) {
  std::set<uint64_t> inodes;
  std::error_code error;
  const std::filesystem::path folder = absl::StrCat("/proc/", pid, "/fd");
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    std::error_code gone;
    const std::string link = std::filesystem::read_symlink(entry->path(), gone).string();
    uint64_t inode = 0;
    if (!gone && absl::StartsWith(link, "socket:[") &&
        absl::SimpleAtoi(link.substr(8, link.size() - 9), &inode)) {
      inodes.insert(inode);
    }
  }
  return inodes;
}

class LinuxSystem : public System {
 public:
  explicit LinuxSystem(const HostOptions& options)
      : rooted_(options.root),
        is_rooted_(rooted_.root() != "/"),
        subprocess_(MakeSubprocess(options.root, options.path)) {}

  absl::StatusOr<std::string> BootId() override {
    ASSIGN_OR_RETURN(const std::string text, ReadRootedFirst("/proc/sys/kernel/random/boot_id"));
    return std::string(absl::StripAsciiWhitespace(text));
  }

  absl::StatusOr<absl::Duration> Uptime() override {
    ASSIGN_OR_RETURN(const std::string text, ReadRootedFirst("/proc/uptime"));
    const std::vector<std::string> fields = absl::StrSplit(text, ' ');
    double seconds = 0;
    if (!absl::SimpleAtod(fields[0], &seconds)) {
      return absl::InternalError(absl::StrCat("/proc/uptime reads \"", text, "\""));
    }
    return absl::Seconds(seconds);
  }

  std::string Architecture() override { return Name().machine; }
  std::string KernelRelease() override { return Name().release; }
  bool IsRoot() override { return geteuid() == 0; }

  absl::StatusOr<std::map<std::string, std::string>> OsRelease() override {
    absl::StatusOr<std::string> text = ReadRootedFirst("/etc/os-release");
    if (!text.ok()) text = ReadRootedFirst("/usr/lib/os-release");
    RETURN_IF_ERROR(text.status());
    return ParseOsRelease(*text);
  }

  absl::StatusOr<std::vector<NetworkInterface>> Interfaces() override;
  absl::StatusOr<std::vector<ListeningPort>> ListeningTcpPorts() override;
  absl::StatusOr<ProcessInfo> InspectProcess(int pid) override;

  absl::Status SignalProcess(int pid, int signal) override {
    // 0, -1 and other negative pids are whole groups to kill(2).
    if (pid <= 1) return absl::InvalidArgumentError(absl::StrCat("no process to signal: ", pid));
    if (kill(pid, signal) == 0) return absl::OkStatus();
    if (errno == ESRCH) return absl::NotFoundError(absl::StrCat("no process ", pid));
    return absl::ErrnoToStatus(errno, absl::StrCat("signal ", signal, " to process ", pid));
  }

  absl::StatusOr<ProcessResult> Systemctl(const std::vector<std::string>& arguments) override;

  absl::Status Reboot() override {
    ASSIGN_OR_RETURN(const ProcessResult result, Systemctl({"reboot"}));
    if (result.ok()) return absl::OkStatus();
    return absl::FailedPreconditionError(
        absl::StrCat("systemctl reboot ended with ", result.exit_code, ": ", result.Combined()));
  }

 private:
  static utsname Name() {
    utsname name = {};
    uname(&name);
    return name;
  }

  absl::StatusOr<std::string> ReadRootedFirst(std::string_view path) const {
    if (is_rooted_ && rooted_.Exists(path)) return rooted_.Read(path);
    return Filesystem("/").Read(path);
  }

  const Filesystem rooted_;
  const bool is_rooted_;
  const std::unique_ptr<Subprocess> subprocess_;
};

// Lines of "NAME ADDRESS".
std::vector<NetworkInterface> ParseInterfaces(std::string_view text) {
  std::map<std::string, NetworkInterface> interfaces;
  for (const std::string& line :
       std::vector<std::string>(absl::StrSplit(std::string(text), '\n', absl::SkipWhitespace()))) {
    const std::pair<std::string, std::string> pair = absl::StrSplit(line, absl::MaxSplits(' ', 1));
    NetworkInterface& interface = interfaces[pair.first];
    interface.name = pair.first;
    interface.up = true;
    interface.ipv4.push_back(pair.second);
  }
  std::vector<NetworkInterface> list;
  for (auto& [name, interface] : interfaces) list.push_back(std::move(interface));
  return list;
}

absl::StatusOr<std::vector<NetworkInterface>> LinuxSystem::Interfaces() {
  // Two nodes of a demonstration share the machine's loopback interface, each with an address of
  // its own.
  if (is_rooted_ && rooted_.Exists(kInterfaces)) {
    ASSIGN_OR_RETURN(const std::string text, rooted_.Read(kInterfaces));
    return ParseInterfaces(text);
  }
  ifaddrs* first = nullptr;
  if (getifaddrs(&first) != 0) return absl::ErrnoToStatus(errno, "asking the interfaces");
  std::map<std::string, NetworkInterface> interfaces;
  for (const ifaddrs* entry = first; entry != nullptr; entry = entry->ifa_next) {
    NetworkInterface& interface = interfaces[entry->ifa_name];
    interface.name = entry->ifa_name;
    interface.up = (entry->ifa_flags & IFF_UP) != 0;
    if (entry->ifa_addr == nullptr || entry->ifa_addr->sa_family != AF_INET) continue;
    char text[INET_ADDRSTRLEN] = "";
    const auto* address = reinterpret_cast<const sockaddr_in*>(entry->ifa_addr);
    inet_ntop(AF_INET, &address->sin_addr, text, sizeof(text));
    interface.ipv4.push_back(text);
  }
  freeifaddrs(first);
  std::vector<NetworkInterface> list;
  for (auto& [name, interface] : interfaces) list.push_back(std::move(interface));
  return list;
}

absl::StatusOr<std::vector<ListeningPort>> LinuxSystem::ListeningTcpPorts() {
  std::map<uint64_t, uint16_t> wanted;  // inode -> port
  ASSIGN_OR_RETURN(const std::string v4, ReadProc("/proc/net/tcp"));
  wanted.merge(ListeningInodes(v4));
  if (const auto v6 = ReadProc("/proc/net/tcp6"); v6.ok()) wanted.merge(ListeningInodes(*v6));

  std::vector<ListeningPort> ports;
  for (int pid : ListPids()) {
    if (wanted.empty()) break;
    for (uint64_t inode : SocketsOf(pid)) {
      auto found = wanted.find(inode);
      if (found == wanted.end()) continue;
      ListeningPort port;
      port.port = found->second;
      port.pid = pid;
      port.command = std::string(
          absl::StripAsciiWhitespace(ReadProc(absl::StrCat("/proc/", pid, "/comm")).value_or("")));
      port.container =
          ContainerOfCgroup(ReadProc(absl::StrCat("/proc/", pid, "/cgroup")).value_or(""));
      ports.push_back(std::move(port));
      wanted.erase(found);
    }
  }
  for (const auto& [inode, number] : wanted) {
    ListeningPort port;
    port.port = number;
    ports.push_back(port);
  }
  return ports;
}

absl::StatusOr<ProcessInfo> LinuxSystem::InspectProcess(int pid) {
  const std::string folder = absl::StrCat("/proc/", pid);
  ASSIGN_OR_RETURN(const std::string text, ReadProc(folder + "/stat"));
  ASSIGN_OR_RETURN(const ProcessStat stat, ParseProcessStat(text));
  // A zombie does nothing any more and waits only for its parent.
  if (stat.state == 'Z' || stat.state == 'X') {
    return absl::NotFoundError(absl::StrCat("process ", pid, " has ended"));
  }
  ProcessInfo info;
  info.pid = pid;
  info.start_ticks = stat.start_ticks;
  ASSIGN_OR_RETURN(const std::string command_line, ReadProc(folder + "/cmdline"));
  info.argv = absl::StrSplit(command_line, '\0');
  if (info.argv.back().empty()) info.argv.pop_back();
  ASSIGN_OR_RETURN(const std::string environment, ReadProc(folder + "/environ"));
  for (const std::string& entry :
       std::vector<std::string>(absl::StrSplit(environment, '\0', absl::SkipEmpty()))) {
    std::pair<std::string, std::string> pair = absl::StrSplit(entry, absl::MaxSplits('=', 1));
    info.environment.insert(std::move(pair));
  }
  info.container = ContainerOfCgroup(ReadProc(folder + "/cgroup").value_or(""));
  return info;
}

absl::StatusOr<ProcessResult> LinuxSystem::Systemctl(const std::vector<std::string>& arguments) {
  ASSIGN_OR_RETURN(const std::string program, subprocess_->Which("systemctl"));
  if (is_rooted_ && !absl::StartsWith(program, rooted_.root() + "/")) {
    return absl::UnavailableError(absl::StrCat("no systemctl under ", rooted_.root(),
                                               ", and that of the machine is not ours"));
  }
  if (!is_rooted_ && !rooted_.Exists("/run/systemd/system")) {
    return absl::UnavailableError("systemd is not running on this node");
  }
  std::vector<std::string> argv = {program};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  ProcessOptions options;
  options.deadline =
      absl::Minutes(5);  // a stop waits for the unit's TimeoutStopSec, 90 s by default
  return subprocess_->Run(argv, options);
}

}  // namespace

std::unique_ptr<System> MakeSystem(const HostOptions& options) {
  return std::make_unique<LinuxSystem>(options);
}

std::unique_ptr<Host> MakeHost(const HostOptions& options) {
  auto host = std::make_unique<Host>();
  host->clock = &Clock::Real();
  host->filesystem = std::make_unique<Filesystem>(options.root);
  host->subprocess = MakeSubprocess(host->filesystem->root(), options.path);
  host->http = MakeHttp();
  host->docker = MakeDocker(host->filesystem->Real(options.docker_socket), options.root);
  host->system = MakeSystem(options);
  return host;
}

}  // namespace npufleet::host
