// SPDX-License-Identifier: Apache-2.0
#include "tests/integration/fake_machine.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "agent/verbs/container_exec.h"
#include "agent/verbs/installer.h"
#include "common/clock.h"
#include "common/digest.h"
#include "gtest/gtest.h"

namespace npufleet::integration {
namespace {

using fakes::Argv;
using verbs::EntryArgv;

constexpr char kImage[] = "quay.io/ascend/vllm-ascend:v0.8.4rc2";
constexpr char kImageArchive[] = "an image";
constexpr char kDockerArchive[] = "a tgz";
constexpr char kDockerVersion[] = "28.0.4";
constexpr char kSession[] = "session_2026-11-23_23-17-56_868393_443";

constexpr char kRuntimeInstaller[] =
    "#!/bin/sh\n"
    "root=\"${0%/var/lib/npufleet/agent/artifacts/*}\"\n"
    "folder=$root/usr/local/Ascend/Ascend-Docker-Runtime\n"
    "mkdir -p $folder $root/etc/docker\n"
    "echo ELF > $folder/ascend-docker-runtime\n"
    "printf 'version=v6.0.0\\narch=aarch64\\n' > $folder/ascend_docker_runtime_install.info\n"
    "echo '{\"default-runtime\":\"ascend\",\"runtimes\":{\"ascend\":{\"path\":"
    "\"/usr/local/Ascend/Ascend-Docker-Runtime/ascend-docker-runtime\",\"runtimeArgs\":[]}}}' "
    "> $root/etc/docker/daemon.json\n"
    "echo '[INFO] ascend-docker-runtime install success'\n";

// Of all machines of this program: some verbs remember processes by their names.
int NextPid() {
  static std::atomic<int> last = 20000;
  return ++last;
}

bool Contains(const Argv& argv, const std::string& word) {
  return std::find(argv.begin(), argv.end(), word) != argv.end();
}

}  // namespace

void FakeRayCluster::StartHead(Member head) {
  std::vector<Member> former;
  {
    absl::MutexLock lock(&mutex_);
    former.swap(members_);
    members_.push_back(std::move(head));
  }
  for (const Member& member : former) member.lose_head();
}

void FakeRayCluster::Join(Member worker) {
  absl::MutexLock lock(&mutex_);
  members_.push_back(std::move(worker));
}

std::string FakeRayCluster::Answer() {
  std::vector<Member> members;
  {
    absl::MutexLock lock(&mutex_);
    members = members_;
  }
  std::vector<std::string> nodes;
  int total = 0;
  for (const Member& member : members) {
    if (!member.is_alive()) continue;
    nodes.push_back(absl::StrCat("{\"id\": \"", member.id, "\", \"address\": \"", member.address,
                                 "\", \"npu\": ", member.npus, "}"));
    total += member.npus;
  }
  return absl::StrCat("INFO worker.py connecting\n\n@@{\"nodes\": [", absl::StrJoin(nodes, ", "),
                      "], \"total\": ", total, ", \"free\": ", total, "}\n");
}

v1::Artifact MakeArtifact(const std::string& name, const std::string& content) {
  v1::Artifact artifact;
  artifact.set_url(absl::StrCat("http://origin/", name));
  artifact.set_sha256(Sha256Hex(content));
  return artifact;
}

std::string DriverInstaller(const std::string& body) {
  return absl::StrCat(
      "#!/bin/sh\n"
      "root=\"${0%/var/lib/npufleet/agent/artifacts/*}\"\n"
      "echo run >> $root/driver-runs\n",
      body);
}

FakeMachine::FakeMachine(std::string name, std::string address, FakeRayCluster& ray)
    : name_(std::move(name)), address_(std::move(address)), ray_(ray) {
  host().clock = &clock_;
  system().SetInterfaces({{"lo", {"127.0.0.1"}, true}, {"eth0", {address_}, true}});
  EXPECT_TRUE(files().Write("/etc/group", "HwHiAiUser:x:1000:\n").ok());
  EXPECT_TRUE(
      files().Write("/etc/passwd", "HwHiAiUser:x:1000:1000::/home/HwHiAiUser:/bin/bash\n").ok());
  EXPECT_TRUE(files().Write(absl::StrCat(kModel, "/config.json"), "{}").ok());
  EXPECT_TRUE(files().Write(absl::StrCat(kModel, "/model.safetensors"), "weights").ok());
  programs().On({"sync"},
                [this](const fakes::FakeSubprocess::Call&) -> absl::StatusOr<host::ProcessResult> {
                  if (!reboot_asked_.HasBeenNotified()) reboot_asked_.Notify();
                  return host::ProcessResult{};
                });
  const std::string driver = DriverInstaller(absl::StrCat(kInstallsDriver, kTakesEffect));
  ServeInstaller(MakeArtifact("driver.run", driver), driver);
  ServeInstaller(MakeArtifact("runtime.run", kRuntimeInstaller), kRuntimeInstaller);
  ScriptPackages();
  ScriptChips();
  ScriptDocker();
  ScriptRay();
  ScriptEngine();
}

void FakeMachine::ServeInstaller(const v1::Artifact& artifact, const std::string& content) {
  http().Serve(artifact.url(), content);
  const std::string name = artifact.url().substr(artifact.url().rfind('/') + 1);
  programs().On({absl::StrCat(root(), verbs::kArtifactFolder, name)}, "");
}

int FakeMachine::DriverRuns() {
  const std::string text = files().Read("/driver-runs").value_or("");
  return static_cast<int>(std::count(text.begin(), text.end(), '\n'));
}

int FakeMachine::Downloads() { return http().Count("GET", "http://origin/"); }

void FakeMachine::PowerCycle() { CompleteReboot(); }

void FakeMachine::ScriptPackages() {
  const std::string dnf = absl::StrCat(root(), "/usr/bin/dnf");
  EXPECT_TRUE(files()
                  .Write("/usr/bin/dnf",
                         "#!/bin/sh\nroot=\"${0%/usr/bin/dnf}\"\nmkdir -p $root/rpm\n"
                         "for name in \"$@\"; do :> $root/rpm/$name; done\n",
                         0755)
                  .ok());
  programs().On({dnf}, "");
  programs().On(
      {"rpm", "-q"},
      [this](const fakes::FakeSubprocess::Call& call) -> absl::StatusOr<host::ProcessResult> {
        host::ProcessResult result;
        result.exit_code = files().Exists(absl::StrCat("/rpm/", call.argv.back())) ? 0 : 1;
        return result;
      });
}

void FakeMachine::ScriptChips() {
  const auto has_driver = [this] {
    return files().Exists("/usr/local/Ascend/driver/version.info");
  };
  std::string table =
      "| npu-smi 25.0.rc1                 Version: 25.0.rc1 |\n"
      "| NPU   Name | Health | Power(W) Temp(C) Hugepages-Usage(page)|\n"
      "| Chip | Bus-Id | AICore(%) Memory-Usage(MB) HBM-Usage(MB) |\n";
  for (int i = 0; i < kChips; ++i) {
    absl::StrAppend(&table, "| ", i, " 910B3 | OK | 92.0 39 0 / 0 |\n| 0 | 0000:C", i,
                    ":00.0 | 0 0 / 0 3314 / 65536 |\n");
  }
  programs().On({"npu-smi", "info"},
                [=](const fakes::FakeSubprocess::Call&) -> absl::StatusOr<host::ProcessResult> {
                  if (!has_driver()) return absl::NotFoundError("npu-smi: no such program");
                  return host::ProcessResult{0, absl::StrCat(table, "+====+\n"), "", false};
                });
  for (int chip = 0; chip < kChips; ++chip) {
    const auto answer = [&](const char* what, const std::string& text) {
      programs().On({"hccn_tool", "-i", absl::StrCat(chip), what, "-g"}, text);
    };
    answer("-ip", absl::StrCat("ipaddr:29.1.0.", chip, "\nnetmask:255.255.0.0\n"));
    answer("-tls", absl::StrCat("dev_id:", chip, ", tls switch[0](0:disable, 1:enable)\n"));
    answer("-link", "link status: UP\n");
    answer("-ping", "3 packets transmitted, 3 received, 0.00% packet loss\n");
  }
}

void FakeMachine::ScriptDocker() {
  docker().SetDown(true);
  system().OnSystemctl({"is-active"}, [this](const Argv&) -> absl::StatusOr<host::ProcessResult> {
    if (daemon_up_) return host::ProcessResult{0, "active\n", "", false};
    return host::ProcessResult{3, "inactive\n", "", false};
  });
  system().OnSystemctl({"--no-block"}, [this](const Argv&) -> absl::StatusOr<host::ProcessResult> {
    StartDaemon();
    return host::ProcessResult{};
  });
  programs().On(
      {"tar"}, [this](const fakes::FakeSubprocess::Call&) -> absl::StatusOr<host::ProcessResult> {
        for (const char* program : {"dockerd", "docker", "runc"}) {
          EXPECT_TRUE(files()
                          .Write(absl::StrCat("/usr/bin/.npufleet-docker/docker/", program), "ELF")
                          .ok());
        }
        return host::ProcessResult{};
      });
  programs().On({"tar", "--occurrence=1"},
                [](const fakes::FakeSubprocess::Call& call) -> absl::StatusOr<host::ProcessResult> {
                  if (call.argv.back() == "config.json")
                    return host::ProcessResult{0, R"({"architecture": "arm64"})", "", false};
                  return host::ProcessResult{
                      0,
                      absl::StrCat(R"([{"Config": "config.json", "RepoTags": [")", kImage, "\"]}]"),
                      "", false};
                });
  http().Serve("http://origin/docker.tgz", kDockerArchive);
  http().Serve("http://origin/vllm.tar", kImageArchive);
  host::DockerImage image;
  image.id = absl::StrCat("sha256:", Sha256Hex(kImageArchive));
  image.tags = {kImage};
  image.architecture = "arm64";
  docker().AddArchive(absl::StrCat(verbs::kArtifactFolder, "vllm.tar"), image);
  docker().OnExec({"true"}, "");
}

