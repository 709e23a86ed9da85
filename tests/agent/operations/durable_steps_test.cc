// SPDX-License-Identifier: Apache-2.0
#include "agent/operations/durable_steps.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "agent/operations/step_files.h"
#include "tests/fakes/temporary_folder.h"

namespace npufleet::operations {
namespace {

using Lines = std::vector<std::string>;

// True when it ran to its end, reaped or not.
bool IsGone(int pid) {
  std::ifstream file(absl::StrCat("/proc/", pid, "/stat"));
  std::string text;
  if (!std::getline(file, text)) return true;
  const char state = text[text.rfind(')') + 2];
  return state == 'Z' || state == 'X';
}

class DurableStepsTest : public ::testing::Test {
 protected:
  DurableStepsTest() { EXPECT_EQ(mkfifo(gate().c_str(), 0600), 0); }

  std::string steps_folder() const { return folder_.path() + "/steps"; }
  std::string gate() const { return folder_.path() + "/gate"; }
  std::string runs() const { return folder_.path() + "/runs"; }

  // Lets the program go on that reads from the gate; blocks until it does.
  void OpenGate() const { std::ofstream(gate()) << "go\n"; }

  static std::vector<std::string> Shell(const std::string& script) {
    return {"/bin/sh", "-c", script};
  }

  host::ProcessOptions Collect(Lines* lines) {
    host::ProcessOptions options;
    options.on_line = [lines](std::string_view line) { lines->emplace_back(line); };
    return options;
  }

  int CountOfRuns() const {
    std::ifstream file(runs());
    int count = 0;
    for (std::string line; std::getline(file, line);) ++count;
    return count;
  }

  // The pid of the supervisor of the one step that runs.
  int SupervisorPid() const {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(steps_folder())) {
      if (entry.path().filename() == "session") {
        return StepFiles(entry.path().parent_path()).ReadSession()->id;
      }
    }
    return 0;
  }

  fakes::TemporaryFolder folder_;
};

TEST_F(DurableStepsTest, GivesOutputExitCodeAndLinesOfWhatItRan) {
  DurableSteps steps(steps_folder());
  Lines lines;
  host::ProcessOptions options = Collect(&lines);
  options.environment["GREETING"] = "hello";
  options.stdin_text = "typed\n";
  auto result = steps.Run("op", "driver",
                          Shell("read word; echo \"$GREETING $word\"; printf '10%%\\r20%%\\r' >&2; "
                                "printf '\\033[31mred\\033[0m'; exit 3"),
                          options);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->exit_code, 3);
  EXPECT_EQ(lines, (Lines{"hello typed", "10%", "20%", "red"}));
  EXPECT_EQ(result->out.substr(0, 12), "hello typed\n");
  EXPECT_FALSE(result->truncated);
}

TEST_F(DurableStepsTest, WithoutInputStdinIsEmptyAndAQuestionDoesNotHang) {
  DurableSteps steps(steps_folder());
  auto result = steps.Run("op", "driver", Shell("read answer || echo none"), {});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->out, "none\n");
}

TEST_F(DurableStepsTest, AStepThatEndedIsNotRunAgain) {
  const auto script = Shell("echo run >> " + runs() + "; echo done");
  Lines lines;
  ASSERT_TRUE(DurableSteps(steps_folder()).Run("op", "driver", script, Collect(&lines)).ok());
  auto again = DurableSteps(steps_folder()).Run("op", "driver", script, Collect(&lines));
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->out, "done\n");
  EXPECT_EQ(CountOfRuns(), 1);
  EXPECT_EQ(lines, Lines{"done"}) << "lines are handed out once";

  DurableSteps steps(steps_folder());
  ASSERT_TRUE(steps.Run("another operation", "driver", script, {}).ok());
  ASSERT_TRUE(steps.Run("op", "firmware", script, {}).ok());
  EXPECT_EQ(CountOfRuns(), 3);
  steps.Forget("op");
  ASSERT_TRUE(steps.Run("op", "driver", script, {}).ok());
  EXPECT_EQ(CountOfRuns(), 4);
}

