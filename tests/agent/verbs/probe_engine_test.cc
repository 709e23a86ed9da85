// SPDX-License-Identifier: Apache-2.0
#include "agent/verbs/probe_engine/probe_engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <vector>

#include "agent/verbs/probe_engine/completion.h"
#include "common/failure.h"
#include "tests/fakes/fake_execution.h"
#include "tests/fakes/fake_host.h"

namespace npufleet::verbs {
namespace {

using ::testing::ElementsAre;
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

  // No answer comes, for as long as the verb cares to wait. How long that is, is in waits_.
  void NeverAnswer() {
    node_.http().On("POST", kCompletions,
                    [this](const host::HttpRequest& request) -> absl::StatusOr<host::HttpResponse> {
                      const absl::Duration start = node_.clock().Elapsed();
                      while (!request.cancelled()) node_.clock().Advance(absl::Seconds(1));
                      waits_.push_back(node_.clock().Elapsed() - start);
                      return absl::CancelledError();
                    });
  }

  // A token a second, from now on for so long.
  void GenerateFor(absl::Duration duration) {
    node_.http().On(
        "GET", kMetrics,
        [this, start = node_.clock().Elapsed(),
         duration](const host::HttpRequest&) -> absl::StatusOr<host::HttpResponse> {
          host::HttpResponse response;
          response.status = 200;
          response.body =
              Metrics(absl::ToDoubleSeconds(std::min(node_.clock().Elapsed() - start, duration)));
          return response;
        });
  }

  fakes::FakeHost node_;
  fakes::FakeExecution execution_{node_.host()};
  std::unique_ptr<Verb> verb_;
  std::vector<absl::Duration> waits_;
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
}

TEST_F(ProbeEngineTest, ABusyEngineIsPresent) {
  NeverAnswer();
  GenerateFor(absl::Hours(1));
  const v1::Observation observation = verb_->Check();
  EXPECT_EQ(observation.state(), v1::Observation::PRESENT);
  EXPECT_THAT(observation.facts().at("busy"), HasSubstr("no answer within 2m, 120 tokens"));
  EXPECT_THAT(waits_, ElementsAre(absl::Seconds(120)));
}

TEST_F(ProbeEngineTest, AStuckEngineIsAbsentOnlyAfterTwoCompletions) {
  NeverAnswer();
  node_.http().On("GET", kMetrics, 200, Metrics(100));
  const v1::Observation observation = verb_->Check();
  EXPECT_EQ(observation.state(), v1::Observation::ABSENT);
  EXPECT_EQ(observation.failure().redo_stage(), "serve");
  EXPECT_EQ(waits_.size(), 2);
  const v1::Failure failure = ToFailure(verb_->Apply(execution_));
  EXPECT_EQ(failure.signature(), "RUN-04");
  EXPECT_EQ(failure.class_(), v1::Failure::REDO);
  EXPECT_EQ(failure.redo_stage(), "serve");
}

// 45 s of the period may have passed since it hung, and the 10 s since the last look of a busy one:
// 10 + 45 + 120 + 65 are twice the deadline.
TEST_F(ProbeEngineTest, AHangIsFoundOutWithinTwiceTheDeadline) {
  NeverAnswer();
  verb_->Check();
  EXPECT_THAT(waits_, ElementsAre(absl::Seconds(120), absl::Seconds(65)));
}

// The tokens may be the probe's own: they were generated before the hang, and say nothing of it.
TEST_F(ProbeEngineTest, AHangInTheMiddleOfAnAnswerIsFoundOutAsSoon) {
  for (const int seconds : {1, 15, 60, 109}) {
    waits_.clear();
    NeverAnswer();
    GenerateFor(absl::Seconds(seconds));
    EXPECT_EQ(verb_->Check().state(), v1::Observation::ABSENT) << seconds;
    ASSERT_EQ(waits_.size(), 2) << seconds;
    EXPECT_LE(waits_[0] + waits_[1] - absl::Seconds(seconds), absl::Seconds(240)) << seconds;
  }
}

// Its queue is full: connecting takes longer than libcurl is let.
TEST_F(ProbeEngineTest, AnEngineThatTakesNoConnectionHasItsWholeDeadlines) {
  node_.http().On("POST", kCompletions,
                  [this](const host::HttpRequest&) -> absl::StatusOr<host::HttpResponse> {
                    node_.clock().Advance(absl::Seconds(15));
                    return absl::DeadlineExceededError("connecting");
                  });
  const absl::Duration start = node_.clock().Elapsed();
  EXPECT_EQ(verb_->Check().state(), v1::Observation::ABSENT);
  EXPECT_GE(node_.clock().Elapsed() - start, absl::Seconds(185));
  GenerateFor(absl::Hours(1));
  EXPECT_EQ(verb_->Check().state(), v1::Observation::PRESENT);
}

TEST_F(ProbeEngineTest, EndsWhenNobodyWaitsForIt) {
  node_.http().On("POST", kCompletions,
                  [this](const host::HttpRequest& request) -> absl::StatusOr<host::HttpResponse> {
                    verb_->AbandonCheck();
                    EXPECT_TRUE(request.cancelled());
                    return absl::CancelledError();
                  });
  verb_->Check();
  EXPECT_EQ(node_.http().Count("POST", kCompletions), 1);
}

TEST_F(ProbeEngineTest, AnEngineThatGeneratesAgainIsNoHang) {
  NeverAnswer();
  int looks = 0;
  node_.http().On("GET", kMetrics,
                  [&looks](const host::HttpRequest&) -> absl::StatusOr<host::HttpResponse> {
                    host::HttpResponse response;
                    response.status = 200;
                    response.body = Metrics(looks++ / 6 * 8);  // once a minute
                    return response;
                  });
  EXPECT_EQ(verb_->Check().state(), v1::Observation::PRESENT);
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
