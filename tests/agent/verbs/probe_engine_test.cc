// SPDX-License-Identifier: Apache-2.0
#include "agent/verbs/probe_engine/probe_engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "agent/verbs/probe_engine/completion.h"
#include "common/failure.h"
#include "tests/fakes/fake_execution.h"
#include "tests/fakes/fake_host.h"

namespace npufleet::verbs {
namespace {

using ::testing::HasSubstr;
using ::testing::Optional;

constexpr char kUrl[] = "http://192.168.0.15:8006";
constexpr char kCompletions[] = "http://192.168.0.15:8006/v1/chat/completions";
constexpr char kMetrics[] = "http://192.168.0.15:8006/metrics";

// Replies of vLLM: 0.11, 0.12 to 0.15, and 0.16 on; 0.8 with a reasoning that used up all tokens.
constexpr char kReply011[] =
    R"({"id":"chatcmpl-d3","object":"chat.completion","created":1764924127,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"我是通义千问","refusal":null,"tool_calls":[],"reasoning_content":null},"logprobs":null,"finish_reason":"stop","stop_reason":null}],"usage":{"prompt_tokens":107,"total_tokens":123,"completion_tokens":16,"prompt_tokens_details":null}})";
constexpr char kReply016[] =
    R"({"choices":[{"index":0,"message":{"role":"assistant","content":"\n\nHello!","reasoning":"greet back"},"finish_reason":"stop"}],"usage":{"prompt_tokens":6,"total_tokens":24,"completion_tokens":18}})";
constexpr char kReplyThinking[] =
    R"({"choices":[{"index":0,"message":{"role":"assistant","content":null,"reasoning_content":"The user"},"finish_reason":"length"}],"usage":{"completion_tokens":16}})";

std::string Metrics(double tokens) {
  return "# HELP vllm:generation_tokens_total Number of generation tokens processed.\n"
         "vllm:generation_tokens_total{model_name=\"m a\",engine=\"0\"} " +
         std::to_string(tokens) + "\nvllm:generation_tokens_totals 9\n";
}

class ProbeEngineTest : public ::testing::Test {
 protected:
  ProbeEngineTest() {
    v1::ProbeEngine probe;
    probe.set_url(kUrl);
    probe.set_model("Qwen3-235B-A22B");
    probe.set_prompt("你是谁");
    probe.set_max_tokens(16);
    probe.mutable_deadline()->set_seconds(120);
    probe.mutable_period()->set_seconds(45);
    verb_ = MakeProbeEngine(probe, v1::Subject(), node_.host()).value();
  }

  void MissDeadlines() {
    node_.http().On("POST", kCompletions,
                    [](const host::HttpRequest&) -> absl::StatusOr<host::HttpResponse> {
                      return absl::DeadlineExceededError("no answer");
                    });
  }

  fakes::FakeHost node_;
  fakes::FakeExecution execution_{node_.host()};
  std::unique_ptr<Verb> verb_;
};

TEST_F(ProbeEngineTest, IsPresentWhenTokensCome) {
  node_.http().On("POST", kCompletions, 200, kReply011);
  const v1::Observation observation = verb_->Check();
  EXPECT_EQ(observation.state(), v1::Observation::PRESENT);
  EXPECT_EQ(observation.token(), "tokens");
  EXPECT_EQ(observation.facts().at("answer"), "我是通义千问");
  EXPECT_EQ(observation.facts().at("tokens"), "16");
  EXPECT_EQ(verb_->CheckPeriod(), absl::Seconds(45));
  EXPECT_TRUE(verb_->Apply(execution_).ok());
  EXPECT_THAT(execution_.Text(), HasSubstr("answer: 我是通义千问"));
}

TEST_F(ProbeEngineTest, AsksAsTheRunbookDoes) {
  node_.http().On("POST", kCompletions, 200, kReply011);
  verb_->Check();
  host::HttpRequest request;
  for (const host::HttpRequest& sent : node_.http().Requests()) {
    if (sent.method == "POST") request = sent;
  }
  EXPECT_EQ(nlohmann::json::parse(request.body),
            nlohmann::json::parse(R"({"model": "Qwen3-235B-A22B", "messages": [{"role": "user",
                "content": "你是谁"}], "max_tokens": 16, "stream": false})"));
  EXPECT_EQ(request.deadline, absl::Seconds(120));
}

TEST_F(ProbeEngineTest, ABusyEngineIsPresent) {
  MissDeadlines();
  int asked = 0;
  node_.http().On("GET", kMetrics,
                  [&asked](const host::HttpRequest&) -> absl::StatusOr<host::HttpResponse> {
                    host::HttpResponse response;
                    response.status = 200;
                    response.body = Metrics(100 + 7 * asked++);
                    return response;
                  });
  const v1::Observation observation = verb_->Check();
  EXPECT_EQ(observation.state(), v1::Observation::PRESENT);
  EXPECT_THAT(observation.facts().at("busy"), HasSubstr("7 tokens"));
  EXPECT_EQ(node_.http().Count("POST", kCompletions), 1);
}

