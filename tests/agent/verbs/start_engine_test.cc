// SPDX-License-Identifier: Apache-2.0
#include "agent/verbs/start_engine/start_engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "agent/verbs/container_exec.h"
#include "agent/verbs/start_engine/engine_log.h"
#include "agent/verbs/start_engine/startup_faults.h"
#include "agent/verbs/start_engine/startup_progress.h"
#include "common/failure.h"
#include "tests/agent/verbs/container_node.h"

namespace npufleet::verbs {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::IsSupersetOf;
using ::testing::Not;

constexpr char kUrl[] = "http://192.168.0.15:8006";
constexpr char kHelp[] =
    "usage: vllm serve\n  --served-model-name --reasoning-parser --tensor-parallel-size --port\n"
    "  --distributed-executor-backend --enforce-eager --enable-reasoning\n";
constexpr char kReady[] =
    "@@{\"nodes\": [{\"id\": \"a\"}, {\"id\": \"b\"}], \"total\": 16.0, \"free\": 16.0}\n";

class StoppableExecution : public fakes::FakeExecution {
 public:
  using FakeExecution::FakeExecution;
  void StopAgent() {
    questions_until_cancel = 0;
    stops_ = true;
  }
  bool AgentStops() override { return stops_; }

 private:
  bool stops_ = false;
};

class StartEngineTest : public ::testing::Test {
 protected:
  StartEngineTest() {
    start_.set_container(kContainer);
    start_.set_model_path("/data2/Qwen3-235B-A22B");
    start_.set_address("192.168.0.15");
    start_.set_ray_port(6379);
    start_.set_expected_chips(16);
    start_.set_expected_nodes(2);
    v1::Engine& engine = *start_.mutable_engine();
    engine.set_served_model_name("Qwen3-235B-A22B");
    engine.set_port(8006);
    engine.set_tensor_parallel_size(16);
    engine.set_distributed_executor_backend("ray");
    engine.set_enforce_eager(true);
    (*engine.mutable_environment())["HCCL_IF_IP"] = "192.168.0.15";

    // What an image says of itself is kept in the process: each test has its own image.
    host::DockerContainer container = node_.docker().InspectContainer(kContainer).value();
    container.image_id =
        absl::StrCat("sha256:", ::testing::UnitTest::GetInstance()->current_test_info()->name());
    node_.docker().AddContainer(container);

    node_.docker().OnExec(EntryArgv({"vllm", "--version"}), "INFO plugin\n0.9.1\n");
    node_.docker().OnExec(EntryArgv({"vllm", "serve", "--help"}), kHelp);
    node_.docker().OnExec(EntryArgv({"python3", "-c"}), kReady);
    node_.docker().OnExec(EntryArgv({"vllm", "serve", "/data2/Qwen3-235B-A22B"}),
                          [this](const host::ExecSpec& spec) { return Serve(spec); });
    node_.docker().OnExec({"tail"}, [this](const host::ExecSpec& spec) { return Tail(spec); });
  }

  absl::StatusOr<host::ExecResult> Serve(const host::ExecSpec& spec) {
    EXPECT_TRUE(spec.detach);
    ++starts_;
    StartServer(700 + starts_, spec.environment);
    return host::ExecResult{};
  }

  void StartServer(int pid, const std::map<std::string, std::string>& environment) {
    node_.Start(pid, {"/usr/bin/python3", "/usr/local/bin/vllm", "serve", "/data2/m"}, environment);
  }

  // One more line of the log each time, then whatever `after_log_` does.
  absl::StatusOr<host::ExecResult> Tail(const host::ExecSpec& spec) {
    if (!daemon_.ok() && node_.clock().Elapsed() < daemon_back_) return daemon_;
    if (next_line_ < log_lines_.size()) {
      written_ += log_lines_[next_line_++] + "\n";
    } else if (after_log_) {
      after_log_();
    }
    size_t offset = 0;
    EXPECT_TRUE(absl::SimpleAtoi(spec.argv[2].substr(1), &offset));
    return host::ExecResult{0, written_.substr(offset - 1), ""};
  }

  void OpenPort() {
    node_.http().On("GET", std::string(kUrl) + "/health", 200, "");
    node_.http().On("GET", std::string(kUrl) + "/v1/models", 200,
                    R"({"object":"list","data":[{"id":"Qwen3-235B-A22B","object":"model"}]})");
  }

  // A server whose log is a file of this machine, to which it appends through the entry script, and
  // a container whose programs run on this machine.
  void StartServerWithLog(int pid, const std::string& stamp) {
    std::map<std::string, std::string> environment = Stamped(stamp);
    environment[kLogVariable] = log_;
    StartServer(pid, environment);
    std::filesystem::create_directories(node_.files().Real(absl::StrCat("/proc/", pid, "/fd")));
    std::filesystem::create_symlink(log_, node_.files().Real(absl::StrCat("/proc/", pid, "/fd/1")));
    RunProgramsHere();
  }

