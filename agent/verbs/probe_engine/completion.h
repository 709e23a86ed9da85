// SPDX-License-Identifier: Apache-2.0
//
// What the OpenAI API of vLLM answers, in the shapes of 0.7 to 0.25. Pure.
#ifndef AGENT_VERBS_PROBE_ENGINE_COMPLETION_H_
#define AGENT_VERBS_PROBE_ENGINE_COMPLETION_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace npufleet::verbs {

struct Completion {
  std::string answer;  // the content; the reasoning when there is no content
  std::string finish_reason;
  uint64_t tokens = 0;  // generated
};

// The body of POST /v1/chat/completions, without streaming.
std::string CompletionRequest(std::string_view model, std::string_view prompt, uint32_t max_tokens);

// InvalidArgument when it is no completion or holds no generated token.
absl::StatusOr<Completion> ParseCompletion(std::string_view body);

// The message of an error body: {"message": …} before vLLM 0.10.1, {"error": {"message": …}} since.
// The first 200 bytes of the body when it is neither.
std::string ErrorMessage(std::string_view body);

// vllm:generation_tokens_total of /metrics, summed over its labels.
std::optional<double> GeneratedTokens(std::string_view metrics);

}  // namespace npufleet::verbs

#endif  // AGENT_VERBS_PROBE_ENGINE_COMPLETION_H_
