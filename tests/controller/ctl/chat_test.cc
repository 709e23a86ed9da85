// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <sstream>
#include <thread>

#include "absl/strings/match.h"
#include "controller/ctl/chat_stream.h"
#include "controller/ctl/command_line.h"
#include "tests/controller/ctl/fake_controller.h"

namespace npufleet::ctl {
namespace {

using ::testing::HasSubstr;

// "r:" reasoning, "a:" answer, "f:" finish, "e:" error.
std::string Words(const std::vector<ChatPiece>& pieces) {
  std::string words;
  for (const ChatPiece& piece : pieces)
    absl::StrAppend(&words, std::string(1, "rafe"[static_cast<int>(piece.kind)]), ":", piece.text,
                    " ");
  return words;
}

constexpr char kEvents[] =
    "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n"
    "data: {\"choices\":[{\"delta\":{\"reasoning_content\":\"hm\"}}]}\n\n"
    ": a comment\r\n"
    "data: {\"choices\":[{\"delta\":{\"content\":\"我\"}}]}\r\n\r\n"
    "data: {\"choices\":[{\"delta\":{\"content\":\"是\"},\"finish_reason\":\"length\"}]}\n\n"
    "data: [DONE]\n\n";

TEST(ChatStreamTest, ReadsEventsCutAnywhere) {
  for (size_t size : {1, 2, 7, 1000}) {
    ChatStream stream;
    std::string words;
    std::string_view rest = kEvents;
    while (!rest.empty()) {
      words += Words(stream.Feed(rest.substr(0, size)));
      rest.remove_prefix(std::min(size, rest.size()));
    }
    EXPECT_EQ(words, "r:hm a:我 a:是 f:length ") << size;
    EXPECT_TRUE(stream.done());
  }
}

TEST(ChatStreamTest, ReadsBodiesOfAllVersions) {
  EXPECT_EQ(
      Words(ReadChatBody(
          R"({"choices":[{"message":{"reasoning_content":null,"content":"x"},"finish_reason":"stop"}]})")),
      "a:x f:stop ");
  EXPECT_EQ(
      Words(ReadChatBody(
          R"({"choices":[{"message":{"reasoning":"r","reasoning_content":"r","content":"x"}}]})")),
      "r:r a:x ");
  EXPECT_EQ(Words(ReadChatBody(R"({"object":"error","message":"no such model","code":404})")),
            "e:no such model ");
  EXPECT_EQ(Words(ReadChatBody(R"({"error":{"message":"no such model"}})")), "e:no such model ");
}

TEST(ChatStreamTest, ForeignBodiesAreErrorsAndNeverCrash) {
  for (const char* body : {"", "Bad Gateway", "[]", "null", "{\"choices\":[1]}", "{\"choices\":{}}",
                           "{\"error\":3}"}) {
    Words(ReadChatBody(body));
  }
  EXPECT_THAT(Words(ReadChatBody("<html>")), HasSubstr("e:no JSON: <html>"));
}

// Answers one request with the given bytes.
class OneAnswer {
 public:
  explicit OneAnswer(std::string answer) {
    thread_ = std::thread([this, answer = std::move(answer)] {
      const int client = connection_.Accept();
      char buffer[4096];
      // The request is small; its end is the end of its JSON.
      while (!absl::EndsWith(request_, "}")) {
        ssize_t got = read(client, buffer, sizeof(buffer));
        if (got <= 0) break;
        request_.append(buffer, static_cast<size_t>(got));
      }
      if (write(client, answer.data(), answer.size()) < 0) ADD_FAILURE() << "cannot answer";
      close(client);
    });
  }
  std::string url() const { return absl::StrCat("http://127.0.0.1:", connection_.port()); }
  std::string request() {
    if (thread_.joinable()) thread_.join();
    return request_;
  }

 private:
  OneConnection connection_;
  std::string request_;
  std::thread thread_;
};

class ChatTest : public ::testing::Test {
 protected:
  ExitCode Chat(const std::string& endpoint, std::vector<std::string> arguments) {
    v1::Rollout& rollout = *controller_.rollouts.add_rollouts();
    rollout.set_name("q");
    rollout.set_phase(v1::Rollout::SERVING);
    rollout.set_endpoint(endpoint);
    rollout.set_served_model_name("Qwen3-235B-A22B");
    arguments.insert(arguments.begin(), {"chat", "你是谁"});
    arguments.insert(arguments.end(), {"--insecure-loopback", controller_.address()});
    std::istringstream in;
    std::ostringstream out, err;
    Terminal terminal{in, out, err};
    ExitCode code = RunCtl(arguments, terminal, {"0", "0"});
    out_ = out.str();
    err_ = err.str();
    return code;
  }
  FakeController controller_;
  std::string out_;
  std::string err_;
};

TEST_F(ChatTest, StreamsTheAnswerAndKeepsReasoningOffStdout) {
  OneAnswer engine(absl::StrCat("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", kEvents));
  EXPECT_EQ(Chat(engine.url(), {"--max-tokens", "7"}), ExitCode::kDone) << err_;
  EXPECT_EQ(out_, "我是\n");
  EXPECT_EQ(err_, "hm(cut after 7 tokens: --max-tokens N for more)\n");
  std::string request = engine.request();
  EXPECT_THAT(request, HasSubstr("POST /v1/chat/completions"));
  EXPECT_THAT(request, HasSubstr(R"("max_tokens":7)"));
  EXPECT_THAT(request, HasSubstr(R"("content":"你是谁")"));
}

TEST_F(ChatTest, AnErrorOfTheEngineIsSaid) {
  OneAnswer engine(
      "HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n{\"object\":\"error\",\"message\":\"no "
      "such model\"}");
  EXPECT_EQ(Chat(engine.url(), {}), ExitCode::kFailed);
  EXPECT_EQ(err_, "ctl: the engine says: HTTP 404 no such model\n");
  engine.request();
}

TEST_F(ChatTest, AnAnswerThatBreaksOffIsAFailure) {
  OneAnswer engine(
      "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\ndata: "
      "{\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n");
  EXPECT_EQ(Chat(engine.url(), {}), ExitCode::kFailed);
  EXPECT_EQ(out_, "x\n");
  EXPECT_THAT(err_, HasSubstr("in the middle of its answer"));
  engine.request();
}

TEST_F(ChatTest, NoStreamAndJson) {
  std::string body = R"({"choices":[{"message":{"content":"我"},"finish_reason":"stop"}]})";
  OneAnswer engine(absl::StrCat("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", body));
  EXPECT_EQ(Chat(engine.url(), {"-o", "json"}), ExitCode::kDone) << err_;
  EXPECT_EQ(out_, body + "\n");
  EXPECT_THAT(engine.request(), HasSubstr(R"("stream":false)"));
}

}  // namespace
}  // namespace npufleet::ctl
