// SPDX-License-Identifier: Apache-2.0
//
// What an OpenAI-compatible server answers to a chat completion, as it comes: server-sent events or
// one JSON body. Field names differ by vLLM version: reasoning_content before 0.16, reasoning from
// 0.12 on. Pure.
#ifndef CONTROLLER_CTL_CHAT_STREAM_H_
#define CONTROLLER_CTL_CHAT_STREAM_H_

#include <string>
#include <string_view>
#include <vector>

namespace npufleet::ctl {

struct ChatPiece {
  enum class Kind { kReasoning, kAnswer, kFinish, kError };
  Kind kind;
  std::string text;  // of kFinish: the reason ("stop", "length")
};

// Of a whole JSON body: an answer, or an error in either of vLLM's shapes.
std::vector<ChatPiece> ReadChatBody(std::string_view body);

// Of a stream, fed in chunks of any size.
class ChatStream {
 public:
  std::vector<ChatPiece> Feed(std::string_view chunk);
  bool done() const { return done_; }  // [DONE] has come

 private:
  std::string rest_;  // an unfinished line
  bool done_ = false;
};

}  // namespace npufleet::ctl

#endif  // CONTROLLER_CTL_CHAT_STREAM_H_
