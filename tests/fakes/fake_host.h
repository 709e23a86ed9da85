// SPDX-License-Identifier: Apache-2.0
//
// A node in memory: host::Host whose file system is a temporary folder and whose programs, HTTP,
// Docker and kernel are scripted by the test. Everything is threadsafe.
//
//   FakeHost node;
//   node.files().Write("/etc/os-release", "ID=openEuler\n");
//   node.programs().On({"npu-smi", "info"}, sample);
//   node.programs().On({"rpm", "-q"}, "", "not installed\n", 1);
//   auto verb = verbs::MakeVerb(subject, node.host());
//   EXPECT_EQ(node.programs().Count({"yum", "install"}), 1);
#ifndef TESTS_FAKES_FAKE_HOST_H_
#define TESTS_FAKES_FAKE_HOST_H_

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "agent/host/host.h"
#include "tests/fakes/fake_clock.h"

namespace npufleet::fakes {

using Argv = std::vector<std::string>;

// Programs by prefix of their argv: the longest prefix wins, of two equal ones the newer. argv[0]
// of a script without a slash also answers for any path that ends in it.
class FakeSubprocess : public host::Subprocess {
 public:
  struct Call {
    Argv argv;
    host::ProcessOptions options;
  };
  using Answer = std::function<absl::StatusOr<host::ProcessResult>(const Call&)>;

  void On(const Argv& prefix, std::string out, std::string err = "", int exit_code = 0);
  void On(const Argv& prefix, Answer answer);
  // One result for each call, in turn; the last one stays.
  void OnEach(const Argv& prefix, std::vector<host::ProcessResult> results);
  // From now on there is no such program.
  void Forget(const Argv& prefix);

  std::vector<Call> Calls() const;  // in order, all
  std::vector<Call> Calls(const Argv& prefix) const;
  int Count(const Argv& prefix) const;
  void ForgetCalls();

  // host::Subprocess. A program without a script is NotFound. A call that is cancelled when it
  // starts is Cancelled. The lines of the result go to options.on_line.
  using host::Subprocess::Run;
  absl::StatusOr<host::ProcessResult> Run(const Argv& argv,
                                          const host::ProcessOptions& options) override;
  // "/usr/bin/NAME" for each program that was scripted, the path itself when it has a slash.
  absl::StatusOr<std::string> Which(std::string_view program) override;

 private:
  mutable absl::Mutex mutex_;
  std::map<Argv, Answer> answers_ ABSL_GUARDED_BY(mutex_);
  std::vector<Call> calls_ ABSL_GUARDED_BY(mutex_);
};

// HTTP by method and prefix of the URL; the longest prefix wins, of two equal ones the newer.
class FakeHttp : public host::Http {
 public:
  using Answer = std::function<absl::StatusOr<host::HttpResponse>(const host::HttpRequest&)>;

  void On(const std::string& method, const std::string& url_prefix, int status, std::string body,
          std::map<std::string, std::string> headers = {});
  void On(const std::string& method, const std::string& url_prefix, Answer answer);
  // GET and HEAD of `url` as a file server does it: Content-Length, ETag, Range, If-Range.
  void Serve(const std::string& url, std::string body, std::string etag = "\"1\"",
             std::string content_type = "application/octet-stream");

  std::vector<host::HttpRequest> Requests() const;  // in order; without their callbacks
  int Count(const std::string& method, const std::string& url_prefix) const;

  // host::Http. An URL without a script is Unavailable ("connection refused").
  absl::StatusOr<host::HttpResponse> Send(const host::HttpRequest& request) override;

 private:
  mutable absl::Mutex mutex_;
  std::map<std::pair<std::string, std::string>, Answer> answers_ ABSL_GUARDED_BY(mutex_);
  std::vector<host::HttpRequest> requests_ ABSL_GUARDED_BY(mutex_);
};

// A Docker daemon in memory.
class FakeDocker : public host::Docker {
 public:
  using ExecAnswer = std::function<absl::StatusOr<host::ExecResult>(const host::ExecSpec&)>;

  void SetDown(bool down);  // every call is Unavailable, watches end
  void SetInfo(host::DockerInfo info);
  void AddImage(host::DockerImage image);                             // by its id and all its tags
  void AddArchive(const std::string& path, host::DockerImage image);  // what a load of it brings
  void AddRegistry(const std::string& reference, host::DockerImage image);  // what a pull brings
  void RemoveImage(const std::string& name_or_id);
  // Adds or replaces by name. Missing id, pid and start are filled in.
  host::DockerContainer AddContainer(host::DockerContainer container);
  void FailNextRun(absl::Status status);  // of RunContainer
  void SetProcesses(const std::string& container, std::vector<int> pids);
  // The container ends by itself: status exited, event "die".
  void Kill(const std::string& container, int exit_code = 137, bool oom_killed = false);
  void KillAll();  // as a reboot does; no event
  void Emit(ContainerEvent event);

