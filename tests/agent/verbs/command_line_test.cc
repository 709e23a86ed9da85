// SPDX-License-Identifier: Apache-2.0
#include "agent/verbs/start_engine/command_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/failure.h"

namespace npufleet::verbs {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::Pair;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

constexpr char kModel[] = "/data2/Qwen3-235B-A22B";

// Chapter 4 of the runbook, with the defaults that the controller resolves.
v1::Engine RunbookEngine() {
  v1::Engine engine;
  engine.set_served_model_name("Qwen3-235B-A22B");
  engine.set_enable_reasoning(true);
  engine.set_reasoning_parser("deepseek_r1");
  engine.set_gpu_memory_utilization(0.95);
  engine.set_tensor_parallel_size(16);
  engine.set_pipeline_parallel_size(1);
  engine.set_port(8006);
  engine.set_block_size(128);
  engine.set_distributed_executor_backend("ray");
  engine.set_enforce_eager(true);
  (*engine.mutable_environment())["VLLM_TEST_ENABLE_EP"] = "1";
  (*engine.mutable_environment())["VLLM_USE_V1"] = "0";
  return engine;
}

constexpr char kRunbookLine[] =
    "vllm serve /data2/Qwen3-235B-A22B --served-model-name Qwen3-235B-A22B --enable-reasoning "
    "--reasoning-parser deepseek_r1 --gpu-memory-utilization 0.95 --tensor-parallel-size 16 "
    "--port 8006 --block-size 128 --distributed_executor_backend ray --enforce-eager";

std::string Line(const EngineCommandLine& line) { return absl::StrJoin(line.argv, " "); }

EngineCommandLine BuildFor(const v1::Engine& engine, EngineVersion version) {
  return BuildCommandLine(kModel, engine, version, {}).value();
}

TEST(EngineCommandLine, IsTheRunbooksForTheRunbooksVersion) {
  const EngineCommandLine line = BuildFor(RunbookEngine(), {0, 8, 4});
  EXPECT_EQ(Line(line), kRunbookLine);
  EXPECT_THAT(line.environment,
              UnorderedElementsAre(Pair("VLLM_TEST_ENABLE_EP", "1"), Pair("VLLM_USE_V1", "0")));
  EXPECT_THAT(line.notes, ElementsAre(HasSubstr("VLLM_TEST_ENABLE_EP")));
}

TEST(EngineCommandLine, IsTheSameFor073AndFor091) {
  for (const EngineVersion version : {EngineVersion{0, 7, 3}, EngineVersion{0, 9, 1}}) {
    const EngineCommandLine line = BuildFor(RunbookEngine(), version);
    EXPECT_EQ(Line(line), kRunbookLine);
    EXPECT_THAT(line.environment, Contains(Pair("VLLM_USE_V1", "0")));
  }
}

TEST(EngineCommandLine, DropsWhatNewerVersionsRefuse) {
  for (const EngineVersion version : {EngineVersion{0, 10, 0}, EngineVersion{0, 11, 0}}) {
    const EngineCommandLine line = BuildFor(RunbookEngine(), version);
    EXPECT_EQ(Line(line),
              "vllm serve /data2/Qwen3-235B-A22B --served-model-name Qwen3-235B-A22B "
              "--reasoning-parser deepseek_r1 --gpu-memory-utilization 0.95 "
              "--tensor-parallel-size 16 --port 8006 --block-size 128 "
              "--distributed_executor_backend ray --enforce-eager");
    EXPECT_THAT(line.environment, ElementsAre(Pair("VLLM_TEST_ENABLE_EP", "1")));
    EXPECT_THAT(line.notes, Contains(HasSubstr("--enable-reasoning dropped")));
    EXPECT_THAT(line.notes, Contains(HasSubstr("VLLM_USE_V1=0 dropped")));
  }
}

TEST(EngineCommandLine, KeepsV1WhereItIsAskedFor) {
  v1::Engine engine = RunbookEngine();
  (*engine.mutable_environment())["VLLM_USE_V1"] = "1";
  EXPECT_THAT(BuildFor(engine, {0, 11, 0}).environment, Contains(Pair("VLLM_USE_V1", "1")));
}

TEST(EngineCommandLine, AdaptsNothingWithoutAVersion) {
  EXPECT_EQ(Line(BuildCommandLine(kModel, RunbookEngine(), std::nullopt, {}).value()),
            kRunbookLine);
}

TEST(EngineCommandLine, ExpertParallelExistsFrom08) {
  v1::Engine engine = RunbookEngine();
  engine.set_enable_expert_parallel(true);
  EXPECT_THAT(BuildFor(engine, {0, 8, 4}).argv, Contains("--enable-expert-parallel"));
  EXPECT_THAT(BuildFor(engine, {0, 11, 0}).notes, Contains(HasSubstr("expert parallelism")));
  const absl::Status status = BuildCommandLine(kModel, engine, EngineVersion{0, 7, 3}, {}).status();
  const v1::Failure failure = ToFailure(status);
  EXPECT_EQ(failure.class_(), v1::Failure::CONFIG);
  EXPECT_EQ(failure.signature(), "SRV-01");
  EXPECT_THAT(failure.symptom(), HasSubstr("--enable-expert-parallel"));
  EXPECT_THAT(failure.symptom(), HasSubstr("0.7.3"));
}

TEST(EngineCommandLine, ReasoningNeedsItsParser) {
  v1::Engine engine = RunbookEngine();
  engine.clear_reasoning_parser();
  const absl::Status status = BuildCommandLine(kModel, engine, EngineVersion{0, 8, 4}, {}).status();
  EXPECT_EQ(ToFailure(status).signature(), "SRV-02");
  EXPECT_EQ(ToFailure(status).class_(), v1::Failure::CONFIG);
}

TEST(EngineCommandLine, WritesEveryField) {
  v1::Engine engine = RunbookEngine();
  engine.set_host("0.0.0.0");
  engine.set_tensor_parallel_size(8);
  engine.set_pipeline_parallel_size(2);
  engine.set_max_model_len(32768);
  engine.set_max_num_batched_tokens(4096);
  engine.set_max_num_seqs(64);
  engine.set_dtype("bfloat16");
  engine.set_swap_space(0);
  engine.set_cpu_offload_gb(1.5);
  engine.set_quantization("ascend");
  engine.set_trust_remote_code(true);
  engine.add_extra_args("--seed");
  engine.add_extra_args("7");
  EXPECT_THAT(Line(BuildFor(engine, {0, 8, 4})),
              HasSubstr("--tensor-parallel-size 8 --port 8006 --block-size 128 "
                        "--distributed_executor_backend ray --enforce-eager "
                        "--pipeline-parallel-size 2 --max-model-len 32768 "
                        "--max-num-batched-tokens 4096 --max-num-seqs 64 --dtype bfloat16 "
                        "--swap-space 0 --cpu-offload-gb 1.5 --quantization ascend "
                        "--trust-remote-code --host 0.0.0.0 --seed 7"));
}

constexpr char kHelp[] = R"(usage: vllm serve [model_tag] [options]

options:
  --served-model-name SERVED_MODEL_NAME [SERVED_MODEL_NAME ...]
  --enable-reasoning, --no-enable-reasoning
  --reasoning-parser {deepseek_r1,granite}
  --gpu-memory-utilization GPU_MEMORY_UTILIZATION
  --tensor-parallel-size TENSOR_PARALLEL_SIZE, -tp TENSOR_PARALLEL_SIZE
  --port PORT
  --block-size {1,8,16,32,64,128}
  --distributed-executor-backend {external_launcher,mp,ray,uni,None}
  --enforce-eager, --no-enforce-eager
  --compilation-config COMPILATION_CONFIG, -O COMPILATION_CONFIG
                        as `--compilation-config.level 3`; see https://docs.vllm.ai/a--b
)";

