// SPDX-License-Identifier: Apache-2.0
#include "common/spec/notes.h"

#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/spec/engine_version.h"

namespace npufleet::spec {
namespace {

using Map = google::protobuf::Map<std::string, std::string>;

// vLLM #20979 removed --enable-reasoning and is in 0.10.0, as is the end of the V0 engine.
constexpr EngineVersion kWithoutReasoningFlag{0, 10, 0, 0};
constexpr EngineVersion kOnlyV1{0, 10, 0, 0};

bool Says(const Map& environment, const std::string& name, std::string_view value) {
  auto found = environment.find(name);
  return found != environment.end() && found->second == value;
}

void NoteReasoning(const v1::Engine& engine, const EngineVersion& version,
                   std::vector<std::string>* notes) {
  if (!engine.enable_reasoning()) {
    if (!engine.reasoning_parser().empty() && version < EngineVersion{0, 9, 0, 0}) {
      notes->push_back(
          absl::StrCat("engine.reasoningParser has no effect without enableReasoning in vLLM ",
                       ToString(version)));
    }
    return;
  }
  if (version >= kWithoutReasoningFlag) {
    notes->push_back(absl::StrCat("--enable-reasoning is left out: vLLM removed it in 0.10.0, and ",
                                  ToString(version), " does the same with --reasoning-parser ",
                                  engine.reasoning_parser(), " alone"));
  } else if (version >= EngineVersion{0, 9, 0, 0}) {
    notes->push_back(absl::StrCat("--enable-reasoning is passed; it is deprecated in vLLM ",
                                  ToString(version), " and gone from 0.10.0"));
  }
}

void NoteEnvironment(const v1::Engine& engine, const EngineVersion& version,
                     std::vector<std::string>* notes) {
  if (Says(engine.environment(), "VLLM_USE_V1", "0") && version >= kOnlyV1) {
    notes->push_back(absl::StrCat("VLLM_USE_V1=0 is left out: vLLM ", ToString(version),
                                  " has only the V1 engine and would refuse to start"));
  }
  if (engine.environment().contains("VLLM_USE_V1") && version >= EngineVersion{0, 12, 0, 0} &&
      !Says(engine.environment(), "VLLM_USE_V1", "0")) {
    notes->push_back(absl::StrCat("VLLM_USE_V1 has no effect in vLLM ", ToString(version),
                                  ": V1 is the only engine"));
  }
}

// In the runbook for all versions; read by no release.
void NoteExpertParallel(const v1::Engine& engine, std::vector<std::string>* notes) {
  if (!engine.environment().contains("VLLM_TEST_ENABLE_EP")) return;
  std::string note = "VLLM_TEST_ENABLE_EP is passed but has no effect: no vLLM release reads it";
  if (!engine.enable_expert_parallel()) {
    absl::StrAppend(&note,
                    "; for expert parallel set engine.enableExpertParallel: true (0.8 or later)");
  }
  notes->push_back(note);
}

// The agent passes such a source over, which is seen late: once all before it have failed.
void NoteObsWithoutObsutil(const v1::DeploymentSpec& spec, std::vector<std::string>* notes) {
  if (spec.has_obsutil()) return;
  std::vector<std::string> sources;
  for (int i = 0; i < spec.image().sources_size(); ++i) {
    if (spec.image().sources(i).has_obs()) {
      sources.push_back(absl::StrCat("image.sources[", i, "]"));
    }
  }
  for (int i = 0; i < spec.model().sources_size(); ++i) {
    if (spec.model().sources(i).has_obs()) {
      sources.push_back(absl::StrCat("model.sources[", i, "]"));
    }
  }
  if (sources.empty()) return;
  notes->push_back(absl::StrCat(absl::StrJoin(sources, ", "), sources.size() == 1 ? " is" : " are",
                                " skipped: an obs source needs obsutil; set obsutil.version, "
                                ".archive, .endpoint and .credentialsFile (runbook 2.3)"));
}

}  // namespace

std::vector<std::string> Notes(const v1::Deployment& deployment) {
  const v1::DeploymentSpec& spec = deployment.spec();
  uint32_t chips = spec.has_chips_per_node() ? spec.chips_per_node() : 8;
  std::vector<std::string> notes;
  notes.push_back(absl::StrCat(
      "ray start gets --resources={\"NPU\": ", chips, "} instead of the runbook's --num-gpus=",
      chips, ": vllm-ascend asks Ray for NPU, and a count of GPUs hides the NPUs from newer Ray"));
  NoteExpertParallel(spec.engine(), &notes);
  NoteObsWithoutObsutil(spec, &notes);
  std::optional<EngineVersion> version = EngineVersionOf(spec.image().name());
  if (!version) {
    notes.push_back(
        absl::StrCat("image.name ", spec.image().name(),
                     " has no version in its tag: flags and environment are passed as written"));
    return notes;
  }
  NoteReasoning(spec.engine(), *version, &notes);
  NoteEnvironment(spec.engine(), *version, &notes);
  for (const std::string& argument : spec.engine().extra_args()) {
    if (absl::StartsWith(argument, "--disable-log-requests") &&
        *version >= EngineVersion{0, 12, 0, 0}) {
      notes.push_back(absl::StrCat(
          "engine.extraArgs: --disable-log-requests is gone from vLLM 0.12 (#29402), and ",
          ToString(*version), " will refuse it"));
    }
  }
  return notes;
}

}  // namespace npufleet::spec