  // Exec by prefix of its argv, in any container, as FakeSubprocess::On. Without a script: exit
  // 127.
  void OnExec(const Argv& prefix, std::string out, std::string err = "", int exit_code = 0);
  void OnExec(const Argv& prefix, ExecAnswer answer);

  std::vector<host::ExecSpec> Execs() const;
  std::vector<host::ExecSpec> Execs(const Argv& prefix) const;
  std::vector<host::ContainerSpec> Runs() const;
  // What changed, in order: "load PATH", "pull REF", "tag A B", "run NAME", "stop NAME", "remove
  // NAME".
  std::vector<std::string> Changes() const;
  int watchers() const;  // WatchEvents calls that are under way

  absl::Status Ping() override;
  absl::StatusOr<host::DockerInfo> Info() override;
  absl::StatusOr<host::DockerImage> InspectImage(std::string_view name_or_id) override;
  absl::StatusOr<std::vector<std::string>> LoadImage(
      std::string_view archive_path, host::Cancelled cancelled,
      std::function<void(std::string_view)> on_line) override;
  absl::Status PullImage(std::string_view reference, std::string_view registry_auth,
                         host::Cancelled cancelled,
                         std::function<void(std::string_view)> on_line) override;
  absl::StatusOr<std::vector<std::string>> RegistryArchitectures(
      std::string_view reference, std::string_view registry_auth) override;
  absl::Status UntagImage(std::string_view name) override;
  absl::Status TagImage(std::string_view image, std::string_view name_and_tag) override;
  absl::StatusOr<host::DockerContainer> InspectContainer(std::string_view name_or_id) override;
  absl::StatusOr<std::vector<host::DockerContainer>> ListContainers() override;
  absl::StatusOr<host::DockerContainer> RunContainer(const host::ContainerSpec& spec) override;
  absl::Status StopContainer(std::string_view name_or_id, absl::Duration grace) override;
  absl::Status RemoveContainer(std::string_view name_or_id) override;
  absl::StatusOr<std::vector<int>> ListProcesses(std::string_view container) override;
  absl::StatusOr<host::ExecResult> Exec(const host::ExecSpec& spec) override;
  absl::Status WatchEvents(host::Cancelled cancelled,
                           std::function<void(const ContainerEvent&)> on_event) override;

 private:
  absl::Status Reachable() const ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  host::DockerContainer* Find(std::string_view name_or_id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void KeepImage(const host::DockerImage& image) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void MakeStarted(host::DockerContainer& container) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void EmitLocked(std::string_view action, const host::DockerContainer& container)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable absl::Mutex mutex_;
  bool down_ ABSL_GUARDED_BY(mutex_) = false;
  int made_ ABSL_GUARDED_BY(mutex_) = 0;
  int started_ ABSL_GUARDED_BY(mutex_) = 0;
  int watchers_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Status next_run_ ABSL_GUARDED_BY(mutex_);
  host::DockerInfo info_ ABSL_GUARDED_BY(mutex_);
  std::vector<host::DockerImage> images_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, host::DockerImage> archives_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, host::DockerImage> registry_ ABSL_GUARDED_BY(mutex_);
  std::vector<host::DockerContainer> containers_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, std::vector<int>> processes_ ABSL_GUARDED_BY(mutex_);  // by container id
  std::map<Argv, ExecAnswer> exec_answers_ ABSL_GUARDED_BY(mutex_);
  std::vector<host::ExecSpec> execs_ ABSL_GUARDED_BY(mutex_);
  std::vector<host::ContainerSpec> runs_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> changes_ ABSL_GUARDED_BY(mutex_);
  std::vector<ContainerEvent> events_ ABSL_GUARDED_BY(mutex_);  // all since the start
};

// Kernel and system. Starts as an openEuler 22.03 on aarch64, root, one interface eth0.
class FakeSystem : public host::System {
 public:
  using SystemctlAnswer = std::function<absl::StatusOr<host::ProcessResult>(const Argv& arguments)>;

  FakeSystem();

