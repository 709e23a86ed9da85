// SPDX-License-Identifier: Apache-2.0
#include "agent/verbs/start_engine/startup_progress.h"

#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace npufleet::verbs {
namespace {

struct Phase {
  const char* text;
  uint64_t percent;
  const char* activity;
};

// Latest first: a line that speaks of two phases belongs to the later one.
constexpr Phase kPhases[] = {
    {"Application startup complete", 99, "answering"},
    {"Waiting for application startup", 98, "starting the API server"},
    {"Started server process", 98, "starting the API server"},
    {"Available routes are:", 98, "starting the API server"},
    {"Starting vLLM API server", 98, "starting the API server"},
    {"init engine (profile, create kv cache, warmup model) took", 97, "engine ready"},
    {"Graph capturing finished in", 96, "graphs captured"},
    {"Capturing torchair graph", 88, "capturing graphs"},
    {"Capturing CUDA graph", 88, "capturing graphs"},
    {"Maximum concurrency for", 85, "reserving the KV cache"},
    {"KV cache size:", 85, "reserving the KV cache"},
    {"Available KV cache memory:", 85, "reserving the KV cache"},
    {"Available memory:", 85, "reserving the KV cache"},
    {"Loading weights took", 80, "weights loaded"},
    {"Loading model weights took", 80, "weights loaded"},
    {"Model loading took", 80, "weights loaded"},
    {"Starting to load model", 15, "loading weights"},
    {"Waiting for creating a placement group", 8, "waiting for Ray's NPUs"},
    {"Creating a new placement group", 8, "reserving Ray's NPUs"},
    {"Connected to Ray cluster", 8, "connected to Ray"},
    {"LLM engine (v", 6, "initializing the engine"},
    {"non-default args:", 4, "arguments read"},
    {"Platform plugin ", 2, "starting"},
};

constexpr char kShards[] = "checkpoint shards:";
constexpr uint64_t kShardsFrom = 15;
constexpr uint64_t kShardsTo = 80;

// "Loading safetensors checkpoint shards:  47% Completed | 77/163 [00:03<00:04, 20.65it/s]"
std::optional<uint64_t> ShardPercent(std::string_view line) {
  size_t at = line.find(kShards);
  if (at == std::string_view::npos) return std::nullopt;
  at = line.find_first_not_of(' ', at + sizeof(kShards) - 1);
  if (at == std::string_view::npos) return std::nullopt;
  const size_t end = line.find('%', at);
  uint64_t percent = 0;
  if (end == std::string_view::npos || end - at > 3 ||
      !absl::SimpleAtoi(std::string(line.substr(at, end - at)), &percent) || percent > 100) {
    return std::nullopt;
  }
  return percent;
}

}  // namespace

std::optional<v1::Progress> StartupProgress::Read(std::string_view line) {
  uint64_t percent = 0;
  std::string activity;
  if (const std::optional<uint64_t> shards = ShardPercent(line)) {
    percent = kShardsFrom + *shards * (kShardsTo - kShardsFrom) / 100;
    activity = absl::StrCat("loading weights (", *shards, "%)");
  } else {
    for (const Phase& phase : kPhases) {
      if (line.find(phase.text) == std::string_view::npos) continue;
      percent = phase.percent;
      activity = phase.activity;
      break;
    }
  }
  if (percent <= percent_) return std::nullopt;
  percent_ = percent;
  v1::Progress progress;
  progress.set_activity(activity);
  progress.set_done(percent);
  progress.set_total(100);
  progress.set_unit("percent");
  return progress;
}

}  // namespace npufleet::verbs
