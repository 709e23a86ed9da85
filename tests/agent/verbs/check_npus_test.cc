// SPDX-License-Identifier: Apache-2.0
#include "agent/verbs/check_npus/check_npus.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "agent/verbs/check_npus/reset_history.h"
#include "common/failure.h"
#include "google/protobuf/util/message_differencer.h"
#include "tests/fakes/fake_execution.h"
#include "tests/fakes/fake_host.h"

namespace npufleet::verbs {
namespace {

using ::testing::HasSubstr;

constexpr char kHistory[] = "/var/lib/npufleet/agent/npu-resets.json";

std::string Table(int chips) {
  std::string text =
      "| npu-smi 25.0.rc1                 Version: 25.0.rc1 |\n"
      "| NPU   Name | Health | Power(W) Temp(C) Hugepages-Usage(page)|\n"
      "| Chip | Bus-Id | AICore(%) Memory-Usage(MB) HBM-Usage(MB) |\n";
  for (int i = 0; i < chips; ++i) {
    absl::StrAppend(&text, "| ", i, " 910B3 | OK | 92.0 39 0 / 0 |\n| 0 | 0000:C", i,
                    ":00.0 | 0 0 / 0 3314 / 65536 |\n");
  }
  return absl::StrCat(text, "+====+\n");
}

class CheckNpusTest : public ::testing::Test {
 protected:
  CheckNpusTest() {
    for (int i = 0; i < 2; ++i) want_.add_chips(i);
    subject_.set_task("npu@node-b");
    node_.programs().On({"npu-smi", "info"}, Table(2));
  }
  std::unique_ptr<Verb> Make() { return *MakeCheckNpus(want_, subject_, node_.host()); }

  fakes::FakeHost node_;
  v1::CheckNpus want_;
  v1::Subject subject_;
};

TEST_F(CheckNpusTest, TheTokenIsIdsAndNames) {
  EXPECT_EQ(Make()->Check().state(), v1::Observation::PRESENT);
  EXPECT_EQ(Make()->Check().token(), "0:910B3 1:910B3");
}

TEST_F(CheckNpusTest, AMissingChipIsUnknownAtFirstAndHardwareLater) {
  node_.programs().On({"npu-smi", "info"}, Table(1));
  node_.system().SetUptime(absl::Minutes(3));
  EXPECT_EQ(Make()->Check().state(), v1::Observation::UNKNOWN);
  node_.system().SetUptime(absl::Minutes(11));
  v1::Observation seen = Make()->Check();
  EXPECT_EQ(seen.state(), v1::Observation::ABSENT);
  EXPECT_EQ(seen.failure().class_(), v1::Failure::HARDWARE);
  EXPECT_THAT(seen.failure().symptom(), HasSubstr("node-b: 1 of 2 chips are missing: 1"));
}

TEST_F(CheckNpusTest, ADriverThatIsNotReadyIsUnknownAtFirst) {
  node_.system().SetUptime(absl::Minutes(1));
  node_.programs().On({"npu-smi", "info"},
                      "DrvMngGetConsoleLogLevel failed. (ret=4)\n"
                      "dcmi module initialize failed. ret is -8005\n",
                      "", 187);
  v1::Observation seen = Make()->Check();
  EXPECT_EQ(seen.state(), v1::Observation::UNKNOWN);
  EXPECT_THAT(seen.reason(), HasSubstr("-8005"));
}

TEST_F(CheckNpusTest, AToolThatHangsSaysNothingAboutTheChips) {
  node_.programs().On(
      {"npu-smi", "info"},
      [](const fakes::FakeSubprocess::Call&) -> absl::StatusOr<host::ProcessResult> {
        return absl::DeadlineExceededError("killed");
      });
  EXPECT_EQ(Make()->Check().state(), v1::Observation::UNKNOWN);
}

TEST_F(CheckNpusTest, WithoutAToolTheDriverIsGone) {
  node_.programs().Forget({"npu-smi", "info"});
  EXPECT_EQ(Make()->Check().failure().redo_stage(), "driver");
}

TEST_F(CheckNpusTest, ApplyWaitsForTheChips) {
  node_.system().SetUptime(absl::Minutes(1));
  int calls = 0;
  node_.programs().On(
      {"npu-smi", "info"},
      [&](const fakes::FakeSubprocess::Call&) -> absl::StatusOr<host::ProcessResult> {
        return host::ProcessResult{0, Table(++calls < 4 ? 1 : 2), "", false};
      });
  fakes::FakeExecution execution(node_.host());
  EXPECT_TRUE(Make()->Apply(execution).ok());
  EXPECT_EQ(calls, 4);
}

TEST_F(CheckNpusTest, ApplyEndsWhenItIsCancelled) {
  node_.system().SetUptime(absl::Minutes(1));
  node_.programs().On({"npu-smi", "info"}, Table(1));
  fakes::FakeExecution execution(node_.host());
  execution.questions_until_cancel = 3;
  EXPECT_TRUE(absl::IsCancelled(Make()->Apply(execution)));
}

// --- Fault codes ----------------------------------------------------------------------------

// A node whose npu-smi shows codes and processes, and resets as a 910B server's does.
class FaultyNode {
 public:
  explicit FaultyNode(fakes::FakeHost& node) : node_(node) {
    node.system().SetUptime(absl::Hours(5));
    node.programs().On({"npu-smi", "info"}, [this](const auto&) { return Info(); });
    node.programs().On({"npu-smi", "info", "-t", "health"},
                       [this](const fakes::FakeSubprocess::Call& call) { return Health(call); });
    node.programs().On({"npu-smi", "set", "-t", "reset"},
                       [this](const fakes::FakeSubprocess::Call& call) { return Reset(call); });
  }

