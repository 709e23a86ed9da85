// SPDX-License-Identifier: Apache-2.0
#include "tests/fakes/fake_host.h"

#include <stdlib.h>

#include <filesystem>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "tests/fakes/prefix.h"

namespace npufleet::fakes {
namespace {

std::string MakeTemporaryFolder() {
  std::string path = (std::filesystem::temp_directory_path() / "npufleet-host.XXXXXX").string();
  if (mkdtemp(path.data()) == nullptr) abort();
  return path;
}

void SendLines(const std::function<void(std::string_view)>& on_line, const std::string& text) {
  if (!on_line || text.empty()) return;
  std::vector<std::string> lines = absl::StrSplit(text, absl::ByAnyChar("\r\n"));
  if (lines.back().empty()) lines.pop_back();
  for (const std::string& line : lines) on_line(line);
}

}  // namespace

// --- FakeSubprocess ---------------------------------------------------------------------------

void FakeSubprocess::On(const Argv& prefix, std::string out, std::string err, int exit_code) {
  host::ProcessResult result;
  result.exit_code = exit_code;
  result.out = std::move(out);
  result.err = std::move(err);
  On(prefix, [result](const Call&) { return result; });
}

void FakeSubprocess::On(const Argv& prefix, Answer answer) {
  absl::MutexLock lock(&mutex_);
  answers_[prefix] = std::move(answer);
}

void FakeSubprocess::OnEach(const Argv& prefix, std::vector<host::ProcessResult> results) {
  auto left = std::make_shared<std::deque<host::ProcessResult>>(results.begin(), results.end());
  auto mutex = std::make_shared<absl::Mutex>();
  On(prefix, [left, mutex](const Call&) {
    absl::MutexLock lock(mutex.get());
    host::ProcessResult result = left->front();
    if (left->size() > 1) left->pop_front();
    return result;
  });
}

void FakeSubprocess::Forget(const Argv& prefix) {
  absl::MutexLock lock(&mutex_);
  answers_.erase(prefix);
}

std::vector<FakeSubprocess::Call> FakeSubprocess::Calls() const {
  absl::MutexLock lock(&mutex_);
  return calls_;
}

std::vector<FakeSubprocess::Call> FakeSubprocess::Calls(const Argv& prefix) const {
  std::vector<Call> found;
  for (const Call& call : Calls()) {
    if (HasPrefix(call.argv, prefix)) found.push_back(call);
  }
  return found;
}

int FakeSubprocess::Count(const Argv& prefix) const {
  return static_cast<int>(Calls(prefix).size());
}

void FakeSubprocess::ForgetCalls() {
  absl::MutexLock lock(&mutex_);
  calls_.clear();
}

absl::StatusOr<host::ProcessResult> FakeSubprocess::Run(const Argv& argv,
                                                        const host::ProcessOptions& options) {
  if (argv.empty()) return absl::InvalidArgumentError("empty argv");
  if (options.cancelled && options.cancelled()) {
    return absl::CancelledError(absl::StrCat(argv[0], ": cancelled"));
  }
  Call call{argv, options};
  Answer answer;
  {
    absl::MutexLock lock(&mutex_);
    calls_.push_back(call);
    const Answer* found = FindLongest(answers_, argv);
    if (found == nullptr) {
      return absl::NotFoundError(absl::StrCat(argv[0], ": no such program (not scripted)"));
    }
    answer = *found;
  }
  absl::StatusOr<host::ProcessResult> result = answer(call);
  if (result.ok()) {
    SendLines(options.on_line, result->out);
    SendLines(options.on_line, result->err);
  }
  return result;
}

absl::StatusOr<std::string> FakeSubprocess::Which(std::string_view program) {
  const std::string name(program);
  absl::MutexLock lock(&mutex_);
  for (const auto& [prefix, answer] : answers_) {
    if (prefix.empty()) continue;
    if (prefix[0] == name) {
      return name.find('/') == std::string::npos ? absl::StrCat("/usr/bin/", name) : name;
    }
    if (IsProgram(name, prefix[0])) return prefix[0];
  }
  return absl::NotFoundError(absl::StrCat(name, ": no such program (not scripted)"));
}

// --- FakeSystem -------------------------------------------------------------------------------

FakeSystem::FakeSystem() {
  os_release_ = {{"ID", "openEuler"}, {"VERSION_ID", "22.03"}, {"NAME", "openEuler"}};
  interfaces_ = {{"lo", {"127.0.0.1"}, true}, {"eth0", {"192.168.0.15"}, true}};
}

#define NPUFLEET_FAKE_SETTER(Name, Type, member) \
  void FakeSystem::Name(Type value) {            \
    absl::MutexLock lock(&mutex_);               \
    member = std::move(value);                   \
  }
NPUFLEET_FAKE_SETTER(SetBootId, std::string, boot_id_)
NPUFLEET_FAKE_SETTER(SetUptime, absl::Duration, uptime_)
NPUFLEET_FAKE_SETTER(SetArchitecture, std::string, architecture_)
NPUFLEET_FAKE_SETTER(SetKernelRelease, std::string, kernel_release_)
NPUFLEET_FAKE_SETTER(SetRoot, bool, is_root_)
NPUFLEET_FAKE_SETTER(SetInterfaces, std::vector<host::NetworkInterface>, interfaces_)
NPUFLEET_FAKE_SETTER(SetListeningTcpPorts, std::vector<host::ListeningPort>, ports_)
NPUFLEET_FAKE_SETTER(SetSystemd, bool, systemd_)
#undef NPUFLEET_FAKE_SETTER

void FakeSystem::SetOsRelease(std::map<std::string, std::string> os_release) {
  absl::MutexLock lock(&mutex_);
  os_release_ = std::move(os_release);
}

void FakeSystem::AddProcess(host::ProcessInfo process) {
  absl::MutexLock lock(&mutex_);
  processes_[process.pid] = std::move(process);
}

void FakeSystem::RemoveProcess(int pid) {
  absl::MutexLock lock(&mutex_);
  processes_.erase(pid);
}

void FakeSystem::IgnoreSignal(int pid, int signal) {
  absl::MutexLock lock(&mutex_);
  ignored_.insert({pid, signal});
}

void FakeSystem::AddConnection(int pid, const std::string& address, uint16_t port) {
  absl::MutexLock lock(&mutex_);
  connections_.insert({pid, absl::StrCat(address, ":", port)});
}

void FakeSystem::RemoveConnections(int pid) {
  absl::MutexLock lock(&mutex_);
  std::erase_if(connections_, [pid](const auto& connection) { return connection.first == pid; });
}

void FakeSystem::OnSystemctl(const Argv& prefix, std::string out, std::string err, int exit_code) {
  host::ProcessResult result;
  result.exit_code = exit_code;
  result.out = std::move(out);
  result.err = std::move(err);
  OnSystemctl(prefix, [result](const Argv&) { return result; });
}

void FakeSystem::OnSystemctl(const Argv& prefix, SystemctlAnswer answer) {
  absl::MutexLock lock(&mutex_);
  systemctl_[prefix] = std::move(answer);
}

std::vector<Argv> FakeSystem::SystemctlCalls() const {
  absl::MutexLock lock(&mutex_);
  return systemctl_calls_;
}

std::vector<std::pair<int, int>> FakeSystem::Signals() const {
  absl::MutexLock lock(&mutex_);
  return signals_;
}

int FakeSystem::reboots() const {
  absl::MutexLock lock(&mutex_);
  return reboots_;
}

absl::StatusOr<std::string> FakeSystem::BootId() {
  absl::MutexLock lock(&mutex_);
  return boot_id_;
}

absl::StatusOr<absl::Duration> FakeSystem::Uptime() {
  absl::MutexLock lock(&mutex_);
  return uptime_;
}

std::string FakeSystem::Architecture() {
  absl::MutexLock lock(&mutex_);
  return architecture_;
}

std::string FakeSystem::KernelRelease() {
  absl::MutexLock lock(&mutex_);
  return kernel_release_;
}

bool FakeSystem::IsRoot() {
  absl::MutexLock lock(&mutex_);
  return is_root_;
}

absl::StatusOr<std::map<std::string, std::string>> FakeSystem::OsRelease() {
  absl::MutexLock lock(&mutex_);
  return os_release_;
}

absl::StatusOr<std::vector<host::NetworkInterface>> FakeSystem::Interfaces() {
  absl::MutexLock lock(&mutex_);
  return interfaces_;
}

absl::StatusOr<std::vector<host::ListeningPort>> FakeSystem::ListeningTcpPorts() {
  absl::MutexLock lock(&mutex_);
  return ports_;
}

absl::StatusOr<host::ProcessInfo> FakeSystem::InspectProcess(int pid) {
  absl::MutexLock lock(&mutex_);
  auto found = processes_.find(pid);
  if (found == processes_.end()) return absl::NotFoundError(absl::StrCat("no process ", pid));
  return found->second;
}

absl::Status FakeSystem::SignalProcess(int pid, int signal) {
  constexpr int kKill = 9;
  absl::MutexLock lock(&mutex_);
  if (!processes_.contains(pid)) return absl::NotFoundError(absl::StrCat("no process ", pid));
  if (signal == 0) return absl::OkStatus();
  signals_.emplace_back(pid, signal);
  if (signal == kKill || !ignored_.contains({pid, signal})) processes_.erase(pid);
  return absl::OkStatus();
}

absl::StatusOr<bool> FakeSystem::ConnectedTo(int pid, std::string_view address, uint16_t port) {
  absl::MutexLock lock(&mutex_);
  if (!processes_.contains(pid)) return absl::NotFoundError(absl::StrCat("no process ", pid));
  return connections_.contains({pid, absl::StrCat(std::string(address), ":", port)});
}

absl::StatusOr<host::ProcessResult> FakeSystem::Systemctl(const Argv& arguments) {
  SystemctlAnswer answer;
  {
    absl::MutexLock lock(&mutex_);
    if (!systemd_) return absl::UnavailableError("systemd is not running on this node");
    systemctl_calls_.push_back(arguments);
    const SystemctlAnswer* found = FindLongest(systemctl_, arguments);
    if (found == nullptr) return host::ProcessResult{};
    answer = *found;
  }
  return answer(arguments);
}

absl::Status FakeSystem::Reboot() {
  absl::MutexLock lock(&mutex_);
  ++reboots_;
  return absl::OkStatus();
}

void FakeSystem::StartNewBoot() {
  absl::MutexLock lock(&mutex_);
  boot_id_ = absl::StrCat("boot-", ++boots_);
  uptime_ = absl::ZeroDuration();
  ports_.clear();
  processes_.clear();
  ignored_.clear();
  connections_.clear();
}

// --- FakeHost ---------------------------------------------------------------------------------

FakeHost::FakeHost() {
  host_.clock = &clock_;
  host_.filesystem = std::make_unique<host::Filesystem>(MakeTemporaryFolder());
  host_.subprocess = std::make_unique<FakeSubprocess>();
  host_.http = std::make_unique<FakeHttp>();
  host_.docker = std::make_unique<FakeDocker>();
  host_.system = std::make_unique<FakeSystem>();
}

FakeHost::~FakeHost() {
  std::error_code error;
  std::filesystem::remove_all(root(), error);
}

void FakeHost::CompleteReboot() {
  docker().KillAll();
  system().StartNewBoot();
}

}  // namespace npufleet::fakes
