// SPDX-License-Identifier: Apache-2.0
#include "agent/verbs/start_engine/start_engine.h"

#include <map>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "agent/artifacts/manifest.h"
#include "agent/verbs/container_exec.h"
#include "agent/verbs/observation.h"
#include "agent/verbs/proto_duration.h"
#include "agent/verbs/ray.h"
#include "agent/verbs/start_engine/command_line.h"
#include "agent/verbs/start_engine/engine_image.h"
#include "agent/verbs/start_engine/engine_log.h"
#include "agent/verbs/start_engine/last_words.h"
#include "agent/verbs/start_engine/startup.h"
#include "agent/verbs/sweep.h"
#include "common/status_macros.h"

namespace npufleet::verbs {
namespace {

constexpr absl::Duration kStopGrace = absl::Seconds(20);
constexpr absl::Duration kPortLimit = absl::Seconds(30);
constexpr absl::Duration kRayLimit = absl::Seconds(120);
constexpr absl::Duration kRayPeriod = absl::Seconds(2);
constexpr absl::Duration kCheckDeadline = absl::Seconds(2);
constexpr absl::Duration kStartDeadline = absl::Hours(2);
constexpr char kModelOf[] = "model@";
constexpr size_t kShownDigest = sizeof("sha256:") - 1 + 12;

std::string TokenOf(const host::ProcessInfo& process) {
  return absl::StrCat(process.pid, "@", process.start_ticks);
}

class StartEngine : public Verb {
 public:
  StartEngine(const v1::StartEngine& start, const v1::Subject& subject, host::Host& host)
      : start_(start), subject_(subject), host_(host) {}

  v1::Observation Check() override {
    absl::StatusOr<bool> runs = ContainerRuns(host_, start_.container());
    if (!runs.ok()) return Unknown(std::string(runs.status().message()));
    if (!*runs) return Absent(absl::StrCat("container ", start_.container(), " does not run"));
    absl::StatusOr<std::optional<host::ProcessInfo>> server =
        FindStampedProcess(host_, start_.container(), subject_.task(), IsServer);
    if (!server.ok()) return Unknown(std::string(server.status().message()));
    if (!server->has_value()) return Gone();
    BoundEngineLog(host_, start_.container(), **server);
    const std::string token = TokenOf(**server);
    if (!HasStamp(*server, subject_.stamp())) {
      return RefuseUnequalModels(Absent("the server was started for another want", token));
    }
    const std::string health = Health();
    v1::Observation observation =
        health.empty() ? Absent("the server is still starting", token) : Present(token);
    // One that came up loaded what there was then.
    if (!health.empty()) observation.set_reason(UnequalModels());
    auto& facts = *observation.mutable_facts();
    facts["pid"] = absl::StrCat((*server)->pid);
    facts["port"] = absl::StrCat(start_.engine().port());
    facts["log"] = EnvironmentOf(**server, kLogVariable);
    if (!health.empty()) facts["health"] = health;
    return observation;
  }

  absl::Status Apply(Execution& execution) override {
    ASSIGN_OR_RETURN(std::optional<std::string> log, LogOfStartingServer());
    if (log.has_value()) {
      execution.Log("the server is starting already");
    } else {
      if (const std::string unequal = UnequalModels(); !unequal.empty()) return Unequal(unequal);
      ASSIGN_OR_RETURN(log, StartServer(execution));
    }
    const absl::Status up = WaitForStartup(*log, execution);
    // The next agent waits for the server that this one leaves.
    if (up.ok() || execution.AgentStops()) return up;
    // What did not come up must not hold the NPUs, and must not be taken for a server later.
    Unstoppable stopping(execution);
    const absl::Status stopped = EndServers(stopping);
    if (!stopped.ok()) execution.Log(absl::StrCat("stopping: ", std::string(stopped.message())));
    return up;
  }

  absl::Status Stop(Execution& execution) override {
    ASSIGN_OR_RETURN(const bool runs, ContainerRuns(host_, start_.container()));
    if (!runs) return absl::OkStatus();
    RETURN_IF_ERROR(EndServers(execution));
    return WaitForPort(execution);
  }

  absl::Duration CheckPeriod() const override { return absl::Seconds(5); }

 private:
  v1::Observation Gone() {
    v1::Observation observation = Absent("no server process");
    if (std::optional<v1::Failure> cause = LastWords(host_, start_.container()))
      *observation.mutable_cause() = *std::move(cause);
    return RefuseUnequalModels(std::move(observation));
  }

