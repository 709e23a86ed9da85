// SPDX-License-Identifier: Apache-2.0
#include "agent/verbs/ray.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "agent/verbs/container_exec.h"
#include "agent/verbs/observation.h"
#include "agent/verbs/signatures.h"
#include "agent/verbs/sweep.h"
#include "common/status_macros.h"

namespace npufleet::verbs {
namespace {

constexpr absl::Duration kAskDeadline = absl::Seconds(45);
constexpr absl::Duration kStopDeadline = absl::Seconds(60);

constexpr char kAnswerMark[] = "@@";
constexpr char kAskScript[] = R"(import json, sys, ray
ray.init(address=sys.argv[1], log_to_driver=False, logging_level="ERROR")
print("\n@@" + json.dumps({
    "nodes": [{"id": n["NodeID"], "address": n["NodeManagerAddress"],
               "npu": n["Resources"].get("NPU", 0)} for n in ray.nodes() if n["Alive"]],
    "total": ray.cluster_resources().get("NPU", 0),
    "free": ray.available_resources().get("NPU", 0)}))
)";

bool IsRay(const std::vector<std::string>& argv) {
  static const ArgvPredicate is_gcs_server = ProgramIs("gcs_server");
  static const ArgvPredicate is_raylet = ProgramIs("raylet");
  return is_gcs_server(argv) || is_raylet(argv) ||
         (!argv.empty() && absl::StartsWith(argv[0], "ray::"));
}

std::string LastLine(std::string_view output) {
  const std::vector<std::string> lines = LastLines(output, 1);
  return lines.empty() ? "no output" : lines.back();
}

absl::Status ExplainedFailure(const RayStart& start, const host::ExecResult& result) {
  const std::string output = result.Combined();
  v1::Failure otherwise;
  otherwise.set_class_(v1::Failure::TRANSIENT);
  otherwise.set_symptom(
      absl::StrCat("ray start ended with ", result.exit_code, ": ", LastLine(output)));
  otherwise.set_advice("See /tmp/ray/session_latest/logs in the container.");
  return FailureOfOutput(start.stage, output, otherwise);
}

// Ray's processes end with `ray stop`, which sees its own container only; what does not is killed.
absl::Status StopIfThere(host::Host& host, std::string_view container, Execution& execution) {
  const auto remaining = [&] { return FindProcesses(host, container, IsRay); };
  ASSIGN_OR_RETURN(const std::vector<host::ProcessInfo> processes, remaining());
  if (processes.empty()) return absl::OkStatus();
  execution.Log(absl::StrCat("ray stop --force (", processes.size(), " processes)"));
  ContainerCommand stop;
  stop.argv = {"ray", "stop", "--force"};
  stop.deadline = kStopDeadline;
  absl::StatusOr<host::ExecResult> stopped = ExecInContainer(host, container, stop, &execution);
  if (absl::IsCancelled(stopped.status())) return stopped.status();
  return EndProcesses(host, execution, std::nullopt, absl::ZeroDuration(), remaining);
}

}  // namespace

std::string ArgumentOf(const std::vector<std::string>& argv, std::string_view name) {
  for (size_t i = 0; i < argv.size(); ++i) {
    if (!absl::StartsWith(argv[i], "--")) continue;
    const size_t equals = argv[i].find('=');
    const std::string option = absl::StrReplaceAll(
        argv[i].substr(2, equals == std::string::npos ? equals : equals - 2), {{"_", "-"}});
    if (option != name) continue;
    if (equals != std::string::npos) return argv[i].substr(equals + 1);
    if (i + 1 < argv.size()) return argv[i + 1];
  }
  return "";
}

std::string RayProcesses::Session() const {
  for (const auto* process : {&gcs_server, &raylet}) {
    if (!process->has_value()) continue;
    std::string session = ArgumentOf((*process)->argv, "session-name");
    if (!session.empty()) return session;
  }
  return "";
}

std::string RayProcesses::NodeId() const {
  if (!raylet.has_value()) return "";
  std::string id = ArgumentOf(raylet->argv, "node-id");
  if (!id.empty()) return id;
  const std::string stamp = EnvironmentOf(*raylet, kStampVariable);
  for (const host::ProcessInfo& process : all) {
    if (process.start_ticks < raylet->start_ticks) continue;
    if (EnvironmentOf(process, kStampVariable) != stamp) continue;
    id = EnvironmentOf(process, "RAY_NODE_ID");
    if (!id.empty()) return id;
  }
  return "";
}

absl::StatusOr<RayProcesses> FindRay(host::Host& host, std::string_view container) {
  // The agents' argv is not the same in all versions; their environment is.
  ASSIGN_OR_RETURN(std::vector<host::ProcessInfo> processes,
                   FindProcesses(host, container, [](const auto&) { return true; }));
  static const ArgvPredicate is_gcs_server = ProgramIs("gcs_server");
  static const ArgvPredicate is_raylet = ProgramIs("raylet");
  RayProcesses ray;
  for (host::ProcessInfo& process : processes) {
    if (!ray.gcs_server.has_value() && is_gcs_server(process.argv)) ray.gcs_server = process;
    if (!ray.raylet.has_value() && is_raylet(process.argv)) ray.raylet = process;
    if (IsRay(process.argv) || process.environment.count("RAY_NODE_ID") != 0) {
      ray.all.push_back(std::move(process));
    }
  }
  return ray;
}

