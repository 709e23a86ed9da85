// SPDX-License-Identifier: Apache-2.0
#include "agent/operations/runner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <fstream>
#include <functional>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "agent/operations/run_operation.h"
#include "agent/operations/step_files.h"
#include "agent/verbs/mark.h"
#include "common/failure.h"
#include "tests/agent/operations/fake_verb.h"
#include "tests/fakes/fake_host.h"
#include "tests/fakes/temporary_folder.h"

namespace npufleet::operations {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kTask[] = "driver@node-a";

// One agent on one node; StartAgent() again is a restart of the agent.
class RunnerTest : public ::testing::Test {
 protected:
  RunnerTest() {
    node_.programs().On({"/bin/sh"}, "");
    StartAgent();
  }
  ~RunnerTest() override { StopAgent(); }

  void StartAgent() {
    StopAgent();
    journal_ = *Journal::Open(folder_.path() + "/journal.db");
    steps_ = std::make_unique<DurableSteps>(folder_.path() + "/steps");
    Runner::Options options;
    options.flush_period = absl::Milliseconds(1);
    options.reboot_patience = patience_;
    options.on_ended = [this](const std::string& task) {
      absl::MutexLock lock(&mutex_);
      ended_.push_back(task);
    };
    runner_ = std::make_unique<Runner>(node_.host(), verbs_.factory(), *journal_, *steps_,
                                       npu_tools_, options);
    if (before_resume_) before_resume_();
    ASSERT_TRUE(runner_->Resume().ok());
  }
  void StopAgent() {
    runner_.reset();
    steps_.reset();
    journal_.reset();
  }

  v1::StartOperationRequest Request(const std::string& id, const std::string& task = kTask) {
    v1::StartOperationRequest request;
    request.set_id(id);
    request.set_epoch(5);
    request.set_boot_id(*node_.system().BootId());
    request.set_action(v1::Operation::APPLY);
    *request.mutable_subject() = SubjectOf(task);
    return request;
  }

  v1::Operation WaitUntil(const std::string& id, std::function<bool(const v1::Operation&)> done) {
    absl::Mutex mutex;
    bool changed = true;
    auto subscription = runner_->changes().Subscribe([&] {
      absl::MutexLock lock(&mutex);
      changed = true;
    });
    while (true) {
      {
        absl::MutexLock lock(&mutex);
        mutex.Await(absl::Condition(&changed));
        changed = false;
      }
      auto operation = runner_->Get(id);
      EXPECT_TRUE(operation.ok()) << operation.status();
      if (!operation.ok() || done(*operation)) return operation.value_or(v1::Operation());
    }
  }
  v1::Operation WaitUntilOver(const std::string& id) {
    return WaitUntil(id, [](const v1::Operation& o) { return IsOver(o.state()); });
  }
  v1::Operation Run(const v1::StartOperationRequest& request) {
    auto started = runner_->Start(request);
    EXPECT_TRUE(started.ok()) << started.status();
    return WaitUntilOver(request.id());
  }