TEST_F(ProbeEngineTest, AStuckEngineIsAbsentOnlyAfterTwoMissedDeadlines) {
  MissDeadlines();
  node_.http().On("GET", kMetrics, 200, Metrics(100));
  const v1::Observation observation = verb_->Check();
  EXPECT_EQ(observation.state(), v1::Observation::ABSENT);
  EXPECT_EQ(observation.failure().redo_stage(), "serve");
  EXPECT_EQ(node_.http().Count("POST", kCompletions), 2);
  const v1::Failure failure = ToFailure(verb_->Apply(execution_));
  EXPECT_EQ(failure.signature(), "RUN-04");
  EXPECT_EQ(failure.class_(), v1::Failure::REDO);
  EXPECT_EQ(failure.redo_stage(), "serve");
}

// 45 s of the period may have passed since it hung: 45 + 120 + 75 are twice the deadline.
TEST_F(ProbeEngineTest, AHangIsFoundOutWithinTwiceTheDeadline) {
  MissDeadlines();
  verb_->Check();
  std::vector<absl::Duration> deadlines;
  for (const host::HttpRequest& sent : node_.http().Requests()) {
    if (sent.method == "POST") deadlines.push_back(sent.deadline);
  }
  EXPECT_THAT(deadlines, testing::ElementsAre(absl::Seconds(120), absl::Seconds(75)));
}

TEST_F(ProbeEngineTest, OneMissedDeadlineIsForgiven) {
  int asked = 0;
  node_.http().On("POST", kCompletions,
                  [&asked](const host::HttpRequest&) -> absl::StatusOr<host::HttpResponse> {
                    if (asked++ == 0) return absl::DeadlineExceededError("no answer");
                    host::HttpResponse response;
                    response.status = 200;
                    response.body = kReply016;
                    return response;
                  });
  EXPECT_EQ(verb_->Check().state(), v1::Observation::PRESENT);
}

TEST_F(ProbeEngineTest, NoConnectionAsksForANewServer) {
  EXPECT_EQ(verb_->Check().state(), v1::Observation::ABSENT);
  const v1::Failure failure = ToFailure(verb_->Apply(execution_));
  EXPECT_EQ(failure.class_(), v1::Failure::REDO);
  EXPECT_EQ(failure.redo_stage(), "serve");
}

TEST_F(ProbeEngineTest, ADeadEngineAsksForANewServer) {
  node_.http().On("POST", kCompletions, 500,
                  R"({"object":"error","message":"boom","type":"InternalServerError","code":500})");
  EXPECT_EQ(verb_->Check().state(), v1::Observation::ABSENT);
  const v1::Failure failure = ToFailure(verb_->Apply(execution_));
  EXPECT_EQ(failure.class_(), v1::Failure::REDO);
  EXPECT_THAT(failure.symptom(), HasSubstr("boom"));
}

TEST_F(ProbeEngineTest, AWrongModelIsTheSpecs) {
  for (const char* body :
       {R"({"object":"error","message":"The model `m` does not exist.","code":404})",
        R"({"error":{"message":"The model `m` does not exist.","code":404}})"}) {
    node_.http().On("POST", kCompletions, 404, body);
    const v1::Observation observation = verb_->Check();
    EXPECT_EQ(observation.state(), v1::Observation::ABSENT);
    EXPECT_EQ(observation.failure().class_(), v1::Failure::CONFIG);
    EXPECT_EQ(observation.failure().signature(), "RUN-13");
    EXPECT_THAT(observation.reason(), HasSubstr("The model `m` does not exist."));
  }
}

TEST_F(ProbeEngineTest, A200WithoutATokenIsNoAnswer) {
  for (const char* body : {"", "[]", "not json", R"({"choices":[]})", R"({"choices":[null]})",
                           R"({"choices":[{"message":{"content":""},"finish_reason":"stop"}],
                               "usage":{"completion_tokens":0}})"}) {
    node_.http().On("POST", kCompletions, 200, body);
    EXPECT_EQ(verb_->Check().state(), v1::Observation::ABSENT) << body;
  }
}

TEST_F(ProbeEngineTest, EndsWithItsOperation) {
  node_.http().On("POST", kCompletions,
                  [](const host::HttpRequest& request) -> absl::StatusOr<host::HttpResponse> {
                    EXPECT_TRUE(request.cancelled());
                    return absl::CancelledError();
                  });
  execution_.questions_until_cancel = 0;
  EXPECT_TRUE(absl::IsCancelled(verb_->Apply(execution_)));
}

TEST_F(ProbeEngineTest, NeedsAnUrlAndAModel) {
  EXPECT_FALSE(MakeProbeEngine(v1::ProbeEngine(), v1::Subject(), node_.host()).ok());
}

TEST(CompletionTest, ReadsTheShapesOfAllVersions) {
  EXPECT_EQ(ParseCompletion(kReply016)->answer, "\n\nHello!");
  const Completion thinking = ParseCompletion(kReplyThinking).value();
  EXPECT_EQ(thinking.answer, "The user");
  EXPECT_EQ(thinking.finish_reason, "length");
  EXPECT_EQ(thinking.tokens, 16u);
}

TEST(CompletionTest, SumsTheCounterOverItsLabels) {
  EXPECT_THAT(GeneratedTokens(Metrics(5) + Metrics(6)), Optional(11.0));
  EXPECT_THAT(GeneratedTokens("vllm:generation_tokens_total 3.0 1700000000\n"), Optional(3.0));
  EXPECT_EQ(GeneratedTokens("vllm:prompt_tokens_total 1\n"), std::nullopt);
}

}  // namespace
}  // namespace npufleet::verbs