void FakeMachine::StartDaemon() {
  host::DockerInfo info;
  info.server_version = kDockerVersion;
  const std::string configuration = files().Read("/etc/docker/daemon.json").value_or("");
  info.default_runtime = absl::StrContains(configuration, "ascend") ? "ascend" : "runc";
  docker().SetInfo(info);
  docker().SetDown(false);
  daemon_up_ = true;
}

int FakeMachine::StartProcess(Argv argv, std::map<std::string, std::string> environment) {
  const std::string container = docker().InspectContainer(kContainer).value().id;
  host::ProcessInfo process;
  process.pid = NextPid();
  process.start_ticks = static_cast<uint64_t>(process.pid);
  process.argv = argv;
  process.environment = std::move(environment);
  system().AddProcess(process);
  absl::MutexLock lock(&processes_mutex_);
  const bool is_ray = absl::StrContains(argv[0], "/ray/");
  processes_.push_back({process.pid, container, is_ray});
  std::vector<int> pids;
  for (const Process& one : processes_) {
    if (one.container == container) pids.push_back(one.pid);
  }
  docker().SetProcesses(container, pids);
  return process.pid;
}

bool FakeMachine::Lives(int pid) {
  if (!system().InspectProcess(pid).ok()) return false;
  const auto pids = docker().ListProcesses(kContainer);
  return pids.ok() && std::find(pids->begin(), pids->end(), pid) != pids->end();
}