TEST(EngineCommandLine, UnderscoresAreDashesToTheHelp) {
  EXPECT_TRUE(
      BuildCommandLine(kModel, RunbookEngine(), EngineVersion{0, 9, 1}, ParseHelp(kHelp)).ok());
}

TEST(EngineCommandLine, NamesAnOptionThatTheImageDoesNotHave) {
  v1::Engine engine = RunbookEngine();
  engine.add_extra_args("--disable_log_requests");
  const v1::Failure failure = ToFailure(
      BuildCommandLine(kModel, engine, EngineVersion{0, 12, 0}, ParseHelp(kHelp)).status());
  EXPECT_EQ(failure.class_(), v1::Failure::CONFIG);
  EXPECT_EQ(failure.signature(), "SRV-01");
  EXPECT_THAT(failure.symptom(), HasSubstr("--disable-log-requests"));
  EXPECT_THAT(failure.symptom(), HasSubstr("0.12.0"));
}

TEST(EngineCommandLine, TakesWhatArgparseTakes) {
  v1::Engine engine = RunbookEngine();
  for (const char* argument :
       {"--compilation-config.level", "3", "--no-enforce", "-tp", "16", "--port=8007"}) {
    engine.add_extra_args(argument);
  }
  EXPECT_TRUE(BuildCommandLine(kModel, engine, EngineVersion{0, 9, 1}, ParseHelp(kHelp)).ok());
}

TEST(EngineHelp, ListsLongOptionsOnly) {
  const std::set<std::string> options = ParseHelp(kHelp);
  EXPECT_THAT(options, Contains("distributed-executor-backend"));
  EXPECT_THAT(options, Contains("no-enforce-eager"));
  EXPECT_THAT(options, Not(Contains("b")));
}

TEST(EngineHelp, AListOfGroupsIsNoHelp) {
  EXPECT_THAT(ParseHelp("usage: vllm serve [options]\n  --headless\n  --help=all  all options\n"),
              IsEmpty());
  EXPECT_THAT(ParseHelp("\xff\xfe--"), IsEmpty());
}

TEST(EngineVersionText, IsTheLastLineThatIsAVersion) {
  EXPECT_EQ(ParseEngineVersion("INFO 08-06 08:32:22 [__init__.py:235] Platform plugin ascend is "
                               "activated\n0.8.4rc2\n"),
            (EngineVersion{0, 8, 4}));
  EXPECT_EQ(ParseEngineVersion("vllm 0.11.0rc3+empty\r\n"), (EngineVersion{0, 11, 0}));
  EXPECT_EQ(ParseEngineVersion("0.9.2.dev3+g1234"), (EngineVersion{0, 9, 2}));
  EXPECT_EQ(ParseEngineVersion("0.1.dev1+g0123456"), std::nullopt);
  EXPECT_EQ(ParseEngineVersion("no version here 0.9.1"), std::nullopt);
  EXPECT_EQ(ParseEngineVersion(""), std::nullopt);
}

TEST(EngineArgv, TellsTheServerFromOthers) {
  EXPECT_TRUE(IsServer({"/usr/bin/python3", "/usr/local/bin/vllm", "serve", "/data2/m"}));
  EXPECT_TRUE(IsServer({"vllm", "serve", "/data2/m"}));
  EXPECT_FALSE(IsServer({"vllm", "--version"}));
  EXPECT_FALSE(IsServer({"tail", "-c", "+1", "/var/log/npufleet/engine-1.log"}));
  EXPECT_FALSE(IsServer({}));
}

}  // namespace
}  // namespace npufleet::verbs
