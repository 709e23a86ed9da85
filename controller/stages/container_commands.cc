// SPDX-License-Identifier: Apache-2.0
#include "controller/stages/container_commands.h"

#include <map>
#include <optional>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "common/spec/engine_version.h"
#include "common/spec/foreign_options.h"
#include "controller/stages/shell_line.h"

namespace npufleet::stages {
namespace {

using Lines = std::vector<std::string>;
using Environment = google::protobuf::Map<std::string, std::string>;

// A map of the wire has no order of its own.
std::map<std::string, std::string> Sorted(const Environment& environment) {
  return {environment.begin(), environment.end()};
}

// One command over several lines, as the runbook writes long ones.
Lines Continued(const Lines& parts) {
  Lines lines;
  for (size_t i = 0; i < parts.size(); ++i)
    lines.push_back(absl::StrCat(parts[i], i + 1 < parts.size() ? " \\" : ""));
  return lines;
}

// Typed in a shell of the container.
Lines InContainer(const std::string& container, const Lines& typed) {
  Lines lines = {absl::StrCat("docker exec -it ", Quoted(container), " /bin/bash")};
  lines.insert(lines.end(), typed.begin(), typed.end());
  lines.push_back("exit");
  return lines;
}

Lines StartRay(const std::string& container, const Environment& environment,
               const std::vector<std::string>& argv) {
  Lines typed;
  for (const auto& [name, value] : Sorted(environment))
    typed.push_back(absl::StrCat("export ", Assignment(name, value)));
  typed.push_back(ShellLine(argv));
  return InContainer(container, typed);
}

std::string Number(double value) { return absl::StrFormat("%g", value); }

// From here on there is no --enable-reasoning, and no V0 engine.
constexpr spec::EngineVersion kParserAlone = {0, 10, 0, 0};

struct EngineOptions {
  bool enable_reasoning = false;
  std::map<std::string, std::string> environment;
  std::vector<std::string> arguments;  // of extraArgs
  Lines notes;
};

EngineOptions AdaptedTo(const std::string& image, const v1::StartEngine& start) {
  const v1::Engine& engine = start.engine();
  const std::optional<spec::EngineVersion> version = spec::EngineVersionOf(image);
  EngineOptions options = {.enable_reasoning = engine.enable_reasoning(),
                           .environment = Sorted(engine.environment()),
                           .arguments = {engine.extra_args().begin(), engine.extra_args().end()}};
  const auto note = [&](const std::string& text) { options.notes.push_back("# " + text); };
  if (version.has_value() && *version >= kParserAlone) {
    const std::string name = absl::StrCat("vLLM ", spec::ToString(*version));
    if (options.enable_reasoning)
      note(absl::StrCat("--enable-reasoning dropped: ", name, " takes --reasoning-parser alone"));
    options.enable_reasoning = false;
    const auto v1 = options.environment.find("VLLM_USE_V1");
    if (v1 != options.environment.end() && v1->second == "0") {
      options.environment.erase(v1);
      note(absl::StrCat("VLLM_USE_V1=0 dropped: ", name, " has the V1 engine only"));
    }
  }
  const absl::StatusOr<spec::MappedOptions> mapped =
      spec::MapForeignOptions(options.arguments, std::set<std::string>(), start.model_path());
  if (!mapped.ok()) {
    note(absl::StrCat("would be refused: ", std::string(mapped.status().message())));
    return options;
  }
  options.arguments = mapped->arguments;
  options.environment.insert(mapped->environment.begin(), mapped->environment.end());
  for (const std::string& one : mapped->notes) note(one);
  return options;
}

}  // namespace

Lines RunContainerCommands(const v1::RunContainer& run, const std::string& standing) {
  Lines parts = {"docker run -itd", absl::StrCat("--name ", Quoted(run.name()))};
  if (run.privileged()) parts.push_back("--privileged");
  if (!run.network().empty()) parts.push_back(absl::StrCat("--network ", Quoted(run.network())));
  if (!run.shm_size().empty()) parts.push_back(absl::StrCat("--shm-size ", Quoted(run.shm_size())));
  for (const std::string& device : run.devices())
    parts.push_back(absl::StrCat("--device=", Quoted(device)));
  for (const std::string& volume : run.volumes())
    parts.push_back(absl::StrCat("-v ", Quoted(volume)));
  for (const auto& [name, value] : Sorted(run.environment()))
    parts.push_back(absl::StrCat("-e ", Assignment(name, value)));
  parts.push_back(Quoted(run.image()));
  if (run.command_size() > 0)
    parts.push_back(ShellLine({run.command().begin(), run.command().end()}));
  Lines lines;
  if (!standing.empty()) lines.push_back(absl::StrCat("docker rm -f ", Quoted(run.name())));
  const Lines command = Continued(parts);
  lines.insert(lines.end(), command.begin(), command.end());
  return lines;
}

Lines StartRayHeadCommands(const v1::StartRayHead& start) {
  std::vector<std::string> argv = {"ray",
                                   "start",
                                   "--head",
                                   absl::StrCat("--port=", start.port()),
                                   absl::StrCat("--node-ip-address=", start.address()),
                                   absl::StrCat("--resources={\"NPU\": ", start.chips_size(), "}")};
  argv.insert(argv.end(), start.extra_args().begin(), start.extra_args().end());
  return StartRay(start.container(), start.environment(), argv);
}

Lines StartRayWorkerCommands(const v1::StartRayWorker& start) {
  std::vector<std::string> argv = {
      "ray", "start", absl::StrCat("--address=", start.head_address(), ":", start.head_port()),
      absl::StrCat("--node-ip-address=", start.address()),
      absl::StrCat("--resources={\"NPU\": ", start.chips_size(), "}")};
  argv.insert(argv.end(), start.extra_args().begin(), start.extra_args().end());
  return StartRay(start.container(), start.environment(), argv);
}

Lines StartEngineCommands(const v1::StartEngine& start, const std::string& image) {
  const v1::Engine& engine = start.engine();
  const EngineOptions adapted = AdaptedTo(image, start);
  Lines parts;
  for (const auto& [name, value] : adapted.environment) parts.push_back(Assignment(name, value));
  parts.push_back(absl::StrCat("vllm serve ", Quoted(start.model_path())));
  const auto add = [&parts](const char* option, const std::string& value) {
    if (!value.empty()) parts.push_back(absl::StrCat(option, " ", Quoted(value)));
  };
  const auto count = [&add](const char* option, uint32_t value) {
    if (value > 0) add(option, absl::StrCat(value));
  };
  const auto flag = [&parts](const char* option, bool wanted) {
    if (wanted) parts.push_back(option);
  };
  add("--served-model-name", engine.served_model_name());
  flag("--enable-reasoning", adapted.enable_reasoning);
  add("--reasoning-parser", engine.reasoning_parser());
  if (engine.has_gpu_memory_utilization())
    add("--gpu-memory-utilization", Number(engine.gpu_memory_utilization()));
  count("--tensor-parallel-size", engine.tensor_parallel_size());
  if (engine.pipeline_parallel_size() > 1)
    count("--pipeline-parallel-size", engine.pipeline_parallel_size());
  flag("--enable-expert-parallel", engine.enable_expert_parallel());
  count("--port", engine.port());
  count("--block-size", engine.block_size());
  add("--distributed_executor_backend", engine.distributed_executor_backend());
  flag("--enforce-eager", engine.enforce_eager());
  count("--max-model-len", engine.max_model_len());
  count("--max-num-batched-tokens", engine.max_num_batched_tokens());
  count("--max-num-seqs", engine.max_num_seqs());
  add("--dtype", engine.dtype());
  if (engine.has_swap_space()) add("--swap-space", Number(engine.swap_space()));
  if (engine.has_cpu_offload_gb()) add("--cpu-offload-gb", Number(engine.cpu_offload_gb()));
  add("--quantization", engine.quantization());
  flag("--trust-remote-code", engine.trust_remote_code());
  add("--host", engine.host());
  if (!adapted.arguments.empty()) parts.push_back(ShellLine(adapted.arguments));
  Lines lines = adapted.notes;
  for (std::string& line : InContainer(start.container(), Continued(parts)))
    lines.push_back(std::move(line));
  return lines;
}

Lines ProbeEngineCommands(const v1::ProbeEngine& probe) {
  const auto text = [](const std::string& value) {
    return absl::StrReplaceAll(value, {{"\\", "\\\\"}, {"\"", "\\\""}, {"\n", "\\n"}});
  };
  const std::string body = absl::StrCat(
      R"({"model": ")", text(probe.model()), R"(", "messages": [{"role": "user", "content": ")",
      text(probe.prompt()), R"("}], "max_tokens": )", probe.max_tokens(), R"(, "stream": false})");
  return {absl::StrCat(
      "curl -H 'Accept: application/json' -H 'Content-Type: application/json' -X POST -d ",
      Quoted(body), " ", Quoted(absl::StrCat(probe.url(), "/v1/chat/completions")))};
}

}  // namespace npufleet::stages