TEST_F(DurableStepsTest, ARunningStepIsFoundAgainByTheNextAgent) {
  const auto script =
      Shell("echo run >> " + runs() + "; echo before; read x < " + gate() + "; echo after; exit 5");
  Lines first_lines;
  {
    DurableSteps first(steps_folder());
    absl::Notification saw_line;
    host::ProcessOptions options;
    options.on_line = [&](std::string_view line) {
      first_lines.emplace_back(line);
      saw_line.Notify();
    };
    std::thread agent([&] {
      auto result = first.Run("op", "driver", script, options);
      EXPECT_EQ(result.status().code(), absl::StatusCode::kUnavailable) << result.status();
    });
    saw_line.WaitForNotification();
    first.Detach();
    agent.join();
  }
  std::thread opener([&] { OpenGate(); });
  DurableSteps second(steps_folder());
  Lines second_lines;
  auto result = second.Run("op", "driver", script, Collect(&second_lines));
  opener.join();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->exit_code, 5);
  EXPECT_EQ(result->out, "before\nafter\n");
  EXPECT_EQ(first_lines, Lines{"before"});
  EXPECT_EQ(second_lines, Lines{"after"});
  EXPECT_EQ(CountOfRuns(), 1);
}

TEST_F(DurableStepsTest, AtTheDeadlineTheWholeGroupIsKilled) {
  DurableSteps steps(steps_folder());
  host::ProcessOptions options;
  options.deadline = absl::Milliseconds(300);
  int child = 0;
  options.on_line = [&](std::string_view line) { child = std::stoi(std::string(line)); };
  auto result = steps.Run("op", "driver", Shell("sleep 1000 & echo $!; wait"), options);
  EXPECT_EQ(result.status().code(), absl::StatusCode::kDeadlineExceeded) << result.status();
  ASSERT_GT(child, 0);
  while (!IsGone(child)) std::this_thread::yield();
}

TEST_F(DurableStepsTest, CancelKillsWhatRuns) {
  DurableSteps steps(steps_folder());
  std::atomic<bool> cancelled = false;
  host::ProcessOptions options;
  options.deadline = absl::InfiniteDuration();
  options.cancelled = [&] { return cancelled.load(); };
  options.on_line = [&](std::string_view) { cancelled = true; };
  auto result = steps.Run("op", "driver", Shell("echo up; exec sleep 1000"), options);
  EXPECT_EQ(result.status().code(), absl::StatusCode::kCancelled) << result.status();
}

TEST_F(DurableStepsTest, AKilledSupervisorTakesItsProgramWithItAndTheStepIsInterrupted) {
  DurableSteps steps(steps_folder());
  int child = 0;
  host::ProcessOptions options;
  options.on_line = [&](std::string_view line) {
    child = std::stoi(std::string(line));
    kill(SupervisorPid(), SIGKILL);
  };
  auto result = steps.Run("op", "driver", Shell("sleep 1000 & echo $!; wait"), options);
  EXPECT_EQ(result.status().code(), absl::StatusCode::kAborted) << result.status();
  EXPECT_NE(std::string(result.status().message()).find("interrupted"), std::string::npos);
  ASSERT_GT(child, 0);
  while (!IsGone(child)) std::this_thread::yield();
  EXPECT_EQ(steps.Run("op", "driver", Shell("true"), {}).status().code(),
            absl::StatusCode::kAborted);
}

TEST_F(DurableStepsTest, OutputBeyondTheLimitIsDropped) {
  DurableSteps steps(steps_folder());
  host::ProcessOptions options;
  options.max_output_bytes = 1000;
  auto result = steps.Run("op", "driver", Shell("head -c 200000 /dev/zero; exit 0"), options);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->out.size(), 1000u);
  EXPECT_TRUE(result->truncated);
}

TEST_F(DurableStepsTest, BadProgramsAndNamesAreErrors) {
  DurableSteps steps(steps_folder());
  EXPECT_EQ(steps.Run("op", "a", {"/no/such/program"}, {}).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(steps.Run("op", "../b", {"/bin/true"}, {}).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(steps.Run("op", "c", {"true"}, {}).status().code(), absl::StatusCode::kInvalidArgument);
  DurableSteps broken(steps_folder(), "/bin/false");
  EXPECT_EQ(broken.Run("op", "d", {"/bin/true"}, {}).status().code(), absl::StatusCode::kInternal);
}

TEST_F(DurableStepsTest, ForgetsWhatACrashLeftBehind) {
  const auto script = Shell("echo run >> " + runs());
  DurableSteps steps(steps_folder());
  ASSERT_TRUE(steps.Run("dead", "driver", script, {}).ok());
  ASSERT_TRUE(steps.Run("live", "driver", script, {}).ok());
  steps.ForgetAllBut({"live"});
  ASSERT_TRUE(steps.Run("live", "driver", script, {}).ok());
  EXPECT_EQ(CountOfRuns(), 2);
  ASSERT_TRUE(steps.Run("dead", "driver", script, {}).ok());
  EXPECT_EQ(CountOfRuns(), 3);
}

}  // namespace
}  // namespace npufleet::operations
