// SPDX-License-Identifier: Apache-2.0
#include "controller/ctl/chat_stream.h"

#include "nlohmann/json.hpp"

namespace npufleet::ctl {
namespace {

using Json = nlohmann::json;

std::string TextOf(const Json& object, const char* name) {
  auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

// {"error": {"message": …}} from 0.10.1 on, {"object": "error", "message": …} before.
bool AddError(const Json& json, std::vector<ChatPiece>* pieces) {
  auto error = json.find("error");
  if (error != json.end() && error->is_object()) {
    pieces->push_back({ChatPiece::Kind::kError, TextOf(*error, "message")});
    return true;
  }
  if (TextOf(json, "object") == "error" || (json.contains("detail") && !json.contains("choices"))) {
    std::string message = TextOf(json, "message");
    pieces->push_back({ChatPiece::Kind::kError, message.empty() ? json.dump() : message});
    return true;
  }
  return false;
}

// `part` is "delta" in a stream and "message" in a body.
void AddChoices(const Json& json, const char* part, std::vector<ChatPiece>* pieces) {
  auto choices = json.find("choices");
  if (choices == json.end() || !choices->is_array() || choices->empty()) return;
  const Json& choice = (*choices)[0];
  if (!choice.is_object()) return;
  if (auto message = choice.find(part); message != choice.end() && message->is_object()) {
    // Between 0.12 and 0.15 both carry the same text.
    std::string reasoning = TextOf(*message, "reasoning");
    if (reasoning.empty()) reasoning = TextOf(*message, "reasoning_content");
    if (!reasoning.empty()) pieces->push_back({ChatPiece::Kind::kReasoning, reasoning});
    std::string content = TextOf(*message, "content");
    if (!content.empty()) pieces->push_back({ChatPiece::Kind::kAnswer, content});
  }
  std::string finish = TextOf(choice, "finish_reason");
  if (!finish.empty()) pieces->push_back({ChatPiece::Kind::kFinish, finish});
}

void AddJson(std::string_view text, const char* part, std::vector<ChatPiece>* pieces) {
  Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) {
    pieces->push_back({ChatPiece::Kind::kError, "no JSON: " + std::string(text.substr(0, 200))});
    return;
  }
  if (!AddError(json, pieces)) AddChoices(json, part, pieces);
}

}  // namespace

std::vector<ChatPiece> ReadChatBody(std::string_view body) {
  std::vector<ChatPiece> pieces;
  AddJson(body, "message", &pieces);
  return pieces;
}

std::vector<ChatPiece> ChatStream::Feed(std::string_view chunk) {
  std::vector<ChatPiece> pieces;
  rest_.append(chunk);
  size_t begin = 0;
  for (size_t end; (end = rest_.find('\n', begin)) != std::string::npos; begin = end + 1) {
    std::string_view line(rest_.data() + begin, end - begin);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    constexpr std::string_view kData = "data:";
    if (line.substr(0, kData.size()) != kData) continue;  // blank lines, comments, other fields
    line.remove_prefix(kData.size());
    if (!line.empty() && line.front() == ' ') line.remove_prefix(1);
    if (line == "[DONE]") {
      done_ = true;
    } else {
      AddJson(line, "delta", &pieces);
    }
  }
  rest_.erase(0, begin);
  return pieces;
}

}  // namespace npufleet::ctl