  void RunProgramsHere(std::vector<std::string> programs = {"dd", "ls", "rm"}) {
    for (const std::string& program : programs) {
      node_.docker().OnExec({program}, [this](const host::ExecSpec& spec) {
        host::ExecSpec real = spec;
        for (std::string& argument : real.argv) {
          if (argument.starts_with("/var/log/npufleet")) argument = node_.files().Real(argument);
        }
        return RunHere(real);
      });
    }
  }

  static absl::StatusOr<host::ExecResult> RunHere(const host::ExecSpec& spec) {
    host::ProcessOptions options;
    options.environment = spec.environment;
    const absl::StatusOr<host::ProcessResult> result =
        host::MakeSubprocess("/", {"/usr/bin", "/bin"})->Run(spec.argv, options);
    if (!result.ok()) return result.status();
    return host::ExecResult{result->exit_code, result->out, result->err};
  }

  void Grow(uint64_t size_bytes) {
    ASSERT_TRUE(node_.files().OpenToAppend(kLog).value()->Truncate(size_bytes).ok());
    ASSERT_TRUE(node_.files().OpenToAppend(kLog).value()->Append("the end\n").ok());
  }

  uint64_t SizeOf(const std::string& path) {
    return node_.files().Stat(path).value_or(host::FileInfo{}).size_bytes;
  }

  void EndServer() { node_.End(700 + starts_); }

  std::unique_ptr<Verb> Make() {
    v1::Subject subject;
    subject.set_task("serve@node-a");
    subject.set_stamp("e1");
    subject.mutable_inputs()->insert(inputs_.begin(), inputs_.end());
    return MakeStartEngine(start_, subject, node_.host()).value();
  }

  std::map<std::string, std::string> Stamped(const std::string& stamp) {
    return {{kTaskVariable, "serve@node-a"},
            {kStampVariable, stamp},
            {kLogVariable, "/var/log/npufleet/engine-1.log"}};
  }