  int resets() const { return node_.programs().Count({"npu-smi", "set"}); }

  std::map<int, std::string> codes;  // by chip
  std::map<int, int> processes;      // chip -> pid
  bool tells_processes = true;
  bool helps = true;    // a reset ends the codes
  std::string refuses;  // what a reset prints before it fails
  bool hangs = false;   // a reset
  int chips_away = 0;   // for so many looks after a reset
  std::function<void()> before_reset;
  std::function<void()> before_look;

 private:
  using Result = absl::StatusOr<host::ProcessResult>;

  Result Info() {
    if (before_look) before_look();
    const bool all = away_ == 0 || --away_ == 0;
    std::string text =
        "| npu-smi 25.0.rc1                 Version: 25.0.rc1 |\n"
        "| NPU   Name | Health | Power(W) Temp(C) Hugepages-Usage(page)|\n"
        "| Chip | Bus-Id | AICore(%) Memory-Usage(MB) HBM-Usage(MB) |\n";
    for (int i = 0; i < (all ? 2 : 1); ++i) {
      absl::StrAppend(&text, "| ", i, " 910B3 | ", codes.count(i) > 0 ? "Alarm" : "OK",
                      " | 92.0 39 0 / 0 |\n| 0 | 0000:C", i, ":00.0 | 0 0 / 0 3314 / 65536 |\n");
    }
    if (tells_processes) {
      absl::StrAppend(&text, "| NPU     Chip | Process id | Process name | Process memory(MB) |\n");
      for (int i = 0; i < 2; ++i) {
        if (processes.count(i) > 0) {
          absl::StrAppend(&text, "| ", i, " 0 | ", processes[i], " | python | 9 |\n");
        } else {
          absl::StrAppend(&text, "| No running processes found in NPU ", i, " |\n");
        }
      }
    }
    return host::ProcessResult{0, absl::StrCat(text, "+====+\n"), "", false};
  }

  Result Health(const fakes::FakeSubprocess::Call& call) {
    const int chip = call.argv[5][0] - '0';
    return host::ProcessResult{
        0, absl::StrCat("\tHealth Status : Alarm\n\tError Code : ", codes[chip], "\n"), "", false};
  }

  Result Reset(const fakes::FakeSubprocess::Call& call) {
    EXPECT_EQ(call.options.stdin_text, "y\ny\n");
    EXPECT_EQ(call.options.deadline, absl::Minutes(10));
    EXPECT_TRUE(processes.empty()) << "a reset under a process";
    if (before_reset) before_reset();
    if (hangs) return absl::DeadlineExceededError("killed");
    if (!refuses.empty()) return host::ProcessResult{196, refuses, "", false};
    away_ = chips_away;
    if (helps) codes.clear();
    return host::ProcessResult{0, "\tStatus : OK\n\tMessage : Reset server successfully.\n", "",
                               false};
  }