  // Said before an old server is stopped for one that would not be started.
  v1::Observation RefuseUnequalModels(v1::Observation observation) const {
    const std::string unequal = UnequalModels();
    if (!unequal.empty()) *observation.mutable_failure() = ToFailure(Unequal(unequal));
    return observation;
  }

  // Ranks of different weights answer nonsense, and none of them says why.
  static absl::Status Unequal(std::string_view unequal) {
    return SignedFailure(v1::Failure::CONFIG, "MOD-10", std::string(unequal),
                         "Compare the sha256 in the manifests of the nodes, then name one revision "
                         "in model.sources or replace the files of a local directory, and: ctl "
                         "rollout restart NAME --from model");
  }

  // Cleaning up goes on although the operation is cancelled.
  class Unstoppable : public Execution {
   public:
    explicit Unstoppable(Execution& execution) : execution_(execution) {}
    void Log(std::string_view line) override { execution_.Log(line); }
    void Report(const v1::Progress& progress) override { execution_.Report(progress); }
    bool IsCancelled() override { return false; }
    absl::StatusOr<host::ProcessResult> RunDurably(std::string_view step,
                                                   const std::vector<std::string>& argv,
                                                   const host::ProcessOptions& options) override {
      return execution_.RunDurably(step, argv, options);
    }

   private:
    Execution& execution_;
  };

  // Which nodes' model is not this node's; empty: none.
  std::string UnequalModels() const {
    const auto here = subject_.inputs().find("model");
    if (here == subject_.inputs().end() || here->second.empty()) return "";
    std::map<std::string, std::string> others;  // sorted: a Check says the same each time
    for (const auto& [need, token] : subject_.inputs()) {
      if (!absl::StartsWith(need, kModelOf) || token.empty() || token == here->second) continue;
      others[need.substr(sizeof(kModelOf) - 1)] = token.substr(0, kShownDigest);
    }
    if (others.empty()) return "";
    const std::string node = subject_.task().substr(subject_.task().find('@') + 1);
    return absl::StrCat("the model's files on ", node, " (", here->second.substr(0, kShownDigest),
                        ") are not those on ",
                        absl::StrJoin(others, ", ",
                                      [](std::string* text, const auto& other) {
                                        absl::StrAppend(text, other.first, " (", other.second, ")");
                                      }),
                        " (", start_.model_path(), "/", std::string(artifacts::kManifestName), ")");
  }

  // What /health says; empty while the port is closed.
  std::string Health() {
    host::HttpRequest request;
    request.url = absl::StrCat("http://", start_.address(), ":", start_.engine().port(), "/health");
    request.deadline = kCheckDeadline;
    request.direct = true;
    absl::StatusOr<host::HttpResponse> response = host_.http->Send(request);
    if (response.ok()) return absl::StrCat("HTTP ", response->status);
    if (absl::IsDeadlineExceeded(response.status())) return "no answer";
    return "";
  }

  absl::StatusOr<std::optional<std::string>> LogOfStartingServer() {
    ASSIGN_OR_RETURN(const bool runs, ContainerRuns(host_, start_.container()));
    if (!runs) return ContainerGone();
    ASSIGN_OR_RETURN(std::optional<host::ProcessInfo> server,
                     FindStampedProcess(host_, start_.container(), subject_.task(), IsServer));
    if (!HasStamp(server, subject_.stamp()) || !Health().empty()) return std::nullopt;
    std::string log = EnvironmentOf(*server, kLogVariable);
    if (log.empty()) return std::nullopt;
    return log;
  }

  absl::Status ContainerGone() const {
    return SignedFailure(v1::Failure::REDO, "RBT-03",
                         absl::StrCat("container ", start_.container(), " does not run"),
                         "The container is started again.", "container");
  }

