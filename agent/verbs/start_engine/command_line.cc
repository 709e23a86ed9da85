// SPDX-License-Identifier: Apache-2.0
#include "agent/verbs/start_engine/command_line.h"

#include <re2/re2.h>

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "agent/verbs/observation.h"
#include "common/spec/foreign_options.h"

namespace npufleet::verbs {
namespace {

constexpr EngineVersion kExpertParallel = {0, 8, 0};        // vllm #14305
constexpr EngineVersion kNoReasoningFlag = {0, 10, 0};      // vllm #20979
constexpr EngineVersion kOnlyV1 = {0, 10, 0};               // vllm-ascend 0.10.0rc1
constexpr EngineVersion kReasoningParserAlone = {0, 9, 0};  // vllm #17452

std::string Number(double value) { return absl::StrCat(value); }

// "--distributed_executor_backend=ray" -> "distributed-executor-backend"; empty for what is no long
// option.
std::string OptionName(std::string_view argument) {
  if (argument.substr(0, 2) != "--" || argument.size() < 3) return "";
  const std::string_view name = argument.substr(2, argument.find_first_of("=.") - 2);
  return absl::StrReplaceAll(std::string(name), {{"_", "-"}});
}

absl::Status Rejected(std::string_view option, const std::optional<EngineVersion>& version) {
  const std::string name =
      absl::StrCat("vLLM ", version.has_value() ? ToString(*version) : "of this image");
  return SignedFailure(v1::Failure::CONFIG, "SRV-01",
                       absl::StrCat("--", std::string(option), " is not an option of ", name),
                       absl::StrCat("Remove --", std::string(option),
                                    " from the spec's engine, or use an image whose vLLM has it."));
}

// argparse takes an unambiguous beginning of an option for the option.
bool IsKnown(const std::string& option, const std::set<std::string>& options) {
  const auto next = options.lower_bound(option);
  return next != options.end() && absl::StartsWith(*next, option);
}

class Builder {
 public:
  Builder(const v1::Engine& engine, const std::optional<EngineVersion>& version,
          const std::set<std::string>& options)
      : engine_(engine), version_(version), options_(options) {}

  absl::StatusOr<EngineCommandLine> Build(std::string_view model_path) {
    Environment();
    line_.argv = {"vllm", "serve", std::string(model_path)};
    Add("--served-model-name", engine_.served_model_name());
    if (absl::Status status = Reasoning(); !status.ok()) return status;
    if (engine_.has_gpu_memory_utilization()) {
      Add("--gpu-memory-utilization", Number(engine_.gpu_memory_utilization()));
    }
    AddCount("--tensor-parallel-size", engine_.tensor_parallel_size());
    AddCount("--port", engine_.port());
    AddCount("--block-size", engine_.block_size());
    Add("--distributed_executor_backend", engine_.distributed_executor_backend());
    AddFlag("--enforce-eager", engine_.enforce_eager());
    if (absl::Status status = BesideTheRunbook(); !status.ok()) return status;
    if (absl::Status status = ExtraArguments(model_path); !status.ok()) return status;
    return std::move(line_);
  }

 private:
  bool Since(const EngineVersion& version) const {
    return version_.has_value() && *version_ >= version;
  }
  bool Before(const EngineVersion& version) const {
    return version_.has_value() && *version_ < version;
  }
  void Note(std::string note) { line_.notes.push_back(std::move(note)); }
  void Add(std::string_view option, std::string_view value) {
    if (value.empty()) return;
    line_.argv.emplace_back(option);
    line_.argv.emplace_back(value);
  }
  void AddCount(std::string_view option, uint32_t value) {
    if (value != 0) Add(option, absl::StrCat(value));
  }
  void AddFlag(std::string_view option, bool wanted) {
    if (wanted) line_.argv.emplace_back(option);
  }

  void Environment() {
    line_.environment.insert(engine_.environment().begin(), engine_.environment().end());
    const auto v1 = line_.environment.find("VLLM_USE_V1");
    if (v1 != line_.environment.end() && v1->second == "0" && Since(kOnlyV1)) {
      line_.environment.erase(v1);
      Note(absl::StrCat("VLLM_USE_V1=0 dropped: vLLM ", ToString(*version_),
                        " has the V1 engine only"));
    }
    if (line_.environment.count("VLLM_TEST_ENABLE_EP") != 0) {
      Note("VLLM_TEST_ENABLE_EP is read by no released vLLM: use enableExpertParallel");
    }
  }

  absl::Status Reasoning() {
    const bool has_parser = !engine_.reasoning_parser().empty();
    if (engine_.enable_reasoning()) {
      if (!has_parser) {
        return SignedFailure(v1::Failure::CONFIG, "SRV-02",
                             "--enable-reasoning requires --reasoning-parser",
                             "Set engine.reasoningParser in the spec (deepseek_r1 for Qwen3).");
      }
      if (Since(kNoReasoningFlag)) {
        Note(absl::StrCat("--enable-reasoning dropped: vLLM ", ToString(*version_),
                          " takes --reasoning-parser alone"));
      } else {
        AddFlag("--enable-reasoning", true);
      }
    } else if (has_parser && Before(kReasoningParserAlone)) {
      Note(absl::StrCat("vLLM ", ToString(*version_),
                        " parses reasoning only with enableReasoning"));
    }
    Add("--reasoning-parser", engine_.reasoning_parser());
    return absl::OkStatus();
  }