  fakes::FakeHost& node_;
  int away_ = 0;
};

// As the agent's own: a step that ended is not run again. While the agent stops, it goes on.
class RememberingExecution : public fakes::FakeExecution {
 public:
  using FakeExecution::FakeExecution;
  absl::StatusOr<host::ProcessResult> RunDurably(std::string_view step,
                                                 const std::vector<std::string>& argv,
                                                 const host::ProcessOptions& options) override {
    const std::string name(step);
    if (results_.count(name) == 0)
      results_.emplace(name, FakeExecution::RunDurably(step, argv, options));
    if (agent_stops) return absl::UnavailableError("the agent stops; the step goes on");
    return results_.at(name);
  }

  bool agent_stops = false;

 private:
  std::map<std::string, absl::StatusOr<host::ProcessResult>> results_;
};

class FaultCodeTest : public CheckNpusTest {
 protected:
  v1::Failure ApplyFails() {
    fakes::FakeExecution execution(node_.host());
    return FailureOf(Make()->Apply(execution)).value_or(v1::Failure());
  }
  absl::Status Apply() {
    fakes::FakeExecution execution(node_.host());
    return Make()->Apply(execution);
  }

  FaultyNode npus_{node_};
};

TEST_F(FaultCodeTest, ACodeToGoOnWithIsShownAndChangesNoToken) {
  for (const auto& [code, told] : std::map<std::string, std::string>{
           {"80E21007", "80E21007: shown, nothing is done"},
           {"80C98008", "80C98008: shown, nothing is done"},
           {"80e01801", "80E01801: the server is restarted when it fails"},
           {"12345678", "12345678: not in the list of known codes, shown, nothing is done"}}) {
    npus_.codes[1] = code;
    const v1::Observation seen = Make()->Check();
    EXPECT_EQ(seen.state(), v1::Observation::PRESENT);
    EXPECT_EQ(seen.token(), "0:910B3 1:910B3");
    EXPECT_EQ(seen.facts().at("chip 1"), absl::StrCat("ALARM ", told));
    EXPECT_EQ(seen.reason(), absl::StrCat("chip 1: ", told));
  }
}

TEST_F(FaultCodeTest, AHealthWordAloneIsAFactAndNoMore) {
  npus_.codes[1] = "NA";
  const v1::Observation seen = Make()->Check();
  EXPECT_EQ(seen.state(), v1::Observation::PRESENT);
  EXPECT_EQ(seen.facts().at("chip 1"), "ALARM");
  EXPECT_EQ(seen.reason(), "");
}

TEST_F(FaultCodeTest, AChipToReplaceNamesNodeChipAndCode) {
  for (const std::string code : {"80E18402", "8F180220", "80C98008 80E18005 80E3A201"}) {
    npus_.codes[1] = code;
    const v1::Observation seen = Make()->Check();
    EXPECT_EQ(seen.failure().class_(), v1::Failure::HARDWARE);
    EXPECT_EQ(seen.failure().symptom(),
              absl::StrCat("node-b: chip 1 reports fault ", code.substr(code.rfind(' ') + 1)));
    EXPECT_EQ(ApplyFails().class_(), v1::Failure::HARDWARE);
  }
  EXPECT_EQ(npus_.resets(), 0);
}

TEST_F(FaultCodeTest, NoResetWhileAnyChipOfTheNodeIsInUse) {
  npus_.codes[1] = "80E18005";
  npus_.processes[0] = 4711;
  std::unique_ptr<Verb> verb = Make();
  const v1::Observation seen = verb->Check();
  EXPECT_EQ(seen.state(), v1::Observation::PRESENT);
  EXPECT_EQ(seen.token(), "0:910B3 1:910B3");
  EXPECT_EQ(seen.facts().at("chip 1"), "ALARM 80E18005: reset once nothing uses the chips");
  EXPECT_EQ(seen.facts().at("in use"), "process 4711 on NPU 0");
  EXPECT_EQ(verb->CheckPeriod(), absl::Seconds(5));
  EXPECT_TRUE(Apply().ok());
  EXPECT_EQ(npus_.resets(), 0);
}

TEST_F(FaultCodeTest, NoResetWhileItCannotBeSeenWhoUsesTheChips) {
  npus_.codes[1] = "80E18005";
  npus_.tells_processes = false;
  const v1::Observation seen = Make()->Check();
  EXPECT_EQ(seen.state(), v1::Observation::PRESENT);
  EXPECT_THAT(seen.reason(), HasSubstr("reset once it can be seen that nothing uses the chips"));
  EXPECT_TRUE(Apply().ok());
  EXPECT_EQ(npus_.resets(), 0);
}

TEST_F(FaultCodeTest, AFreeChipIsReset) {
  npus_.codes = {{0, "8C084E00"}, {1, "80E18005"}};
  npus_.chips_away = 3;
  std::unique_ptr<Verb> verb = Make();
  const v1::Observation seen = verb->Check();
  EXPECT_EQ(seen.state(), v1::Observation::ABSENT);
  EXPECT_FALSE(seen.has_failure());
  EXPECT_EQ(seen.reason(),
            "chip 0 must be reset: fault 8C084E00; chip 1 must be reset: fault 80E18005");
  fakes::FakeExecution execution(node_.host());
  EXPECT_TRUE(verb->Apply(execution).ok());
  ASSERT_EQ(npus_.resets(), 1);  // one resets them all
  EXPECT_EQ(node_.programs().Calls({"npu-smi", "set"})[0].argv,
            (fakes::Argv{"npu-smi", "set", "-t", "reset", "-i", "0", "-c", "0", "-m", "1"}));
  EXPECT_EQ(verb->Check().state(), v1::Observation::PRESENT);
  EXPECT_EQ(verb->Check().token(), "0:910B3 1:910B3");
  EXPECT_EQ(verb->CheckPeriod(), absl::Seconds(30));
}

TEST_F(FaultCodeTest, WhatStartsMeanwhileIsNotDisturbed) {
  npus_.codes[1] = "80E18005";
  std::unique_ptr<Verb> verb = Make();
  EXPECT_EQ(verb->Check().state(), v1::Observation::ABSENT);
  npus_.processes[1] = 4711;
  fakes::FakeExecution execution(node_.host());
  EXPECT_TRUE(verb->Apply(execution).ok());
  EXPECT_EQ(npus_.resets(), 0);
}

TEST_F(FaultCodeTest, AResetIsNotedBeforeItIsDone) {
  npus_.codes[1] = "80E18005";
  std::string noted;
  npus_.before_reset = [&] { noted = *node_.files().Read(kHistory); };
  EXPECT_TRUE(Apply().ok());
  EXPECT_THAT(noted, HasSubstr("begun"));
  EXPECT_THAT(*node_.files().Read(kHistory), HasSubstr("\"helped\""));
}

TEST_F(FaultCodeTest, ACodeThatStaysWantsARebootOnceAndIsHardwareThen) {
  npus_.codes[1] = "80E18005";
  npus_.helps = false;
  v1::Failure failure = ApplyFails();
  EXPECT_EQ(failure.class_(), v1::Failure::REBOOT);
  EXPECT_EQ(failure.symptom(), "node-b: a reset of chip 1 did not end its fault 80E18005");
  v1::Observation seen = Make()->Check();
  EXPECT_EQ(seen.state(), v1::Observation::ABSENT);
  EXPECT_TRUE(seen.reboot_needed());
  EXPECT_FALSE(seen.has_failure());
  EXPECT_EQ(ApplyFails().class_(), v1::Failure::REBOOT);
  EXPECT_EQ(npus_.resets(), 1);  // not again in this boot

  node_.CompleteReboot();
  seen = Make()->Check();
  EXPECT_EQ(seen.reason(), "chip 1 must be reset: fault 80E18005");
  EXPECT_FALSE(seen.reboot_needed());
  failure = ApplyFails();
  EXPECT_EQ(failure.class_(), v1::Failure::HARDWARE);
  EXPECT_THAT(failure.symptom(), HasSubstr("node-b: chip 1 reports fault 80E18005"));
  EXPECT_EQ(npus_.resets(), 2);
  EXPECT_EQ(Make()->Check().failure().class_(), v1::Failure::HARDWARE);
  node_.clock().Advance(absl::Hours(48));  // no loop from day to day either
  EXPECT_EQ(Make()->Check().failure().class_(), v1::Failure::HARDWARE);
  npus_.codes.clear();  // replaced
  EXPECT_EQ(Make()->Check().state(), v1::Observation::PRESENT);
}

TEST_F(FaultCodeTest, ACodeThatARebootEndsIsForgotten) {
  npus_.codes[1] = "80E18005";
  npus_.helps = false;
  EXPECT_EQ(ApplyFails().class_(), v1::Failure::REBOOT);
  node_.CompleteReboot();
  npus_.codes.clear();
  EXPECT_EQ(Make()->Check().state(), v1::Observation::PRESENT);
  node_.clock().Advance(absl::Hours(30));
  npus_.codes[1] = "80E18005";
  EXPECT_EQ(ApplyFails().class_(), v1::Failure::REBOOT);
}

TEST_F(FaultCodeTest, ACodeThatComesBackAgainAndAgainIsHardware) {
  for (int i = 0; i < 2; ++i) {
    npus_.codes[1] = "80E18005";
    EXPECT_TRUE(Apply().ok());
    node_.clock().Advance(absl::Hours(1));
  }
  npus_.codes[1] = "80E18005";
  EXPECT_EQ(Make()->Check().failure().class_(), v1::Failure::HARDWARE);
  EXPECT_EQ(npus_.resets(), 2);
  npus_.codes[1] = "80CF8009";  // another fault has its own count
  EXPECT_EQ(Make()->Check().reason(), "chip 1 must be reset: fault 80CF8009");
}

TEST_F(FaultCodeTest, ASecondResetWithinOneApplyIsDone) {
  npus_.codes[1] = "80E18005";
  int looks = 0;
  npus_.before_look = [&] {  // the first helps, and the code comes back
    if (npus_.resets() == 1 && ++looks == 2) npus_.codes[1] = "80E18005";
  };
  RememberingExecution execution(node_.host());
  EXPECT_TRUE(Make()->Apply(execution).ok());
  EXPECT_EQ(npus_.resets(), 2);
}

TEST_F(FaultCodeTest, AnAgentThatStopsDuringAResetGoesOnWithThatOne) {
  npus_.codes[1] = "80E18005";
  npus_.helps = false;
  RememberingExecution execution(node_.host());
  execution.agent_stops = true;
  EXPECT_TRUE(absl::IsUnavailable(Make()->Apply(execution)));
  EXPECT_THAT(*node_.files().Read(kHistory), HasSubstr("begun"));
  execution.agent_stops = false;
  EXPECT_EQ(ToFailure(Make()->Apply(execution)).class_(), v1::Failure::REBOOT);
  EXPECT_EQ(npus_.resets(), 1);
}

TEST_F(FaultCodeTest, AResetHasAnotherNumberThanTheLastHoweverMuchWasForgotten) {
  ResetHistory history(node_.host());
  int64_t last = -1;
  for (int i = 0; i < 200; ++i) {
    ASSERT_TRUE(history.Record(1, {"80E18005"}, "boot-1", ResetHistory::Result::kBegun).ok());
    EXPECT_EQ(history.EndedBefore(1), last + 1);
    last = ResetHistory(node_.host()).EndedBefore(1);
    ASSERT_TRUE(history.Record(1, {"80E18005"}, "boot-1", ResetHistory::Result::kHelped).ok());
    EXPECT_EQ(history.EndedBefore(1), last);
  }
}

TEST_F(FaultCodeTest, AResetThatHangsIsKilledAndWantsAReboot) {
  npus_.codes[1] = "80E18005";
  npus_.hangs = true;
  EXPECT_EQ(ApplyFails().class_(), v1::Failure::REBOOT);
  EXPECT_TRUE(Make()->Check().reboot_needed());
}

TEST_F(FaultCodeTest, ChipsThatDoNotComeBackWantAReboot) {
  npus_.codes[1] = "80E18005";
  npus_.chips_away = 1 << 20;
  EXPECT_EQ(ApplyFails().class_(), v1::Failure::REBOOT);
}

TEST_F(FaultCodeTest, AResetThatFailsShowsWhatTheToolSaid) {
  npus_.codes[1] = "80E18005";
  npus_.refuses = "\tStatus : Fail\n\tMessage : Failed to reset server\n";
  const v1::Failure failure = ApplyFails();
  EXPECT_EQ(failure.class_(), v1::Failure::REBOOT);
  EXPECT_EQ(failure.signature(), "NPU-05");
  EXPECT_THAT(failure.log_tail(1), HasSubstr("Failed to reset server"));
}

TEST_F(FaultCodeTest, AResetThatWasRefusedDoesNotCount) {
  npus_.codes[1] = "80E18005";
  npus_.refuses = "Another user is resetting the NPU(s). Please try again later.\n";
  EXPECT_EQ(ApplyFails().class_(), v1::Failure::TRANSIENT);
  npus_.refuses = "\tStatus : Fail\n\tMessage : User aborts reset server by inband.\n";
  EXPECT_EQ(ApplyFails().class_(), v1::Failure::NEEDS_OPERATOR);
  npus_.refuses.clear();
  EXPECT_TRUE(Apply().ok());
  EXPECT_EQ(npus_.resets(), 3);
}

TEST_F(FaultCodeTest, ACancelledResetIsDoneAgain) {
  npus_.codes[1] = "80E18005";
  npus_.chips_away = 100;
  fakes::FakeExecution execution(node_.host());
  execution.questions_until_cancel = 3;
  EXPECT_TRUE(absl::IsCancelled(Make()->Apply(execution)));
  npus_.chips_away = 0;
  npus_.codes[1] = "80E18005";
  EXPECT_TRUE(Apply().ok());
  EXPECT_EQ(npus_.resets(), 2);
}

// The agent has ended during a reset, and Apply is called again: the chips are awaited.
TEST_F(FaultCodeTest, ChipsThatAreAwayDuringAResetAreNotMissing) {
  npus_.codes[1] = "80E18005";
  npus_.before_reset = [&] {
    EXPECT_EQ(Make()->Check().reason(), "chip 1 must be reset: fault 80E18005");
    node_.programs().On({"npu-smi", "info"}, Table(1));
    EXPECT_EQ(Make()->Check().failure().class_(), v1::Failure::HARDWARE);
    fakes::FakeExecution execution(node_.host());
    execution.questions_until_cancel = 5;
    EXPECT_TRUE(absl::IsCancelled(Make()->Apply(execution)));
  };
  EXPECT_EQ(ApplyFails().class_(), v1::Failure::REBOOT);
}

TEST_F(FaultCodeTest, WithoutANoteThereIsNoReset) {
  npus_.codes[1] = "80E18005";
  ASSERT_TRUE(node_.files().MakeFolders(kHistory).ok());  // a folder in the place of the file
  EXPECT_FALSE(Apply().ok());
  EXPECT_EQ(npus_.resets(), 0);
}

TEST_F(FaultCodeTest, AHistoryThatCannotBeReadIsEmpty) {
  npus_.codes[1] = "80E18005";
  for (const char* text : {"", "{", "[1, {}, {\"codes\": 7}]", "{\"chip\": 1}"}) {
    ASSERT_TRUE(node_.files().Write(kHistory, text).ok());
    EXPECT_EQ(Make()->Check().reason(), "chip 1 must be reset: fault 80E18005");
  }
}

TEST_F(FaultCodeTest, TwoChecksOfAnUntouchedNodeSayTheSame) {
  for (const std::string code : {"80E21007", "80E18005", "80E18402"}) {
    npus_.codes[1] = code;
    for (bool used : {false, true}) {
      npus_.processes.clear();
      if (used) npus_.processes[1] = 4711;
      EXPECT_TRUE(
          google::protobuf::util::MessageDifferencer::Equals(Make()->Check(), Make()->Check()));
    }
  }
}

}  // namespace
}  // namespace npufleet::verbs