void FakeMachine::EndRay() {
  absl::MutexLock lock(&processes_mutex_);
  for (const Process& process : processes_) {
    if (process.is_ray) system().RemoveProcess(process.pid);
  }
}

void FakeMachine::ScriptRay() {
  docker().OnExec(EntryArgv({"ray", "start"}),
                  [this](const host::ExecSpec& spec) { return StartRay(spec); });
  docker().OnExec(EntryArgv({"ray", "stop", "--force"}),
                  [this](const host::ExecSpec&) -> absl::StatusOr<host::ExecResult> {
                    EndRay();
                    return host::ExecResult{0, "Stopped all Ray processes.\n", ""};
                  });
  docker().OnExec(EntryArgv({"python3", "-c"}),
                  [this](const host::ExecSpec&) -> absl::StatusOr<host::ExecResult> {
                    return host::ExecResult{0, ray_.Answer(), ""};
                  });
}

absl::StatusOr<host::ExecResult> FakeMachine::StartRay(const host::ExecSpec& spec) {
  const bool is_head = Contains(spec.argv, "--head");
  std::string head = absl::StrCat(address_, ":6379");
  for (const std::string& word : spec.argv) {
    if (absl::StartsWith(word, "--address=")) head = word.substr(word.find('=') + 1);
  }
  const std::string session = absl::StrCat("--session-name=", kSession);
  if (is_head) {
    StartProcess(
        {"/usr/lib/python3/ray/core/src/ray/gcs/gcs_server", "--gcs_server_port=6379", session},
        spec.environment);
  }
  FakeRayCluster::Member member;
  member.id = absl::StrCat(name_, "-", NextPid());
  member.address = address_;
  member.npus = kChips;
  const int raylet = StartProcess(
      {"/usr/lib/python3/ray/core/src/ray/raylet/raylet", absl::StrCat("--gcs-address=", head),
       session, absl::StrCat("--node_id=", member.id)},
      spec.environment);
  member.is_alive = [this, raylet] { return Lives(raylet); };
  member.lose_head = [this, raylet] { system().RemoveConnections(raylet); };
  if (is_head) {
    ray_.StartHead(member);
  } else {
    const std::vector<std::string> parts = absl::StrSplit(head, ':');
    int port = 0;
    EXPECT_TRUE(absl::SimpleAtoi(parts.at(1), &port));
    system().AddConnection(raylet, parts[0], static_cast<uint16_t>(port));
    ray_.Join(member);
  }
  return host::ExecResult{0, "Ray runtime started.\n", ""};
}