  fakes::TemporaryFolder folder_;
  fakes::FakeHost node_;
  FakeVerbs verbs_;
  NpuTools npu_tools_;
  absl::Duration patience_ = absl::Minutes(10);
  absl::Mutex mutex_;
  std::vector<std::string> ended_;
  std::function<void()> before_resume_;
  std::unique_ptr<Journal> journal_;
  std::unique_ptr<DurableSteps> steps_;
  std::unique_ptr<Runner> runner_;
};

TEST_F(RunnerTest, ChecksAppliesAndChecks) {
  v1::Operation operation = Run(Request("a"));
  EXPECT_EQ(operation.state(), v1::Operation::SUCCEEDED);
  EXPECT_TRUE(operation.changed());
  EXPECT_EQ(operation.observation().token(), "token-1");
  EXPECT_TRUE(operation.has_end_time());
  EXPECT_EQ(verbs_[kTask].checks, 2);
  EXPECT_EQ(verbs_[kTask].applies, 1);
}

TEST_F(RunnerTest, WhatWasSweptIsInTheOperationHoweverItEnds) {
  verbs_[kTask].apply = [](verbs::Execution& execution) {
    execution.Swept("process 7 of a former start");
    return absl::UnavailableError("no");
  };
  const v1::Operation operation = Run(Request("a"));
  EXPECT_EQ(operation.state(), v1::Operation::FAILED);
  EXPECT_THAT(operation.swept(), testing::ElementsAre("process 7 of a former start"));
  EXPECT_THAT(operation.failure().log_tail(),
              testing::Contains("swept: process 7 of a former start"));
}

TEST_F(RunnerTest, WhatIsPresentIsLeftAloneUnlessRedoIsAsked) {
  verbs_[kTask].there = true;
  v1::Operation operation = Run(Request("a"));
  EXPECT_EQ(operation.state(), v1::Operation::SUCCEEDED);
  EXPECT_FALSE(operation.changed());
  EXPECT_EQ(verbs_[kTask].applies, 0);

  v1::StartOperationRequest redo = Request("b");
  redo.set_redo(true);
  operation = Run(redo);
  EXPECT_TRUE(operation.changed());
  EXPECT_EQ(verbs_[kTask].applies, 1);
}

TEST_F(RunnerTest, AKnownIdIsTheSameOperationAndAnotherBodyIsRefused) {
  Run(Request("a"));
  auto again = runner_->Start(Request("a"));
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->state(), v1::Operation::SUCCEEDED);
  EXPECT_EQ(verbs_[kTask].applies, 1);

  StartAgent();
  EXPECT_TRUE(runner_->Start(Request("a")).ok());
  v1::StartOperationRequest other = Request("a");
  other.mutable_subject()->set_stamp("another");
  EXPECT_EQ(runner_->Start(other).status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(verbs_[kTask].applies, 1);
}

TEST_F(RunnerTest, AnotherBootIsRefusedUnlessTheIdIsKnown) {
  v1::StartOperationRequest known = Request("a");
  Run(known);
  StopAgent();
  node_.CompleteReboot();
  StartAgent();
  EXPECT_TRUE(runner_->Start(known).ok());
  v1::StartOperationRequest late = known;
  late.set_id("b");
  absl::Status refused = runner_->Start(late).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("boot-1"));
}

TEST_F(RunnerTest, ANewerEpochIsRememberedAndAnOlderOneRefused) {
  v1::StartOperationRequest request = Request("a");
  request.set_epoch(7);
  Run(request);
  StartAgent();
  request.set_id("b");
  request.set_epoch(6);
  absl::Status refused = runner_->Start(request).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("epoch 6"));
}

