// SPDX-License-Identifier: Apache-2.0
//
// A bare server in memory that a whole rollout can be run on: no driver, no Docker, 2 chips. Its
// installers are shell scripts that really run (under the agent's supervisor) and write under the
// machine's own root; Docker, Ray, vLLM and the NPU tools are scripted.
#ifndef TESTS_INTEGRATION_FAKE_MACHINE_H_
#define TESTS_INTEGRATION_FAKE_MACHINE_H_

#include <atomic>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "npufleet/v1/spec.pb.h"
#include "tests/fakes/fake_host.h"

namespace npufleet::integration {

// Ray as the containers of all machines see it. Threadsafe.
class FakeRayCluster {
 public:
  struct Member {
    std::string id;
    std::string address;
    int npus = 0;
    std::function<bool()> is_alive;
    std::function<void()> lose_head;
  };
  // A new head is a new cluster: whoever was in the former one loses its connection.
  void StartHead(Member head);
  void Join(Member worker);
  // What the verbs' question to Ray prints.
  std::string Answer();

 private:
  absl::Mutex mutex_;
  std::vector<Member> members_ ABSL_GUARDED_BY(mutex_);
};

inline constexpr int kChips = 2;
inline constexpr char kContainer[] = "vllm-server";
inline constexpr char kModel[] = "/data/model";
inline constexpr char kServedName[] = "tiny";

// An installer of the given text, as the spec names it: http://origin/NAME with its digest.
v1::Artifact MakeArtifact(const std::string& name, const std::string& content);

// A driver's installer. Each run adds a line to /driver-runs; then `body` is done, in which $root
// is the machine's.
std::string DriverInstaller(const std::string& body);
// That it wrote its version: what a good installer does.
inline constexpr char kInstallsDriver[] =
    "mkdir -p $root/usr/local/Ascend/driver\n"
    "printf 'Version=25.0.rc1\\npackage_version=25.0.rc1\\n' > "
    "$root/usr/local/Ascend/driver/version.info\n";
inline constexpr char kTakesEffect[] =
    "echo 'Driver package installed successfully! The new version takes effect immediately.'\n";
inline constexpr char kNeedsReboot[] =
    "echo 'Driver package installed successfully! Reboot needed for installation/upgrade to take "
    "effect!'\n";

// Real time, with a wall clock that may be wrong. Threadsafe.
class SkewedClock : public Clock {
 public:
  absl::Time Now() override { return Clock::Real().Now() + absl::Milliseconds(skew_ms_.load()); }
  absl::Duration Elapsed() override { return Clock::Real().Elapsed(); }
  void Sleep(absl::Duration duration) override { Clock::Real().Sleep(duration); }
  void SetSkew(absl::Duration skew) { skew_ms_ = absl::ToInt64Milliseconds(skew); }

 private:
  std::atomic<int64_t> skew_ms_ = 0;
};

class FakeMachine : public fakes::FakeHost {
 public:
  FakeMachine(std::string name, std::string address, FakeRayCluster& ray);

  const std::string& name() const { return name_; }
  const std::string& address() const { return address_; }

  // The origin has this artifact, and its file may be run once it is there.
  void ServeInstaller(const v1::Artifact& artifact, const std::string& content);

  // How often the driver's installer ran.
  int DriverRuns();
  // Requests to the origin: downloads of artifacts.
  int Downloads();

  // Moves the wall clock of the machine away from the others'.
  void SetClockSkew(absl::Duration skew) { clock_.SetSkew(skew); }

  // The server that `vllm serve` started lives.
  bool EngineLives();

  // What a power cycle does, up to the start of the agent.
  void PowerCycle();
  // Notified when the agent has asked for its (first) reboot.
  absl::Notification& reboot_asked() { return reboot_asked_; }

 private:
  void ScriptPackages();
  void ScriptChips();
  void ScriptDocker();
  void ScriptRay();
  void ScriptEngine();
  void StartDaemon();
  int StartProcess(fakes::Argv argv, std::map<std::string, std::string> environment);
  void EndRay();
  bool Lives(int pid);
  absl::StatusOr<host::ExecResult> StartRay(const host::ExecSpec& spec);

  struct Process {
    int pid;
    std::string container;  // id
    bool is_ray;
  };

  const std::string name_;
  const std::string address_;
  FakeRayCluster& ray_;
  SkewedClock clock_;
  std::atomic<bool> daemon_up_ = false;
  absl::Notification reboot_asked_;
  absl::Mutex processes_mutex_;
  std::vector<Process> processes_ ABSL_GUARDED_BY(processes_mutex_);
  std::atomic<int> engine_ = 0;  // pid
};

// The deployment of `nodes` machines named node-a, node-b, …, small but whole: every stage is in
// it.
v1::Deployment MakeDeployment(int nodes);

std::string NameOfNode(int index);     // node-a
std::string AddressOfNode(int index);  // 192.168.0.15

}  // namespace npufleet::integration

#endif  // TESTS_INTEGRATION_FAKE_MACHINE_H_