  // Returns the path of its log in the container.
  absl::StatusOr<std::string> StartServer(Execution& execution) {
    ASSIGN_OR_RETURN(const host::DockerContainer container,
                     host_.docker->InspectContainer(start_.container()));
    std::map<std::string, std::string> environment(start_.engine().environment().begin(),
                                                   start_.engine().environment().end());
    ASSIGN_OR_RETURN(
        const EngineImage image,
        AskEngineImage(host_, start_.container(), container.image_id, environment, execution));
    ASSIGN_OR_RETURN(EngineCommandLine line, BuildCommandLine(start_.model_path(), start_.engine(),
                                                              image.version, image.options));
    for (const std::string& note : line.notes) execution.Log(absl::StrCat("note: ", note));
    RETURN_IF_ERROR(EndServers(execution));
    const SweepScope scope = Scope();
    RETURN_IF_ERROR(SweepPort(host_, scope, static_cast<uint16_t>(start_.engine().port()), "SRV-22",
                              /*refuses=*/false, execution));
    RETURN_IF_ERROR(WaitForPort(execution));
    RETURN_IF_ERROR(WaitForRay(execution));
    // As Ray lends nobody an NPU now, a rank that still holds one is no longer of use.
    RETURN_IF_ERROR(SweepChips(host_, scope, execution));
    SweepFiles(host_, start_.container(), SweptFolders::kSharedMemory, execution);
    if (execution.IsCancelled()) return absl::CancelledError();

    RemoveOldEngineLogs(host_, start_.container(), execution);
    const std::string log = EngineLogPath(host_.clock->Now());
    for (const auto& [name, value] : line.environment) {
      execution.Log(absl::StrCat("export ", name, "=", ShellQuoted(value)));
    }
    execution.Log(ShellLine(line.argv));
    ContainerCommand serve;
    serve.argv = std::move(line.argv);
    serve.environment = std::move(line.environment);
    serve.environment.insert({"VLLM_HOST_IP", start_.address()});
    serve.environment[kTaskVariable] = subject_.task();
    serve.environment[kStampVariable] = subject_.stamp();
    serve.environment[kLogVariable] = log;
    serve.detach = true;
    RETURN_IF_ERROR(Annotate(ExecInContainer(host_, start_.container(), serve, &execution).status(),
                             "vllm serve"));
    return log;
  }

  // The chips are those that the server is told of; Ray itself stays.
  SweepScope Scope() const {
    SweepScope scope;
    scope.task = subject_.task();
    scope.container = start_.container();
    const auto visible = start_.engine().environment().find("ASCEND_RT_VISIBLE_DEVICES");
    if (visible != start_.engine().environment().end()) {
      for (const auto& text : absl::StrSplit(visible->second, ',')) {
        uint32_t chip = 0;
        if (absl::SimpleAtoi(text, &chip)) scope.chips.insert(chip);
      }
    }
    scope.keeps = [](const host::ProcessInfo& process) { return IsRayItself(process); };
    return scope;
  }

  // Which node a rank of another node ran on: its name, too, where only one other has Ray.
  std::string NodeOf(std::string_view address) const {
    if (address.empty() || address == start_.address()) return "";
    constexpr std::string_view kWorker = "ray-worker@";
    std::set<std::string> workers;
    for (const auto& [need, token] : subject_.inputs()) {
      if (need.starts_with(kWorker)) workers.insert(need.substr(kWorker.size()));
    }
    if (workers.size() != 1) return std::string(address);
    return absl::StrCat(*workers.begin(), " (", std::string(address), ")");
  }

  absl::Status WaitForStartup(const std::string& log, Execution& execution) {
    StartupWant want;
    want.container = start_.container();
    want.log_path = log;
    want.url = absl::StrCat("http://", start_.address(), ":", start_.engine().port());
    want.model = start_.engine().served_model_name();
    want.deadline = ToDuration(start_.engine().start_deadline(), kStartDeadline);
    want.node_of = [this](std::string_view address) { return NodeOf(address); };
    want.server = [this]() -> absl::StatusOr<std::optional<int>> {
      ASSIGN_OR_RETURN(std::optional<host::ProcessInfo> server,
                       FindStampedProcess(host_, start_.container(), subject_.task(), IsServer));
      if (!HasStamp(server, subject_.stamp())) return std::nullopt;
      // The observer does not check a task while it is applied.
      BoundEngineLog(host_, start_.container(), *server);
      return server->pid;
    };
    return AwaitStartup(host_, want, execution);
  }

  // All processes of this task, of whatever stamp: the server first, its children if they outlive
  // it.
  absl::Status EndServers(Execution& execution) {
    const auto remaining = [this]() -> absl::StatusOr<std::vector<host::ProcessInfo>> {
      ASSIGN_OR_RETURN(const bool runs, ContainerRuns(host_, start_.container()));
      if (!runs) return std::vector<host::ProcessInfo>();
      ASSIGN_OR_RETURN(std::vector<host::ProcessInfo> processes,
                       FindProcesses(host_, start_.container(), [](const auto&) { return true; }));
      std::erase_if(processes, [this](const host::ProcessInfo& process) {
        return EnvironmentOf(process, kTaskVariable) != subject_.task();
      });
      return processes;
    };
    ASSIGN_OR_RETURN(const std::vector<host::ProcessInfo> processes, remaining());
    if (processes.empty()) return absl::OkStatus();
    return EndProcesses(host_, execution, processes.front().pid, kStopGrace, remaining);
  }