bool FakeMachine::EngineLives() { return Lives(engine_); }

void FakeMachine::ScriptEngine() {
  docker().OnExec(EntryArgv({"vllm", "--version"}), "INFO plugin\n0.8.4\n");
  docker().OnExec(
      EntryArgv({"vllm", "serve", "--help"}),
      "usage: vllm serve\n  --served-model-name --reasoning-parser --tensor-parallel-size --port\n"
      "  --distributed-executor-backend --enforce-eager --enable-reasoning --max-model-len\n");
  docker().OnExec(EntryArgv({"vllm", "serve", kModel}),
                  [this](const host::ExecSpec& spec) -> absl::StatusOr<host::ExecResult> {
                    engine_ =
                        StartProcess({"/usr/bin/python3", "/usr/local/bin/vllm", "serve", kModel},
                                     spec.environment);
                    return host::ExecResult{};
                  });
  docker().OnExec({"tail"}, [](const host::ExecSpec& spec) -> absl::StatusOr<host::ExecResult> {
    const std::string log = "INFO:     Application startup complete.\n";
    size_t offset = 0;
    EXPECT_TRUE(absl::SimpleAtoi(spec.argv[2].substr(1), &offset));
    return host::ExecResult{0, log.substr(std::min(offset - 1, log.size())), ""};
  });
  const auto answer = [this](const std::string& method, const std::string& path,
                             const std::string& body) {
    http().On(method, absl::StrCat("http://", address_, ":8006", path),
              [this, body](const host::HttpRequest&) -> absl::StatusOr<host::HttpResponse> {
                if (!EngineLives()) return absl::UnavailableError("connection refused");
                host::HttpResponse response;
                response.status = 200;
                response.body = body;
                return response;
              });
  };
  answer("GET", "/health", "");
  answer("GET", "/metrics", "vllm:generation_tokens_total{model_name=\"tiny\"} 5.0\n");
  answer("GET", "/v1/models",
         absl::StrCat(R"({"object":"list","data":[{"id":")", kServedName, R"("}]})"));
  answer(
      "POST", "/v1/chat/completions",
      R"({"object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"Qwen"},)"
      R"("finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}})");
}

std::string NameOfNode(int index) {
  return absl::StrCat("node-", std::string(1, static_cast<char>('a' + index)));
}

std::string AddressOfNode(int index) { return absl::StrCat("192.168.0.", 15 + index); }

v1::Deployment MakeDeployment(int nodes) {
  v1::Deployment deployment;
  deployment.set_api_version("npufleet/v1");
  deployment.set_kind("Deployment");
  deployment.mutable_metadata()->set_name("tiny");
  v1::DeploymentSpec& spec = *deployment.mutable_spec();
  for (int i = 0; i < nodes; ++i) {
    v1::Node& node = *spec.add_nodes();
    node.set_name(NameOfNode(i));
    node.set_address(AddressOfNode(i));
    node.set_nic("eth0");
    node.set_role(i == 0 ? v1::Node::HEAD : v1::Node::WORKER);
  }
  spec.set_chips_per_node(kChips);
  spec.mutable_preflight()->set_architecture("aarch64");
  spec.mutable_packages()->add_install("wget");
  spec.mutable_driver()->set_version("25.0.rc1");
  *spec.mutable_driver()->mutable_driver() =
      MakeArtifact("driver.run", DriverInstaller(absl::StrCat(kInstallsDriver, kTakesEffect)));
  spec.mutable_docker()->mutable_binary()->set_version(kDockerVersion);
  *spec.mutable_docker()->mutable_binary()->mutable_archive() =
      MakeArtifact("docker.tgz", kDockerArchive);
  spec.mutable_runtime()->set_version("6.0.0");
  *spec.mutable_runtime()->mutable_installer() = MakeArtifact("runtime.run", kRuntimeInstaller);
  spec.mutable_image()->set_name(kImage);
  *spec.mutable_image()->add_sources()->mutable_archive() = MakeArtifact("vllm.tar", kImageArchive);
  spec.mutable_model()->set_path(kModel);
  spec.mutable_model()->add_sources()->set_local_directory(true);
  spec.mutable_container()->set_name(kContainer);
  spec.mutable_container()->add_volumes("/data:/data");
  spec.mutable_engine()->set_served_model_name(kServedName);
  spec.mutable_engine()->set_tensor_parallel_size(static_cast<uint32_t>(nodes * kChips));
  spec.mutable_retry()->set_attempts(3);
  spec.mutable_retry()->mutable_initial_backoff()->set_nanos(10'000'000);
  spec.mutable_retry()->mutable_max_backoff()->set_nanos(50'000'000);
  return deployment;
}

}  // namespace npufleet::integration
