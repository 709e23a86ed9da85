// SPDX-License-Identifier: Apache-2.0
#include "agent/verbs/probe_engine/completion.h"

#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace npufleet::verbs {
namespace {

using Json = nlohmann::json;

Json Parse(std::string_view text) { return Json::parse(text, nullptr, /*allow_exceptions=*/false); }

// The text of a member, empty when it is missing, null or no text.
std::string Text(const Json& object, const char* member) {
  if (!object.is_object()) return "";
  const auto found = object.find(member);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

const Json& Member(const Json& object, const char* member) {
  static const Json nothing;
  if (!object.is_object()) return nothing;
  const auto found = object.find(member);
  return found == object.end() ? nothing : *found;
}

}  // namespace

std::string CompletionRequest(std::string_view model, std::string_view prompt,
                              uint32_t max_tokens) {
  const Json request = {
      {"model", std::string(model)},
      {"messages", Json::array({{{"role", "user"}, {"content", std::string(prompt)}}})},
      {"max_tokens", max_tokens},
      {"stream", false}};
  return request.dump(-1, ' ', false, Json::error_handler_t::replace);
}

absl::StatusOr<Completion> ParseCompletion(std::string_view body) {
  const Json reply = Parse(body);
  const Json& choices = Member(reply, "choices");
  if (!choices.is_array() || choices.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("no completion: ", ErrorMessage(body)));
  }
  const Json& message = Member(choices[0], "message");
  Completion completion;
  completion.finish_reason = Text(choices[0], "finish_reason");
  completion.answer = Text(message, "content");
  for (const char* member : {"reasoning_content", "reasoning"}) {
    if (completion.answer.empty()) completion.answer = Text(message, member);
  }
  const Json& tokens = Member(Member(reply, "usage"), "completion_tokens");
  if (tokens.is_number_unsigned()) completion.tokens = tokens.get<uint64_t>();
  const bool is_finished =
      completion.finish_reason == "stop" || completion.finish_reason == "length";
  if (completion.tokens == 0 || (completion.answer.empty() && !is_finished)) {
    return absl::InvalidArgumentError(
        absl::StrCat("a completion without a generated token, finish_reason \"",
                     completion.finish_reason, "\""));
  }
  return completion;
}

std::string ErrorMessage(std::string_view body) {
  const Json reply = Parse(body);
  const Json& error = Member(reply, "error");
  std::string message = Text(error.is_object() ? error : reply, "message");
  if (message.empty()) message = Text(reply, "error");
  return message.empty() ? std::string(body.substr(0, 200)) : message;
}

std::optional<double> GeneratedTokens(std::string_view metrics) {
  std::optional<double> sum;
  for (absl::string_view line : absl::StrSplit(std::string(metrics), '\n')) {
    if (!absl::ConsumePrefix(&line, "vllm:generation_tokens_total")) continue;
    if (line.empty() || (line[0] != '{' && line[0] != ' ')) continue;
    const size_t labels_end = line.rfind('}');
    if (labels_end != absl::string_view::npos) line.remove_prefix(labels_end + 1);
    // "VALUE" or "VALUE TIMESTAMP"
    const std::vector<absl::string_view> cells = absl::StrSplit(line, ' ', absl::SkipEmpty());
    double value = 0;
    if (!cells.empty() && absl::SimpleAtod(cells[0], &value)) sum = sum.value_or(0) + value;
  }
  return sum;
}

}  // namespace npufleet::verbs