  absl::Status WaitForPort(Execution& execution) {
    host::ListeningPort holder;
    absl::Status waited = WaitUntil(host_, execution, "freeing the port", kPortLimit,
                                    absl::Milliseconds(500), [&]() -> absl::StatusOr<bool> {
                                      ASSIGN_OR_RETURN(const std::vector<host::ListeningPort> ports,
                                                       host_.system->ListeningTcpPorts());
                                      for (const host::ListeningPort& port : ports) {
                                        if (port.port != start_.engine().port()) continue;
                                        holder = port;
                                        return false;
                                      }
                                      return true;
                                    });
    if (!absl::IsDeadlineExceeded(waited)) return waited;
    return SignedFailure(v1::Failure::NEEDS_OPERATOR, "SRV-22",
                         absl::StrCat("port ", start_.engine().port(), " is held by process ",
                                      holder.pid, " (", holder.command, ")"),
                         "It is not ours: stop it, or choose another engine.port in the spec.");
  }

  absl::Status WaitForRay(Execution& execution) {
    absl::StatusOr<RayCluster> cluster;
    absl::Status waited = WaitUntil(
        host_, execution, "waiting for Ray's NPUs", kRayLimit, kRayPeriod,
        [&]() -> absl::StatusOr<bool> {
          cluster =
              AskRay(host_, start_.container(), start_.address(), start_.ray_port(), &execution);
          if (absl::IsCancelled(cluster.status())) return cluster.status();
          if (!cluster.ok()) return false;
          execution.Log(absl::StrCat("Ray: ", cluster->nodes.size(), " nodes, ", cluster->npu_total,
                                     " NPU, ", cluster->npu_free, " free"));
          return RayFault(*cluster).ok();
        });
    if (!absl::IsDeadlineExceeded(waited)) return waited;
    if (cluster.ok()) return RayFault(*cluster);
    return SignedFailure(v1::Failure::REDO, "RAH-07", std::string(cluster.status().message()),
                         "Ray is started again.", "ray-head");
  }

  // Why the server cannot start on this cluster.
  absl::Status RayFault(const RayCluster& cluster) const {
    const std::string seen = absl::StrCat(
        "Ray has ", cluster.nodes.size(), " of ", start_.expected_nodes(), " nodes, ",
        cluster.npu_total, " of ", start_.expected_chips(), " NPU, ", cluster.npu_free, " free");
    if (cluster.nodes.size() < start_.expected_nodes()) {
      return SignedFailure(v1::Failure::REDO, "RAW-05", seen, "A worker has left: it joins again.",
                           "ray-worker");
    }
    if (cluster.npu_total != start_.expected_chips() ||
        cluster.nodes.size() > start_.expected_nodes()) {
      return SignedFailure(v1::Failure::REDO, "RAH-05", seen,
                           "Ray does not offer the NPUs that the spec names: it is started again.",
                           "ray-head");
    }
    if (cluster.npu_free < cluster.npu_total) {
      return SignedFailure(v1::Failure::REDO, "RAH-06", seen,
                           "An earlier server still holds NPUs in Ray: Ray is started again.",
                           "ray-head");
    }
    return absl::OkStatus();
  }

  const v1::StartEngine start_;
  const v1::Subject subject_;
  host::Host& host_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Verb>> MakeStartEngine(const v1::StartEngine& start,
                                                      const v1::Subject& subject,
                                                      host::Host& host) {
  if (start.container().empty()) return absl::InvalidArgumentError("start_engine: no container");
  if (start.model_path().empty()) return absl::InvalidArgumentError("start_engine: no model_path");
  if (start.address().empty() || start.ray_port() == 0) {
    return absl::InvalidArgumentError("start_engine: no address or ray_port");
  }
  if (start.engine().port() == 0) return absl::InvalidArgumentError("start_engine: no engine.port");
  return std::make_unique<StartEngine>(start, subject, host);
}

}  // namespace npufleet::verbs