bool IsRayItself(const host::ProcessInfo& process) {
  if (process.argv.empty() || absl::StartsWith(process.argv[0], "ray::")) return false;
  if (IsRay(process.argv)) return true;
  for (const std::string& argument : process.argv) {
    for (const char* part : {"/ray/dashboard/", "/ray/_private/", "/ray/autoscaler/"}) {
      if (absl::StrContains(argument, part) && !absl::StrContains(argument, "default_worker.py"))
        return true;
    }
  }
  return false;
}

bool HasStamp(const std::optional<host::ProcessInfo>& process, std::string_view stamp) {
  return process.has_value() && EnvironmentOf(*process, kStampVariable) == stamp;
}

std::optional<RayCluster> ParseCluster(std::string_view output) {
  using Json = nlohmann::json;
  for (absl::string_view line : absl::StrSplit(std::string(output), absl::ByAnyChar("\r\n"))) {
    if (!absl::ConsumePrefix(&line, kAnswerMark)) continue;
    const Json answer = Json::parse(line.begin(), line.end(), nullptr, false);
    if (!answer.is_object() || !answer.contains("nodes") || !answer["nodes"].is_array()) continue;
    const auto number = [](const Json& object, const char* member) {
      const auto found = object.find(member);
      return found != object.end() && found->is_number() ? found->get<double>() : 0.0;
    };
    const auto text = [](const Json& object, const char* member) {
      const auto found = object.find(member);
      return found != object.end() && found->is_string() ? found->get<std::string>() : "";
    };
    RayCluster cluster;
    for (const Json& node : answer["nodes"]) {
      if (!node.is_object()) continue;
      cluster.nodes.push_back({text(node, "id"), text(node, "address"), number(node, "npu")});
    }
    cluster.npu_total = number(answer, "total");
    cluster.npu_free = number(answer, "free");
    return cluster;
  }
  return std::nullopt;
}

absl::StatusOr<RayCluster> AskRay(host::Host& host, std::string_view container,
                                  std::string_view address, uint32_t port, Execution* execution) {
  host::ExecSpec spec;
  spec.container = std::string(container);
  spec.argv =
      EntryArgv({"python3", "-c", kAskScript, absl::StrCat(std::string(address), ":", port)});
  spec.deadline = kAskDeadline;
  if (execution != nullptr) spec.cancelled = [execution] { return execution->IsCancelled(); };
  ASSIGN_OR_RETURN(const host::ExecResult result, host.docker->Exec(spec));
  std::optional<RayCluster> cluster = ParseCluster(result.out);
  if (cluster.has_value()) return *std::move(cluster);
  return absl::UnavailableError(absl::StrCat("Ray at ", std::string(address), ":", port,
                                             " does not answer: ", LastLine(result.Combined())));
}

std::string NpuResources(int chips) { return absl::StrCat("--resources={\"NPU\": ", chips, "}"); }

std::map<std::string, std::string> StampedEnvironment(
    const google::protobuf::Map<std::string, std::string>& environment,
    const v1::Subject& subject) {
  std::map<std::string, std::string> stamped(environment.begin(), environment.end());
  stamped[kTaskVariable] = subject.task();
  stamped[kStampVariable] = subject.stamp();
  return stamped;
}

absl::Status StartRay(host::Host& host, const RayStart& start, Execution& execution) {
  RETURN_IF_ERROR(StopIfThere(host, start.container, execution));
  const SweepScope scope = {start.task, start.container, start.chips};
  RETURN_IF_ERROR(SweepChips(host, scope, execution));
  if (start.port != 0) {
    RETURN_IF_ERROR(SweepPort(host, scope, start.port, "RAH-02", /*refuses=*/true, execution));
  }
  SweepFiles(host, start.container, SweptFolders::kRay, execution);
  if (execution.IsCancelled()) return absl::CancelledError();
  for (const auto& [name, value] : start.environment) {
    execution.Log(absl::StrCat("export ", name, "=", ShellQuoted(value)));
  }
  execution.Log(ShellLine(start.argv));
  ContainerCommand command;
  command.argv = start.argv;
  command.environment = start.environment;
  command.deadline = start.deadline;
  absl::StatusOr<host::ExecResult> result =
      ExecInContainer(host, start.container, command, &execution);
  if (result.ok() && result->exit_code == 0) return absl::OkStatus();
  const absl::Status failure =
      result.ok() ? ExplainedFailure(start, *result) : Annotate(result.status(), "ray start");
  const absl::Status stopped = StopIfThere(host, start.container, execution);
  if (!stopped.ok()) execution.Log(absl::StrCat("ray stop: ", std::string(stopped.message())));
  return failure;
}

absl::Status StopRay(host::Host& host, std::string_view container, Execution& execution) {
  ASSIGN_OR_RETURN(const bool runs, ContainerRuns(host, container));
  if (!runs) return absl::OkStatus();
  return StopIfThere(host, container, execution);
}

}  // namespace npufleet::verbs