  v1::StartEngine start_;
  std::map<std::string, std::string> inputs_;
  ContainerNode node_;
  static constexpr char kLog[] = "/var/log/npufleet/engine-1.log";
  const std::string log_ = node_.files().Real(kLog);
  StoppableExecution execution_{node_.host()};
  int starts_ = 0;
  std::vector<std::string> log_lines_;
  size_t next_line_ = 0;
  std::string written_;
  absl::Status daemon_;  // what it answers until daemon_back_
  absl::Duration daemon_back_;
  std::function<void()> after_log_ = [this] { OpenPort(); };
};

TEST_F(StartEngineTest, StartsAndFollowsTheLogUntilItIsUp) {
  log_lines_ = {"INFO Platform plugin ascend is activated",
                "\x1b[36m(RayWorkerWrapper pid=860)\x1b[0m Starting to load model /data2/m...",
                "Loading safetensors checkpoint shards:  47% Completed | 77/163 [00:03<00:04]",
                "INFO:     Application startup complete."};
  std::unique_ptr<Verb> verb = Make();
  EXPECT_EQ(verb->Check().state(), v1::Observation::ABSENT);
  const absl::Status applied = verb->Apply(execution_);
  ASSERT_TRUE(applied.ok()) << applied;
  const v1::Observation observation = verb->Check();
  EXPECT_EQ(observation.state(), v1::Observation::PRESENT);
  EXPECT_EQ(observation.token(), "701@701");
  EXPECT_EQ(observation.facts().at("health"), "HTTP 200");
  EXPECT_THAT(execution_.lines,
              Contains("(RayWorkerWrapper pid=860) Starting to load model /data2/m..."));
  std::vector<uint64_t> percents;
  for (const v1::Progress& report : execution_.reports) percents.push_back(report.done());
  EXPECT_EQ(percents, (std::vector<uint64_t>{2, 15, 45, 99, 100}));
  const host::ExecSpec serve =
      node_.docker().Execs(EntryArgv({"vllm", "serve", "/data2/Qwen3-235B-A22B"}))[0];
  EXPECT_EQ(serve.environment.at("VLLM_HOST_IP"), "192.168.0.15");
  EXPECT_EQ(serve.environment.at("HCCL_IF_IP"), "192.168.0.15");
  EXPECT_EQ(serve.environment.at(kStampVariable), "e1");
  EXPECT_THAT(serve.environment.at(kLogVariable), HasSubstr("/var/log/npufleet/engine-"));
}

TEST_F(StartEngineTest, AsksTheImageOnlyOnce) {
  ASSERT_TRUE(Make()->Apply(execution_).ok());
  ASSERT_TRUE(Make()->Stop(execution_).ok());
  ASSERT_TRUE(Make()->Apply(execution_).ok());
  EXPECT_EQ(node_.docker().Execs(EntryArgv({"vllm", "--version"})).size(), 1u);
}

TEST_F(StartEngineTest, AnUnknownOptionStopsBeforeAnythingIsTouched) {
  StartServer(690, Stamped("e0"));
  start_.mutable_engine()->add_extra_args("--no-such-option");
  const v1::Failure failure = ToFailure(Make()->Apply(execution_));
  EXPECT_EQ(failure.class_(), v1::Failure::CONFIG);
  EXPECT_EQ(failure.signature(), "SRV-01");
  EXPECT_THAT(failure.symptom(), HasSubstr("--no-such-option"));
  EXPECT_THAT(failure.symptom(), HasSubstr("0.9.1"));
  EXPECT_THAT(node_.system().Signals(), IsEmpty());
}

TEST_F(StartEngineTest, NoServerIsStartedOverOtherFilesOfTheModelOnAnotherNode) {
  inputs_ = {{"model", "sha256:0123456789abcdef"},
             {"model@node-b", "sha256:0123456789abcdef"},
             {"model@node-c", "sha256:fedcba9876543210"},
             {"ray-worker@node-b", "another token"}};
  const v1::Failure failure = ToFailure(Make()->Apply(execution_));
  EXPECT_EQ(starts_, 0);
  EXPECT_EQ(failure.class_(), v1::Failure::CONFIG);
  EXPECT_EQ(failure.signature(), "MOD-10");
  EXPECT_THAT(failure.symptom(),
              HasSubstr("files on node-a (sha256:0123456789ab) are not those on node-c "
                        "(sha256:fedcba987654)"));
  EXPECT_THAT(failure.symptom(), HasSubstr("/data2/Qwen3-235B-A22B/.npufleet-manifest.json"));
  EXPECT_THAT(failure.advice(), HasSubstr("ctl rollout restart NAME --from model"));
  EXPECT_EQ(Make()->Check().failure().symptom(), failure.symptom()) << "before anything is stopped";
}

TEST_F(StartEngineTest, AServerThatCameUpBeforeTheModelsDifferedGoesOn) {
  ASSERT_TRUE(Make()->Apply(execution_).ok());
  inputs_ = {{"model", "sha256:aa"}, {"model@node-b", "sha256:bb"}};
  const v1::Observation observation = Make()->Check();
  EXPECT_EQ(observation.state(), v1::Observation::PRESENT);
  EXPECT_FALSE(observation.has_failure());
  EXPECT_THAT(observation.reason(), HasSubstr("are not those on node-b (sha256:bb)"));
}

TEST_F(StartEngineTest, NothingIsSaidOfEqualModelsAndOfWhatIsNotKnown) {
  inputs_ = {{"model", "sha256:aa"}, {"model@node-b", "sha256:aa"}, {"model@node-c", ""}};
  ASSERT_TRUE(Make()->Apply(execution_).ok());
  EXPECT_EQ(Make()->Check().reason(), "");
  inputs_.erase("model");
  EXPECT_EQ(Make()->Check().reason(), "");
}

TEST_F(StartEngineTest, AnOldServerIsEndedFirst) {
  StartServer(690, Stamped("e0"));
  node_.Start(691, {"VLLM::EngineCore"}, Stamped("e0"));
  std::unique_ptr<Verb> verb = Make();
  EXPECT_EQ(verb->Check().state(), v1::Observation::ABSENT);
  EXPECT_EQ(verb->Check().token(), "690@690");
  ASSERT_TRUE(verb->Apply(execution_).ok());
  EXPECT_THAT(node_.system().Signals(), Contains(std::pair(690, 15)));
  EXPECT_THAT(node_.system().Signals(), Contains(std::pair(691, 9)));
  EXPECT_EQ(verb->Check().token(), "701@701");
}

TEST_F(StartEngineTest, AServerThatStillLoadsIsWaitedFor) {
  StartServer(690, Stamped("e1"));
  std::unique_ptr<Verb> verb = Make();
  EXPECT_EQ(verb->Check().state(), v1::Observation::ABSENT);
  EXPECT_THAT(verb->Check().reason(), HasSubstr("still starting"));
  ASSERT_TRUE(verb->Apply(execution_).ok());
  EXPECT_EQ(starts_, 0);
  EXPECT_EQ(verb->Check().token(), "690@690");
}

TEST_F(StartEngineTest, ARedoRestartsAServerThatIsUp) {
  StartServer(690, Stamped("e1"));
  OpenPort();
  std::unique_ptr<Verb> verb = Make();
  EXPECT_EQ(verb->Check().state(), v1::Observation::PRESENT);
  ASSERT_TRUE(verb->Apply(execution_).ok());
  EXPECT_EQ(verb->Check().token(), "701@701");
}

TEST_F(StartEngineTest, AHealthThatDoesNotAnswerInTimeIsNotAbsence) {
  StartServer(690, Stamped("e1"));
  node_.http().On("GET", std::string(kUrl) + "/health",
                  [](const host::HttpRequest&) -> absl::StatusOr<host::HttpResponse> {
                    return absl::DeadlineExceededError("busy");
                  });
  EXPECT_EQ(Make()->Check().state(), v1::Observation::PRESENT);
}

TEST_F(StartEngineTest, TheServersEndIsExplainedByItsLog) {
  log_lines_ = {"INFO Platform plugin ascend is activated",
                "ValueError: Total number of attention heads (40) must be divisible by tensor "
                "parallel size (16).",
                "RuntimeError: Engine core initialization failed. See root cause above."};
  after_log_ = [this] { EndServer(); };
  const v1::Failure failure = ToFailure(Make()->Apply(execution_));
  EXPECT_EQ(failure.signature(), "SRV-14");
  EXPECT_EQ(failure.class_(), v1::Failure::CONFIG);
  EXPECT_EQ(failure.log_tail_size(), 3);
}

TEST_F(StartEngineTest, AFailedRankEndsTheStartAtOnce) {
  log_lines_ = {
      "(RayWorkerWrapper pid=860) Error executing method 'init_device'. This might cause "
      "deadlock in distributed execution.",
      "(RayWorkerWrapper pid=860) RuntimeError: NPU out of memory. Tried to allocate "
      "30.00 MiB (NPU 3; 60.96 GiB total capacity)"};
  after_log_ = nullptr;
  const absl::Duration start = node_.clock().Elapsed();
  const v1::Failure failure = ToFailure(Make()->Apply(execution_));
  EXPECT_EQ(failure.signature(), "SRV-11");
  EXPECT_LT(node_.clock().Elapsed() - start, absl::Seconds(40));
  EXPECT_THAT(node_.system().Signals(), Contains(std::pair(701, 15)));
  EXPECT_EQ(Make()->Check().state(), v1::Observation::ABSENT);
}

TEST_F(StartEngineTest, ASilentServerIsGivenUp) {
  log_lines_ = {"INFO Platform plugin ascend is activated"};
  after_log_ = nullptr;
  const v1::Failure failure = ToFailure(Make()->Apply(execution_));
  EXPECT_EQ(failure.class_(), v1::Failure::TRANSIENT);
  EXPECT_THAT(failure.symptom(), HasSubstr("no new line in the log for 10m"));
}

TEST_F(StartEngineTest, AServerThatLoadsIsNotEndedForADaemonThatDoesNotAnswerForAWhile) {
  for (const absl::Status& answer :
       {absl::DeadlineExceededError("no complete answer within 1m"),
        absl::FailedPreconditionError("docker answered 500"), absl::UnavailableError("refused"),
        absl::NotFoundError("No such exec instance")}) {
    daemon_ = answer;
    daemon_back_ = node_.clock().Elapsed() + absl::Seconds(100);
    const absl::Status applied = Make()->Apply(execution_);
    EXPECT_TRUE(applied.ok()) << applied;
    EXPECT_THAT(execution_.lines, Contains(HasSubstr(std::string(answer.message()))));
    EndServer();
  }
}

TEST_F(StartEngineTest, OneThatCannotBeSeenForLongIsTriedAgain) {
  daemon_ = absl::FailedPreconditionError("docker answered 500");
  daemon_back_ = absl::InfiniteDuration();
  const v1::Failure failure = ToFailure(Make()->Apply(execution_));
  EXPECT_EQ(failure.class_(), v1::Failure::TRANSIENT);
  EXPECT_THAT(failure.symptom(), HasSubstr("not been seen for 2m: "));
}

TEST_F(StartEngineTest, AContainerThatIsGoneIsNotWaitedFor) {
  after_log_ = [this] {
    EXPECT_TRUE(node_.docker().StopContainer(kContainer, absl::ZeroDuration()).ok());
  };
  const absl::Duration began = node_.clock().Elapsed();
  EXPECT_FALSE(Make()->Apply(execution_).ok());
  EXPECT_LT(node_.clock().Elapsed() - began, absl::Minutes(1));
}

TEST_F(StartEngineTest, AnotherServersPortIsNotOurs) {
  node_.system().SetListeningTcpPorts(
      {{.port = 8006, .pid = 42, .command = "nginx", .container = ""}});
  const v1::Failure failure = ToFailure(Make()->Apply(execution_));
  EXPECT_EQ(failure.signature(), "SRV-22");
  EXPECT_THAT(failure.symptom(), HasSubstr("nginx"));
  EXPECT_EQ(starts_, 0);
}

TEST_F(StartEngineTest, AnotherModelUnderThePortIsTheSpecs) {
  after_log_ = [this] {
    OpenPort();
    node_.http().On("GET", std::string(kUrl) + "/v1/models", 200, R"({"data":[{"id":"other"}]})");
  };
  EXPECT_EQ(ToFailure(Make()->Apply(execution_)).signature(), "RUN-13");
}

TEST_F(StartEngineTest, WhatRayLacksIsRedone) {
  const struct {
    const char* answer;
    const char* stage;
    const char* signature;
  } cases[] = {
      {"@@{\"nodes\": [{\"id\": \"a\"}], \"total\": 8, \"free\": 8}\n", "ray-worker", "RAW-05"},
      {"@@{\"nodes\": [{\"id\": \"a\"}, {\"id\": \"b\"}], \"total\": 0, \"free\": 0}\n", "ray-head",
       "RAH-05"},
      {"@@{\"nodes\": [{\"id\": \"a\"}, {\"id\": \"b\"}], \"total\": 16, \"free\": 0}\n",
       "ray-head", "RAH-06"},
      {"ConnectionError: Could not find any running Ray instance.\n", "ray-head", "RAH-07"},
  };
  for (const auto& [answer, stage, signature] : cases) {
    node_.docker().OnExec(EntryArgv({"python3", "-c"}), answer);
    const v1::Failure failure = ToFailure(Make()->Apply(execution_));
    EXPECT_EQ(failure.class_(), v1::Failure::REDO) << answer;
    EXPECT_EQ(failure.redo_stage(), stage);
    EXPECT_EQ(failure.signature(), signature);
  }
  EXPECT_EQ(starts_, 0);
}

TEST_F(StartEngineTest, ACancelledStartLeavesNoServer) {
  log_lines_ = {"INFO Platform plugin ascend is activated"};
  after_log_ = [this] { execution_.questions_until_cancel = 0; };
  std::unique_ptr<Verb> verb = Make();
  EXPECT_TRUE(absl::IsCancelled(verb->Apply(execution_)));
  EXPECT_EQ(starts_, 1);
  EXPECT_THAT(node_.system().Signals(), Contains(std::pair(701, 15)));
  EXPECT_EQ(verb->Check().token(), "");
}

TEST_F(StartEngineTest, AStopOfTheAgentLeavesALoadingServerToTheNextAgent) {
  log_lines_ = {"INFO Platform plugin ascend is activated"};
  after_log_ = [this] { execution_.StopAgent(); };
  EXPECT_TRUE(absl::IsCancelled(Make()->Apply(execution_)));
  EXPECT_THAT(node_.system().Signals(), IsEmpty());

  after_log_ = [this] { OpenPort(); };
  fakes::FakeExecution of_next_agent(node_.host());
  ASSERT_TRUE(Make()->Apply(of_next_agent).ok());
  EXPECT_EQ(starts_, 1);
  EXPECT_EQ(Make()->Check().token(), "701@701");
}

TEST_F(StartEngineTest, AStopOfTheAgentLeavesAServerThatHasJustComeUp) {
  after_log_ = [this] {
    OpenPort();
    node_.http().On("GET", std::string(kUrl) + "/v1/models",
                    [this](const host::HttpRequest&) -> absl::StatusOr<host::HttpResponse> {
                      execution_.StopAgent();
                      return absl::CancelledError();
                    });
  };
  EXPECT_TRUE(absl::IsCancelled(Make()->Apply(execution_)));
  EXPECT_THAT(node_.system().Signals(), IsEmpty());
  EXPECT_EQ(Make()->Check().state(), v1::Observation::PRESENT);
}

TEST_F(StartEngineTest, ACheckBoundsTheLogAndKeepsItsEnd) {
  Grow(kLargestEngineLog);
  StartServerWithLog(690, "e1");
  OpenPort();
  ASSERT_TRUE(node_.files().Write("/var/log/npufleet/engine-1.log.1", "former").ok());
  EXPECT_EQ(Make()->Check().state(), v1::Observation::PRESENT);
  EXPECT_EQ(SizeOf(kLog), 0u);
  const std::string kept = node_.files().Read("/var/log/npufleet/engine-1.log.1").value();
  EXPECT_GE(kept.size(), kKeptOfEngineLog);
  EXPECT_LT(kept.size(), kKeptOfEngineLog + (1 << 20));
  EXPECT_TRUE(kept.ends_with("the end\n"));
  // What the server goes on to write begins at the start of the file.
  const host::ExecSpec line{.argv = EntryArgv({"echo", "again"}),
                            .environment = {{kLogVariable, log_}}};
  ASSERT_TRUE(RunHere(line).ok());
  EXPECT_EQ(node_.files().Read(kLog).value(), "again\n");
}

TEST_F(StartEngineTest, ALogWithinItsBoundCostsNoExec) {
  Grow(kLargestEngineLog - 8);
  StartServerWithLog(690, "e1");
  OpenPort();
  EXPECT_EQ(Make()->Check().state(), v1::Observation::PRESENT);
  EXPECT_EQ(SizeOf(kLog), kLargestEngineLog);
  EXPECT_THAT(node_.docker().Execs(), IsEmpty());
}

TEST_F(StartEngineTest, ALogIsBoundedAlsoWhenItsEndCannotBeKept) {
  Grow(kLargestEngineLog);
  StartServerWithLog(690, "e0");  // of another want: it writes all the same
  node_.docker().OnExec({"dd"}, "", "dd: error writing: No space left on device\n", 1);
  EXPECT_EQ(Make()->Check().state(), v1::Observation::ABSENT);
  EXPECT_EQ(SizeOf(kLog), 0u);
}

TEST_F(StartEngineTest, AStartingServersLogIsReadOnFromItsStartOnceItIsCut) {
  Grow(kLargestEngineLog);
  StartServerWithLog(690, "e1");
  int reads = 0;
  node_.docker().OnExec({"tail"}, [&](const host::ExecSpec& spec) {
    absl::StatusOr<host::ExecResult> read = RunHere(spec);
    if (++reads == 1) {
      read->out = "before the cut\n";
    } else if (reads == 2) {
      node_.files().OpenToAppend(kLog).value()->Append("after the cut\n").IgnoreError();
    } else {
      OpenPort();
    }
    return read;
  });
  const absl::Status applied = Make()->Apply(execution_);
  EXPECT_TRUE(applied.ok()) << applied;
  EXPECT_THAT(execution_.lines, IsSupersetOf({"before the cut", "after the cut"}));
  EXPECT_LT(SizeOf(kLog), kKeptOfEngineLog);
}

TEST_F(StartEngineTest, AServerThatIsGoneHasItsLastWordsRead) {
  RunProgramsHere({"ls", "tail"});
  EXPECT_FALSE(Make()->Check().has_cause()) << "no server has ever run";
  ASSERT_TRUE(node_.files().Write("/var/log/npufleet/engine-1.log", "an older one\n").ok());
  std::filesystem::last_write_time(
      node_.files().Real("/var/log/npufleet/engine-1.log"),
      std::filesystem::file_time_type::clock::now() - std::chrono::hours(1));
  ASSERT_TRUE(
      node_.files()
          .Write("/var/log/npufleet/engine-2.log",
                 "INFO: 200 OK\n"
                 "NPU function error: c10_npu::SetDevice(device_id_), error code is 507033\n"
                 "EngineDeadError: EngineCore encountered an issue.\n")
          .ok());
  const v1::Observation gone = Make()->Check();
  EXPECT_EQ(gone.state(), v1::Observation::ABSENT);
  EXPECT_FALSE(gone.has_failure()) << "it may be started again";
  EXPECT_EQ(gone.cause().signature(), "SRV-20");
  EXPECT_THAT(gone.cause().log_tail(), Contains(HasSubstr("EngineDeadError")));
}

TEST_F(StartEngineTest, WhatAKillFromOutsideLeavesIsShownAndCountsForNothing) {
  RunProgramsHere({"ls", "tail"});
  ASSERT_TRUE(node_.files()
                  .Write("/var/log/npufleet/engine-1.log",
                         "EngineDeadError: EngineCore encountered an issue. See stack trace\n")
                  .ok());
  const v1::Observation gone = Make()->Check();
  EXPECT_EQ(gone.cause().signature(), "");
  EXPECT_THAT(gone.cause().symptom(), HasSubstr("EngineDeadError"));
}

TEST_F(StartEngineTest, AServerThatTheKernelKilledForWantOfMemorySaysSo) {
  RunProgramsHere({"ls", "tail", "stat"});
  ASSERT_TRUE(node_.files().Write("/var/log/npufleet/engine-1.log", "INFO: 200 OK\n").ok());
  const std::string id = node_.docker().InspectContainer(kContainer)->id;
  node_.programs().On(
      {"journalctl", "-k"},
      absl::StrCat("oom-kill:global_oom,task_memcg=/docker/", id, ",task=vllm,pid=4711,uid=0\n",
                   "Out of memory: Killed process 4711 (vllm) total-vm:1234kB\n"));
  const v1::Observation gone = Make()->Check();
  EXPECT_EQ(gone.cause().signature(), "PRE-02");
  EXPECT_THAT(gone.cause().symptom(), HasSubstr("Killed process 4711"));
  EXPECT_THAT(gone.cause().log_tail(), Contains("INFO: 200 OK"));
}

TEST_F(StartEngineTest, WhatElseTheKernelSaysIsShownAndCountsForNothing) {
  RunProgramsHere({"ls", "tail", "stat"});
  ASSERT_TRUE(node_.files().Write("/var/log/npufleet/engine-1.log", "INFO: 200 OK\n").ok());
  node_.programs().On({"journalctl", "-k"}, "nf_conntrack: nf_conntrack: table full, dropping\n");
  const v1::Observation gone = Make()->Check();
  EXPECT_EQ(gone.cause().signature(), "");
  EXPECT_THAT(gone.cause().symptom(), HasSubstr("table full"));
}

TEST_F(StartEngineTest, AStartKeepsOnlyTheNewestLogs) {
  RunProgramsHere();
  for (int log = 1; log <= 7; ++log) {
    const std::string path = absl::StrCat("/var/log/npufleet/engine-", log, ".log");
    ASSERT_TRUE(node_.files().Write(path, "log").ok());
    ASSERT_TRUE(node_.files().Write(path + ".1", "log").ok());
    // By its name the oldest is the newest: the clock was wrong then.
    std::filesystem::last_write_time(
        node_.files().Real(path),
        std::filesystem::file_time_type::clock::now() - std::chrono::hours(log));
  }
  ASSERT_TRUE(node_.files().Write("/var/log/npufleet/notes.log", "mine").ok());
  const absl::Status applied = Make()->Apply(execution_);
  ASSERT_TRUE(applied.ok()) << applied;
  EXPECT_THAT(
      node_.files().List("/var/log/npufleet").value(),
      ElementsAre("engine-1.log", "engine-1.log.1", "engine-2.log", "engine-2.log.1",
                  "engine-3.log", "engine-3.log.1", "engine-4.log", "engine-4.log.1", "notes.log"));
  EXPECT_THAT(execution_.Text(), HasSubstr("rm -f /var/log/npufleet/engine-5.log"));
}

TEST_F(StartEngineTest, AServerThatIgnoresTermIsKilled) {
  StartServer(690, Stamped("e1"));
  node_.system().IgnoreSignal(690, 15);
  ASSERT_TRUE(Make()->Stop(execution_).ok());
  EXPECT_THAT(node_.system().Signals(), Contains(std::pair(690, 9)));
}

TEST_F(StartEngineTest, StopIsDoneWithoutItsContainer) {
  StartServer(690, Stamped("e1"));
  node_.docker().Kill(kContainer);
  EXPECT_TRUE(Make()->Stop(execution_).ok());
  EXPECT_EQ(Make()->Check().state(), v1::Observation::ABSENT);
  const v1::Failure failure = ToFailure(Make()->Apply(execution_));
  EXPECT_EQ(failure.redo_stage(), "container");
  node_.docker().SetDown(true);
  node_.system().OnSystemctl({"is-active"}, "active\n");
  EXPECT_EQ(Make()->Check().state(), v1::Observation::UNKNOWN);
}

TEST_F(StartEngineTest, AnImageWithoutVllmIsTheSpecs) {
  node_.docker().OnExec(EntryArgv({"vllm", "--version"}), "", "bash: vllm: not found\n", 127);
  const v1::Failure failure = ToFailure(Make()->Apply(execution_));
  EXPECT_EQ(failure.class_(), v1::Failure::CONFIG);
  EXPECT_THAT(failure.symptom(), HasSubstr("not found"));
}

TEST(StartupFaultsTest, ACauseComesBeforeWhatItsPeersSayAndThatBeforeWrappers) {
  StartupFaults faults;
  faults.Read("RuntimeError: Engine core initialization failed. See root cause above.");
  EXPECT_EQ(faults.Cause("").signature(), "SRV-23");
  faults.Read(
      "torch.distributed.DistStoreError: Timed out after 1801 seconds waiting for clients.");
  faults.Read("EI0006 Getting socket times out. Reason: 1. The remote does not initiate a connect");
  EXPECT_EQ(faults.Cause("").signature(), "NET-14") << "of consequences the earliest";
  EXPECT_FALSE(faults.HasCause());
  faults.Read("RuntimeError: NPU out of memory. Tried to allocate 30.00 MiB (NPU 3; 60.96 GiB)");
  faults.Read(
      "ValueError: Total number of attention heads (40) must be divisible by tensor "
      "parallel size (16).");
  EXPECT_TRUE(faults.HasCause());
  EXPECT_EQ(faults.Cause("").signature(), "SRV-11") << "of causes the earliest";
}

TEST_F(StartEngineTest, ACauseOfAnotherNodesRankNamesThatNode) {
  inputs_ = {{"ray-head", "session"}, {"ray-worker@node-b", "b1"}};
  log_lines_ = {
      "(RayWorkerWrapper pid=860) EI0006 Getting socket times out. Reason: 1. The remote",
      "\x1b[36m(RayWorkerWrapper pid=412, ip=192.168.0.16)\x1b[0m RuntimeError: NPU out of memory. "
      "Tried to allocate 30.00 MiB (NPU 3; 60.96 GiB total capacity)"};
  after_log_ = nullptr;
  v1::Failure failure = ToFailure(Make()->Apply(execution_));
  EXPECT_EQ(failure.signature(), "SRV-11");
  EXPECT_THAT(failure.symptom(), HasSubstr("on node-b (192.168.0.16): "));
}

TEST_F(StartEngineTest, WhatTheKernelSaysOutranksTheWordsOfPeers) {
  const std::string id = node_.docker().InspectContainer(kContainer)->id;
  node_.programs().On(
      {"journalctl", "-k"},
      absl::StrCat("oom-kill:constraint=CONSTRAINT_NONE,task_memcg=/docker/", id,
                   ",task=python3,pid=702,uid=0\nOut of memory: Killed process 702 (python3)\n"));
  log_lines_ = {"Engine core proc EngineCore_DP0 died unexpectedly, shutting down client."};
  after_log_ = [this] { EndServer(); };
  EXPECT_EQ(ToFailure(Make()->Apply(execution_)).signature(), "PRE-02");
}

TEST_F(StartEngineTest, AnotherUserOfTheChipsIsNotTouchedAndNoServerStarts) {
  (*start_.mutable_engine()->mutable_environment())["ASCEND_RT_VISIBLE_DEVICES"] = "0";
  node_.system().AddProcess({.pid = 42, .argv = {"vllm", "serve", "/m"}});
  node_.programs().On(
      {"npu-smi", "info"},
      "| npu-smi 25.0.rc1                 Version: 25.0.rc1 |\n"
      "| NPU   Name | Health | Power(W) Temp(C) Hugepages-Usage(page)|\n"
      "| Chip | Bus-Id | AICore(%) Memory-Usage(MB) HBM-Usage(MB) |\n"
      "| 0 910B3 | OK | 92.0 39 0 / 0 |\n| 0 | 0000:C0:00.0 | 0 0 / 0 3314 / 65536 |\n"
      "| NPU     Chip | Process id | Process name | Process memory(MB) |\n"
      "| 0 0 | 42 | vllm | 9 |\n+====+\n");
  const v1::Failure failure = ToFailure(Make()->Apply(execution_));
  EXPECT_EQ(failure.class_(), v1::Failure::NEEDS_OPERATOR);
  EXPECT_THAT(failure.symptom(), HasSubstr("NPU 0 is held by process 42 (vllm serve)"));
  EXPECT_EQ(starts_, 0);
  EXPECT_THAT(node_.system().Signals(), IsEmpty());
}

TEST(StartupFaultsTest, AShortWaitForRaysNpusIsNoFault) {
  StartupFaults faults;
  faults.Read(
      "INFO ray_utils.py] Waiting for creating a placement group of specs for 10 seconds. "
      "specs=[{'NPU': 1.0}]. Check `ray status` to see if you have enough resources.");
  EXPECT_FALSE(faults.IsFatal());
  EXPECT_EQ(faults.Cause("ended").signature(), "");
  faults.Read(
      "INFO ray_utils.py] Waiting for creating a placement group of specs for 150 seconds. "
      "specs=[{'NPU': 1.0}]. Check `ray status` to see if you have enough resources.");
  EXPECT_TRUE(faults.IsFatal());
  EXPECT_EQ(faults.Cause("ended").signature(), "SRV-05");
}

TEST(StartupProgressTest, NeverGoesBack) {
  StartupProgress progress;
  EXPECT_EQ(progress.Read("Loading weights took 123.45 seconds")->done(), 80u);
  EXPECT_EQ(progress.Read("Starting to load model x..."), std::nullopt);
  EXPECT_EQ(progress.Read("Loading safetensors checkpoint shards:   % Completed"), std::nullopt);
  EXPECT_EQ(progress.Read("INFO: Application startup complete.")->done(), 99u);
}

}  // namespace
}  // namespace npufleet::verbs