TEST_F(RunnerTest, BadRequestsAreRefusedAndLeaveNothing) {
  auto code = [&](v1::StartOperationRequest request) {
    return runner_->Start(request).status().code();
  };
  EXPECT_EQ(code(Request("")), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(Request(std::string(1000, 'x'))), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(Request("a", "bad@node-a")), absl::StatusCode::kInvalidArgument);
  v1::StartOperationRequest no_verb = Request("a");
  no_verb.mutable_subject()->clear_verb();
  EXPECT_EQ(code(no_verb), absl::StatusCode::kInvalidArgument);
  v1::StartOperationRequest no_action = Request("a");
  no_action.clear_action();
  EXPECT_EQ(code(no_action), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(runner_->Get("a").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(RunnerTest, AnInstallThatSaysItEndedWellButIsNotThereFailedAndKeepsItsMark) {
  verbs_[kTask].apply = [this](verbs::Execution& execution) {
    EXPECT_TRUE(verbs::WriteMark(node_.host(), "install_driver", "24.1").ok());
    execution.Log("Driver package installed successfully!");
    return absl::OkStatus();
  };
  v1::Operation operation = Run(Request("a"));
  ASSERT_EQ(operation.state(), v1::Operation::FAILED);
  EXPECT_EQ(operation.failure().class_(), v1::Failure::NEEDS_OPERATOR);
  EXPECT_THAT(operation.failure().symptom(), HasSubstr("not there"));
  EXPECT_THAT(operation.failure().log_tail(),
              ElementsAre("Driver package installed successfully!"));
  EXPECT_EQ(verbs::ReadMark(node_.host(), "install_driver"), "24.1");
}

TEST_F(RunnerTest, TheMarkGoesOnceItIsThereOrWillBeAfterAReboot) {
  FakeScript& driver = verbs_[kTask];
  driver.apply = [&](verbs::Execution&) {
    driver.there = true;
    return verbs::WriteMark(node_.host(), "install_driver", "24.1");
  };
  EXPECT_EQ(Run(Request("a")).state(), v1::Operation::SUCCEEDED);
  EXPECT_FALSE(verbs::ReadMark(node_.host(), "install_driver"));

  driver.check = [&] {
    v1::Observation seen = Absent("in effect after a reboot");
    seen.set_reboot_needed(driver.applies == 2);
    return seen;
  };
  v1::Operation operation = Run(Request("b"));
  EXPECT_EQ(operation.state(), v1::Operation::SUCCEEDED);
  EXPECT_TRUE(operation.observation().reboot_needed());
  EXPECT_FALSE(verbs::ReadMark(node_.host(), "install_driver"));
}

TEST_F(RunnerTest, FailuresKeepTheirClassAndGetTheLogTail) {
  verbs_[kTask].apply = [](verbs::Execution& execution) {
    for (int i = 1; i <= 50; ++i) execution.Log(absl::StrCat("line ", i, "\xff"));
    return FailureStatus(v1::Failure::HARDWARE, "chip 3 is gone", "reseat it");
  };
  v1::Operation operation = Run(Request("a"));
  ASSERT_EQ(operation.state(), v1::Operation::FAILED);
  EXPECT_EQ(operation.failure().class_(), v1::Failure::HARDWARE);
  EXPECT_EQ(operation.failure().advice(), "reseat it");
  ASSERT_EQ(operation.failure().log_tail_size(), 40);
  EXPECT_EQ(operation.failure().log_tail(39), "line 50\xEF\xBF\xBD");
}

TEST_F(RunnerTest, WhatNoApplyCouldHelpFailsBeforeOne) {
  verbs_[kTask].check = [] {
    v1::Observation seen = Absent("8 GiB free, 600 wanted");
    seen.mutable_failure()->set_class_(v1::Failure::CONFIG);
    return seen;
  };
  v1::Operation operation = Run(Request("a"));
  EXPECT_EQ(operation.failure().class_(), v1::Failure::CONFIG);
  EXPECT_EQ(verbs_[kTask].applies, 0);
}

TEST_F(RunnerTest, AnExceptionInAVerbIsAFailureOfThatOperationOnly) {
  verbs_[kTask].apply = [](verbs::Execution&) -> absl::Status { throw std::runtime_error("oops"); };
  v1::Operation operation = Run(Request("a"));
  EXPECT_EQ(operation.state(), v1::Operation::FAILED);
  EXPECT_THAT(operation.failure().symptom(), HasSubstr("oops"));
}

TEST_F(RunnerTest, StopStopsAndSaysWhatIsLeft) {
  verbs_[kTask].there = true;
  v1::StartOperationRequest request = Request("a");
  request.set_action(v1::Operation::STOP);
  v1::Operation operation = Run(request);
  EXPECT_EQ(operation.state(), v1::Operation::SUCCEEDED);
  EXPECT_EQ(operation.observation().state(), v1::Observation::ABSENT);
  EXPECT_EQ(verbs_[kTask].stops, 1);
  EXPECT_EQ(verbs_[kTask].applies, 0);
}

TEST_F(RunnerTest, AStopThatLeavesItRunningHasFailed) {
  verbs_[kTask].there = true;
  verbs_[kTask].stop = [](verbs::Execution&) { return absl::OkStatus(); };
  v1::StartOperationRequest request = Request("a");
  request.set_action(v1::Operation::STOP);
  const v1::Operation operation = Run(request);
  EXPECT_EQ(operation.state(), v1::Operation::FAILED);
  EXPECT_THAT(operation.failure().symptom(), HasSubstr("still runs: token-1"));
}

TEST_F(RunnerTest, CancelReachesTheVerb) {
  absl::Notification applying;
  verbs_[kTask].apply = [&](verbs::Execution& execution) {
    applying.Notify();
    while (!execution.IsCancelled()) std::this_thread::yield();
    return absl::CancelledError();
  };
  ASSERT_TRUE(runner_->Start(Request("a")).ok());
  applying.WaitForNotification();
  EXPECT_TRUE(runner_->IsBusy(kTask));
  ASSERT_TRUE(runner_->Cancel("a").ok());
  EXPECT_EQ(WaitUntilOver("a").state(), v1::Operation::CANCELLED);
  EXPECT_EQ(runner_->Cancel("a")->state(), v1::Operation::CANCELLED);
  EXPECT_EQ(runner_->Cancel("b").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(RunnerTest, AnOperationThatWaitsForTheNpuToolsCanBeCancelled) {
  absl::Notification holding, let_go;
  for (const char* task : {"npu@node-a", "fabric@node-a"}) verbs_[task].uses_npu_tools = true;
  verbs_["npu@node-a"].apply = [&](verbs::Execution&) {
    holding.Notify();
    let_go.WaitForNotification();
    verbs_["npu@node-a"].there = true;
    return absl::OkStatus();
  };
  ASSERT_TRUE(runner_->Start(Request("a", "npu@node-a")).ok());
  holding.WaitForNotification();
  ASSERT_TRUE(runner_->Start(Request("b", "fabric@node-a")).ok());
  ASSERT_TRUE(runner_->Cancel("b").ok());
  EXPECT_EQ(WaitUntilOver("b").state(), v1::Operation::CANCELLED);
  EXPECT_EQ(verbs_["fabric@node-a"].checks, 0);
  let_go.Notify();
  EXPECT_EQ(WaitUntilOver("a").state(), v1::Operation::SUCCEEDED);
}

TEST_F(RunnerTest, EventsAreNumberedWithoutHolesAndCanBeReadFromAnyNumber) {
  verbs_[kTask].apply = [this](verbs::Execution& execution) {
    v1::Progress progress;
    progress.set_activity("unpacking");
    progress.set_done(1);
    execution.Report(progress);
    execution.Log("one");
    execution.Log("two");
    verbs_[kTask].there = true;
    return absl::OkStatus();
  };
  v1::Operation operation = Run(Request("a"));
  auto events = runner_->EventsAfter("a", 0, 1000);
  ASSERT_TRUE(events.ok());
  for (size_t i = 0; i < events->size(); ++i) EXPECT_EQ((*events)[i].sequence(), i + 1);
  EXPECT_EQ(events->front().operation().state(), v1::Operation::ACCEPTED);
  EXPECT_EQ(events->back().operation().state(), v1::Operation::SUCCEEDED);
  EXPECT_EQ(events->back().sequence(), operation.last_sequence());
  EXPECT_EQ(operation.progress().activity(), "unpacking");
  std::vector<std::string> lines;
  for (const auto& event : *events) {
    if (event.has_log_line()) lines.push_back(event.log_line());
  }
  EXPECT_THAT(lines, ElementsAre("one", "two"));
  auto rest = runner_->EventsAfter("a", events->size() - 1, 1000);
  ASSERT_EQ(rest->size(), 1u);
}

TEST_F(RunnerTest, ListsNewestFirstByPages) {
  for (const char* id : {"a", "b", "c"}) Run(Request(id));
  v1::ListOperationsRequest request;
  request.set_page_size(2);
  auto page = runner_->List(request);
  ASSERT_EQ(page->operations_size(), 2);
  EXPECT_EQ(page->operations(0).id(), "c");
  request.set_page_token(page->next_page_token());
  page = runner_->List(request);
  ASSERT_EQ(page->operations_size(), 1);
  EXPECT_EQ(page->operations(0).id(), "a");
  EXPECT_EQ(page->next_page_token(), "");
  request.set_page_token("nonsense");
  EXPECT_EQ(runner_->List(request).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(RunnerTest, TheEndIsReported) {
  Run(Request("a"));
  const auto reported = [this] { return ended_ == std::vector<std::string>{kTask}; };
  absl::MutexLock lock(&mutex_);
  mutex_.Await(absl::Condition(&reported));
}

// --- Restarts ---------------------------------------------------------------------------------

class RestartTest : public RunnerTest {
 protected:
  RestartTest() {
    EXPECT_EQ(mkfifo(gate().c_str(), 0600), 0);
    FakeScript& driver = verbs_[kTask];
    driver.apply = [this, &driver](verbs::Execution& execution) -> absl::Status {
      host::ProcessOptions options;
      options.deadline = absl::InfiniteDuration();
      auto first = execution.RunDurably("one", Shell("echo one >> " + runs()), options);
      if (!first.ok()) return first.status();
      auto second = execution.RunDurably(
          "two",
          Shell("echo two >> " + runs() + "; echo waits; read x < " + gate() + "; echo goes"),
          options);
      if (!second.ok()) return second.status();
      driver.there = true;
      return absl::OkStatus();
    };
  }

  std::string gate() const { return folder_.path() + "/gate"; }
  std::string runs() const { return folder_.path() + "/runs"; }
  void OpenGate() const { std::ofstream(gate()) << "go\n"; }
  static std::vector<std::string> Shell(const std::string& script) {
    return {"/bin/sh", "-c", script};
  }
  std::string Runs() const {
    std::ifstream file(runs());
    return std::string((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  }
  std::vector<std::string> Lines(const std::string& id) {
    std::vector<std::string> lines;
    auto events = runner_->EventsAfter(id, 0, 1000);
    for (const v1::OperationEvent& event : *events) {
      if (event.has_log_line()) lines.push_back(event.log_line());
    }
    return lines;
  }
  // Starts operation a and returns when its second step has begun.
  void StartAndWaitForTheSecondStep() {
    ASSERT_TRUE(runner_->Start(Request("a")).ok());
    WaitUntil("a", [this](const v1::Operation&) {
      return Lines("a") == std::vector<std::string>{"waits"};
    });
  }
};

TEST_F(RestartTest, ARunningOperationGoesOnAndNoStepIsRunTwice) {
  StartAndWaitForTheSecondStep();
  EXPECT_TRUE(runner_->Shutdown(absl::Seconds(60)));
  EXPECT_EQ(runner_->Get("a")->state(), v1::Operation::RUNNING);
  EXPECT_EQ(runner_->Start(Request("b")).status().code(), absl::StatusCode::kUnavailable);
  StartAgent();
  OpenGate();
  v1::Operation operation = WaitUntilOver("a");
  EXPECT_EQ(operation.state(), v1::Operation::SUCCEEDED) << operation.failure().symptom();
  EXPECT_TRUE(operation.changed());
  EXPECT_EQ(Runs(), "one\ntwo\n");
  EXPECT_THAT(Lines("a"), ElementsAre("waits", "goes"));
  EXPECT_EQ(verbs_[kTask].applies, 2);
  EXPECT_EQ(verbs_[kTask].checks, 3) << "one before each Apply, one after the second";
}

TEST_F(RestartTest, AStepThatEndedWhileNoAgentWasThereIsReportedOnce) {
  StartAndWaitForTheSecondStep();
  StopAgent();
  OpenGate();
  StartAgent();
  EXPECT_EQ(WaitUntilOver("a").state(), v1::Operation::SUCCEEDED);
  EXPECT_EQ(Runs(), "one\ntwo\n");
  EXPECT_THAT(Lines("a"), ElementsAre("waits", "goes"));
}

TEST_F(RestartTest, AKilledSupervisorFailsTheOperationAsTransient) {
  StartAndWaitForTheSecondStep();
  for (const auto& entry :
       std::filesystem::recursive_directory_iterator(folder_.path() + "/steps")) {
    if (entry.path().filename() != "session") continue;
    const StepFiles files(entry.path().parent_path());
    if (!files.ReadExit()) kill(files.ReadSession()->id, SIGKILL);
  }
  v1::Operation operation = WaitUntilOver("a");
  EXPECT_EQ(operation.state(), v1::Operation::FAILED);
  EXPECT_EQ(operation.failure().class_(), v1::Failure::TRANSIENT);
  EXPECT_THAT(operation.failure().symptom(), HasSubstr("interrupted"));
  EXPECT_THAT(operation.failure().log_tail(), ElementsAre("waits"));
}

TEST_F(RestartTest, CancelKillsADurableStep) {
  StartAndWaitForTheSecondStep();
  ASSERT_TRUE(runner_->Cancel("a").ok());
  EXPECT_EQ(WaitUntilOver("a").state(), v1::Operation::CANCELLED);
}

// An Apply that returns when it is cancelled; what it started comes up while no agent is there.
class ComesUpMeanwhileTest : public RestartTest {
 protected:
  void RestartTheAgentAfterItCameUp(bool redo) {
    FakeScript& script = verbs_[kTask];
    script.apply = [&, count = 0](verbs::Execution& execution) mutable -> absl::Status {
      if (count++ > 0) return absl::OkStatus();
      applying_.Notify();
      while (!execution.IsCancelled()) std::this_thread::yield();
      agent_stops_ = execution.AgentStops();
      return absl::CancelledError();
    };
    v1::StartOperationRequest request = Request("a");
    request.set_redo(redo);
    ASSERT_TRUE(runner_->Start(request).ok());
    applying_.WaitForNotification();
    StopAgent();
    script.there = true;
    StartAgent();
  }

  absl::Notification applying_;
  std::atomic<bool> agent_stops_ = false;
};

TEST_F(ComesUpMeanwhileTest, WhatCameUpMeanwhileIsNotAppliedAgain) {
  RestartTheAgentAfterItCameUp(/*redo=*/false);
  v1::Operation operation = WaitUntilOver("a");
  EXPECT_EQ(operation.state(), v1::Operation::SUCCEEDED);
  EXPECT_TRUE(operation.changed());
  EXPECT_EQ(operation.observation().token(), "token-1");
  EXPECT_EQ(verbs_[kTask].applies, 1);
  EXPECT_TRUE(agent_stops_);
}

TEST_F(ComesUpMeanwhileTest, ARedoIsAppliedAgain) {
  RestartTheAgentAfterItCameUp(/*redo=*/true);
  EXPECT_EQ(WaitUntilOver("a").state(), v1::Operation::SUCCEEDED);
  EXPECT_EQ(verbs_[kTask].applies, 2);
}

TEST_F(RestartTest, ATornInstallIsAppliedAgain) {
  FakeScript& driver = verbs_[kTask];
  std::atomic<bool> applied = false;  // by this agent, as a verb remembers it
  absl::Notification applying;
  driver.check = [&] {
    const bool torn = !applied && verbs::ReadMark(node_.host(), "install_driver").has_value();
    return driver.there && !torn ? Present("token-1") : Absent("torn");
  };
  driver.apply = [&, count = 0](verbs::Execution& execution) mutable -> absl::Status {
    EXPECT_TRUE(verbs::WriteMark(node_.host(), "install_driver", "24.1").ok());
    applied = true;
    driver.there = true;
    if (count++ > 0) return absl::OkStatus();
    applying.Notify();
    while (!execution.IsCancelled()) std::this_thread::yield();
    return absl::CancelledError();
  };
  ASSERT_TRUE(runner_->Start(Request("a")).ok());
  applying.WaitForNotification();
  StopAgent();
  applied = false;
  StartAgent();
  EXPECT_EQ(WaitUntilOver("a").state(), v1::Operation::SUCCEEDED);
  EXPECT_EQ(driver.applies, 2);
  EXPECT_FALSE(verbs::ReadMark(node_.host(), "install_driver"));
}

TEST_F(RestartTest, ACancelIsNoStopOfTheAgent) {
  absl::Notification applying;
  std::atomic<bool> agent_stops = true;
  verbs_[kTask].apply = [&](verbs::Execution& execution) -> absl::Status {
    applying.Notify();
    while (!execution.IsCancelled()) std::this_thread::yield();
    agent_stops = execution.AgentStops();
    return absl::CancelledError();
  };
  ASSERT_TRUE(runner_->Start(Request("a")).ok());
  applying.WaitForNotification();
  ASSERT_TRUE(runner_->Cancel("a").ok());
  EXPECT_EQ(WaitUntilOver("a").state(), v1::Operation::CANCELLED);
  EXPECT_FALSE(agent_stops);
}

TEST_F(RestartTest, ACancelOutlivesTheAgentThatTookIt) {
  absl::Notification applying;
  verbs_[kTask].apply = [&, count = 0](verbs::Execution& execution) mutable -> absl::Status {
    if (count++ == 0) applying.Notify();
    while (!execution.IsCancelled()) std::this_thread::yield();
    return absl::CancelledError();
  };
  ASSERT_TRUE(runner_->Start(Request("a")).ok());
  applying.WaitForNotification();
  JournalEntry entry = **journal_->Find("a");
  StopAgent();
  {
    auto journal = Journal::Open(folder_.path() + "/journal.db");
    entry.cancel_requested = true;
    ASSERT_TRUE((*journal)->Update(entry, {}).ok());
  }
  StartAgent();
  EXPECT_EQ(WaitUntilOver("a").state(), v1::Operation::CANCELLED);
}

TEST_F(RestartTest, AfterAnotherBootARunningOperationIsInterrupted) {
  StartAndWaitForTheSecondStep();
  StopAgent();
  node_.CompleteReboot();
  StartAgent();
  EXPECT_EQ(runner_->Get("a")->state(), v1::Operation::INTERRUPTED);
  EXPECT_EQ(verbs_[kTask].applies, 1);
  EXPECT_FALSE(runner_->IsBusy(kTask));
  OpenGate();  // what this test left running
}

// As on a disk that is full.
class NoRoom {
 public:
  NoRoom() {
    was_ = signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &limit_);
    const rlimit none = {0, limit_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &none);
  }
  ~NoRoom() {
    setrlimit(RLIMIT_FSIZE, &limit_);
    signal(SIGXFSZ, was_);
  }

 private:
  rlimit limit_ = {};
  void (*was_)(int) = nullptr;
};

TEST_F(RestartTest, AnAgentServesAlsoWhileAnEndCannotBeJournaled) {
  StartAndWaitForTheSecondStep();
  StopAgent();
  node_.CompleteReboot();
  std::optional<NoRoom> no_room;
  before_resume_ = [&no_room] { no_room.emplace(); };
  StartAgent();
  EXPECT_EQ(runner_->Get("a")->state(), v1::Operation::RUNNING);
  EXPECT_TRUE(runner_->IsBusy(kTask));
  no_room.reset();
  EXPECT_EQ(WaitUntilOver("a").state(), v1::Operation::INTERRUPTED);
  OpenGate();  // what this test left running
}

TEST_F(RestartTest, ARebootSucceedsWhenItsCheckIsPresentInTheNextBoot) {
  FakeScript& reboot = verbs_["reboot@node-a"];
  reboot.survives_reboot = true;
  reboot.check = [this] {
    return *node_.system().BootId() == "boot-1" ? Absent("still boot-1") : Present("boot");
  };
  absl::Notification asked;
  reboot.apply = [&](verbs::Execution&) {
    asked.Notify();
    return absl::OkStatus();
  };
  v1::StartOperationRequest request = Request("a", "reboot@node-a");
  ASSERT_TRUE(runner_->Start(request).ok());
  asked.WaitForNotification();
  StopAgent();
  node_.CompleteReboot();
  StartAgent();
  v1::Operation operation = *runner_->Start(request);
  EXPECT_EQ(operation.state(), v1::Operation::SUCCEEDED);
  EXPECT_EQ(operation.observation().token(), "boot");
  EXPECT_EQ(reboot.applies, 1);
}

TEST_F(RestartTest, ANodeThatDoesNotGoDownFailsItsReboot) {
  patience_ = absl::Milliseconds(1);
  StartAgent();
  verbs_["reboot@node-a"].survives_reboot = true;
  verbs_["reboot@node-a"].apply = [](verbs::Execution&) { return absl::OkStatus(); };
  EXPECT_EQ(Run(Request("a", "reboot@node-a")).state(), v1::Operation::FAILED);
}

}  // namespace
}  // namespace npufleet::operations