  absl::Status BesideTheRunbook() {
    if (engine_.pipeline_parallel_size() > 1) {
      AddCount("--pipeline-parallel-size", engine_.pipeline_parallel_size());
    }
    if (engine_.enable_expert_parallel()) {
      if (Before(kExpertParallel)) return Rejected("enable-expert-parallel", version_);
      AddFlag("--enable-expert-parallel", true);
      if (version_ == EngineVersion{0, 11, 0}) {
        Note("expert parallelism over Ray is broken in vllm-ascend 0.11.0rc0 to rc2");
      }
    }
    AddCount("--max-model-len", engine_.max_model_len());
    AddCount("--max-num-batched-tokens", engine_.max_num_batched_tokens());
    AddCount("--max-num-seqs", engine_.max_num_seqs());
    Add("--dtype", engine_.dtype());
    if (engine_.has_swap_space()) Add("--swap-space", Number(engine_.swap_space()));
    if (engine_.has_cpu_offload_gb()) Add("--cpu-offload-gb", Number(engine_.cpu_offload_gb()));
    Add("--quantization", engine_.quantization());
    AddFlag("--trust-remote-code", engine_.trust_remote_code());
    Add("--host", engine_.host());
    return absl::OkStatus();
  }

  absl::Status ExtraArguments(std::string_view model_path) {
    absl::StatusOr<spec::MappedOptions> mapped = spec::MapForeignOptions(
        {engine_.extra_args().begin(), engine_.extra_args().end()}, options_, model_path);
    if (!mapped.ok()) return mapped.status();
    line_.argv.insert(line_.argv.end(), mapped->arguments.begin(), mapped->arguments.end());
    line_.environment.insert(mapped->environment.begin(), mapped->environment.end());
    for (std::string& note : mapped->notes) Note(std::move(note));
    return absl::OkStatus();
  }

  const v1::Engine& engine_;
  const std::optional<EngineVersion>& version_;
  const std::set<std::string>& options_;
  EngineCommandLine line_;
};

}  // namespace

std::optional<EngineVersion> ParseEngineVersion(std::string_view output) {
  static const RE2& kVersion =
      *new RE2(R"((?i)(?:vllm[ /])?v?(\d{1,6})\.(\d{1,6})(?:\.(\d{1,6}))?[\w.+-]*)");
  std::optional<EngineVersion> version;
  for (absl::string_view line : absl::StrSplit(std::string(output), absl::ByAnyChar("\r\n"))) {
    const std::string text(absl::StripAsciiWhitespace(line));
    EngineVersion parsed;
    std::string patch;
    if (!RE2::FullMatch(text, kVersion, &parsed.major, &parsed.minor, &patch)) continue;
    // 0.1.dev… is what setuptools makes of a checkout without tags.
    if (absl::StrContains(text, ".dev") && patch.empty()) continue;
    if (!patch.empty() && !absl::SimpleAtoi(patch, &parsed.patch)) continue;
    version = parsed;
  }
  return version;
}

std::string ToString(const EngineVersion& version) {
  return absl::StrCat(version.major, ".", version.minor, ".", version.patch);
}

std::set<std::string> ParseHelp(std::string_view output) {
  std::set<std::string> options;
  size_t at = 0;
  while ((at = output.find("--", at)) != std::string_view::npos) {
    size_t end = at + 2;
    while (end < output.size() &&
           (absl::ascii_isalnum(output[end]) || output[end] == '-' || output[end] == '_')) {
      ++end;
    }
    const bool starts_word =
        at == 0 || (!absl::ascii_isalnum(output[at - 1]) && output[at - 1] != '-');
    if (starts_word && end > at + 2) options.insert(OptionName(output.substr(at, end - at)));
    at = end;
  }
  options.erase("");
  if (options.count("tensor-parallel-size") == 0) options.clear();
  return options;
}

absl::StatusOr<EngineCommandLine> BuildCommandLine(std::string_view model_path,
                                                   const v1::Engine& engine,
                                                   const std::optional<EngineVersion>& version,
                                                   const std::set<std::string>& options) {
  absl::StatusOr<EngineCommandLine> line = Builder(engine, version, options).Build(model_path);
  if (!line.ok() || options.empty()) return line;
  for (size_t i = 3; i < line->argv.size(); ++i) {
    const std::string option = OptionName(line->argv[i]);
    if (!option.empty() && !IsKnown(option, options)) return Rejected(option, version);
  }
  return line;
}

bool IsServer(const std::vector<std::string>& argv) {
  for (size_t i = 0; i + 1 < argv.size(); ++i) {
    const std::string program = argv[i].substr(argv[i].rfind('/') + 1);
    if (program == "vllm" && argv[i + 1] == "serve") return true;
  }
  return false;
}

}  // namespace npufleet::verbs