  void SetBootId(std::string boot_id);
  void SetUptime(absl::Duration uptime);
  void SetArchitecture(std::string architecture);
  void SetKernelRelease(std::string release);
  void SetRoot(bool is_root);
  void SetOsRelease(std::map<std::string, std::string> os_release);
  void SetInterfaces(std::vector<host::NetworkInterface> interfaces);
  void SetListeningTcpPorts(std::vector<host::ListeningPort> ports);
  void AddProcess(host::ProcessInfo process);  // by its pid
  void RemoveProcess(int pid);
  void IgnoreSignal(int pid, int signal);  // the process stays; SIGKILL ends it nevertheless
  void AddConnection(int pid, const std::string& address, uint16_t port);
  void RemoveConnections(int pid);
  // By prefix of the arguments, as FakeSubprocess::On. Without a script: exit 0.
  void OnSystemctl(const Argv& prefix, std::string out, std::string err = "", int exit_code = 0);
  void OnSystemctl(const Argv& prefix, SystemctlAnswer answer);
  void SetSystemd(bool running);  // false: Systemctl is Unavailable

  std::vector<Argv> SystemctlCalls() const;
  std::vector<std::pair<int, int>> Signals() const;  // pid, signal
  int reboots() const;                               // Reboot() calls

  absl::StatusOr<std::string> BootId() override;
  absl::StatusOr<absl::Duration> Uptime() override;
  std::string Architecture() override;
  std::string KernelRelease() override;
  bool IsRoot() override;
  absl::StatusOr<std::map<std::string, std::string>> OsRelease() override;
  absl::StatusOr<std::vector<host::NetworkInterface>> Interfaces() override;
  absl::StatusOr<std::vector<host::ListeningPort>> ListeningTcpPorts() override;
  absl::StatusOr<host::ProcessInfo> InspectProcess(int pid) override;
  absl::Status SignalProcess(int pid, int signal) override;
  absl::StatusOr<bool> ConnectedTo(int pid, std::string_view address, uint16_t port) override;
  absl::StatusOr<host::ProcessResult> Systemctl(const Argv& arguments) override;
  absl::Status Reboot() override;  // only counts; see FakeHost::CompleteReboot

  // Forgets what does not live through a reboot, and takes a new boot id.
  void StartNewBoot();

 private:
  mutable absl::Mutex mutex_;
  int boots_ ABSL_GUARDED_BY(mutex_) = 1;
  int reboots_ ABSL_GUARDED_BY(mutex_) = 0;
  bool is_root_ ABSL_GUARDED_BY(mutex_) = true;
  bool systemd_ ABSL_GUARDED_BY(mutex_) = true;
  std::string boot_id_ ABSL_GUARDED_BY(mutex_) = "boot-1";
  absl::Duration uptime_ ABSL_GUARDED_BY(mutex_) = absl::Hours(1);
  std::string architecture_ ABSL_GUARDED_BY(mutex_) = "aarch64";
  std::string kernel_release_ ABSL_GUARDED_BY(mutex_) = "5.10.0-60.18.0.50.oe2203.aarch64";
  std::map<std::string, std::string> os_release_ ABSL_GUARDED_BY(mutex_);
  std::vector<host::NetworkInterface> interfaces_ ABSL_GUARDED_BY(mutex_);
  std::vector<host::ListeningPort> ports_ ABSL_GUARDED_BY(mutex_);
  std::map<int, host::ProcessInfo> processes_ ABSL_GUARDED_BY(mutex_);
  std::set<std::pair<int, int>> ignored_ ABSL_GUARDED_BY(mutex_);
  std::set<std::pair<int, std::string>> connections_ ABSL_GUARDED_BY(mutex_);  // "address:port"
  std::map<Argv, SystemctlAnswer> systemctl_ ABSL_GUARDED_BY(mutex_);
  std::vector<Argv> systemctl_calls_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::pair<int, int>> signals_ ABSL_GUARDED_BY(mutex_);
};

class FakeHost {
 public:
  FakeHost();
  ~FakeHost();  // removes the temporary folder
  FakeHost(const FakeHost&) = delete;
  FakeHost& operator=(const FakeHost&) = delete;

  host::Host& host() { return host_; }

  host::Filesystem& files() { return *host_.filesystem; }
  const std::string& root() const { return host_.filesystem->root(); }
  FakeClock& clock() { return clock_; }
  FakeSubprocess& programs() { return static_cast<FakeSubprocess&>(*host_.subprocess); }
  FakeHttp& http() { return static_cast<FakeHttp&>(*host_.http); }
  FakeDocker& docker() { return static_cast<FakeDocker&>(*host_.docker); }
  FakeSystem& system() { return static_cast<FakeSystem&>(*host_.system); }

  // The node goes down and comes up: a new boot id, no processes, ports or connections, and all
  // containers exited. Files and images stay.
  void CompleteReboot();

 private:
  FakeClock clock_;
  host::Host host_;
};

}  // namespace npufleet::fakes

#endif  // TESTS_FAKES_FAKE_HOST_H_
