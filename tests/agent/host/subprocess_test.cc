// SPDX-License-Identifier: Apache-2.0
#include "agent/host/subprocess.h"

#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "agent/host/process_tree.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/fakes/fake_host.h"

namespace npufleet::host {
namespace {

// While it is true, no SIGKILL of this program arrives: a process that ignores SIGTERM is then as
// one that is stuck in the kernel.
std::atomic<bool> sigkill_is_lost = false;

}  // namespace
}  // namespace npufleet::host

extern "C" int kill(pid_t pid, int signal) noexcept {
  if (signal == SIGKILL && npufleet::host::sigkill_is_lost) return 0;
  return static_cast<int>(syscall(SYS_kill, pid, signal));
}

namespace npufleet::host {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class SubprocessTest : public ::testing::Test {
 protected:
  void AddProgram(const std::string& path, const std::string& text) {
    ASSERT_TRUE(node_.files().Write(path, text, 0755).ok());
  }
  // A dead process may be a zombie for a while: it does nothing any more.
  static bool IsAlive(int pid) {
    const auto text = ReadProc(absl::StrCat("/proc/", pid, "/stat"));
    return text.ok() && ParseProcessStat(*text)->state != 'Z';
  }

  fakes::FakeHost node_;
  std::unique_ptr<Subprocess> subprocess_ = MakeSubprocess(node_.root(), {"/usr/bin", "/bin"});
};

TEST_F(SubprocessTest, GivesOutputErrorsAndExitCode) {
  const auto result = subprocess_->Run({"sh", "-c", "echo out; echo err >&2; exit 3"});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->out, "out\n");
  EXPECT_EQ(result->err, "err\n");
  EXPECT_EQ(result->exit_code, 3);
}

TEST_F(SubprocessTest, PassesArgumentsAsTheyAre) {
  EXPECT_EQ(subprocess_->Run({"printf", "%s|", "a b", "$HOME", "*"})->out, "a b|$HOME|*|");
}

TEST_F(SubprocessTest, ASignalIs128AndItsNumber) {
  EXPECT_EQ(subprocess_->Run({"sh", "-c", "kill -9 $$"})->exit_code, 137);
}

TEST_F(SubprocessTest, StdinIsNullUnlessGiven) {
  EXPECT_EQ(subprocess_->Run({"cat"})->out, "");
  ProcessOptions options;
  options.stdin_text = std::string(300000, 'y') + "\n";
  EXPECT_EQ(subprocess_->Run({"cat"}, options)->out, options.stdin_text);
  EXPECT_TRUE(subprocess_->Run({"true"}, options)->ok());  // does not read it
}

TEST_F(SubprocessTest, AddsToTheEnvironmentAndHidesTheAgentsOwn) {
  setenv("NOTIFY_SOCKET", "/run/agent", 1);
  setenv("NPUFLEET_TEST_INHERITED", "yes", 1);
  ProcessOptions options;
  options.environment = {{"LANG", "C.UTF-8"}};
  const std::string out = subprocess_->Run({"env"}, options)->out;
  unsetenv("NOTIFY_SOCKET");
  EXPECT_THAT(out, HasSubstr("LANG=C.UTF-8\n"));
  EXPECT_THAT(out, HasSubstr("NPUFLEET_TEST_INHERITED=yes\n"));
  EXPECT_THAT(out, Not(HasSubstr("NOTIFY_SOCKET")));
  EXPECT_THAT(out, HasSubstr(absl::StrCat("PATH=", node_.root(), "/usr/bin:")));
}

TEST_F(SubprocessTest, SearchesTheRootFirst) {
  EXPECT_EQ(subprocess_->Which("true").value(), "/usr/bin/true");
  AddProgram("/usr/bin/true", "#!/bin/sh\necho double\n");
  EXPECT_EQ(subprocess_->Which("true").value(), node_.root() + "/usr/bin/true");
  EXPECT_EQ(subprocess_->Run({"true"})->out, "double\n");
  EXPECT_EQ(subprocess_->Run({"/usr/bin/true"})->out, "double\n");
}

TEST_F(SubprocessTest, SaysThatThereIsNoSuchProgram) {
  const auto result = subprocess_->Run({"npu-smi"});
  EXPECT_TRUE(absl::IsNotFound(result.status()));
  EXPECT_THAT(result.status().message(), HasSubstr("npu-smi: no such program in"));
  ASSERT_TRUE(node_.files().Write("/usr/bin/plain", "text", 0644).ok());
  EXPECT_TRUE(absl::IsNotFound(subprocess_->Which("plain").status()));
  EXPECT_TRUE(absl::IsInvalidArgument(subprocess_->Run({}).status()));
}

TEST_F(SubprocessTest, RunsInTheGivenFolder) {
  ProcessOptions options;
  EXPECT_EQ(subprocess_->Run({"pwd"}, options)->out, "/\n");
  options.working_directory = node_.root();
  EXPECT_EQ(subprocess_->Run({"pwd"}, options)->out, node_.root() + "\n");
}

TEST_F(SubprocessTest, TellsEachLineAsItComes) {
  std::vector<std::string> lines;
  ProcessOptions options;
  options.on_line = [&](std::string_view line) { lines.emplace_back(line); };
  ASSERT_TRUE(
      subprocess_->Run({"printf", "\\033[31mred\\033[0m\\n50%%\\r100%%\\nlast"}, options).ok());
  EXPECT_THAT(lines, ElementsAre("red", "50%", "100%", "last"));
}

TEST_F(SubprocessTest, DropsWhatIsBeyondTheCap) {
  ProcessOptions options;
  options.max_output_bytes = 1000;
  const auto result = subprocess_->Run({"head", "-c", "1000000", "/dev/zero"}, options);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->out.size(), 1000u);
  EXPECT_TRUE(result->truncated);
}

TEST_F(SubprocessTest, DoesNotWaitForWhatItLeftInTheBackground) {
  const auto result = subprocess_->Run({"sh", "-c", "sleep 1000 & echo $!"});
  ASSERT_TRUE(result.ok());
  int pid = 0;
  ASSERT_TRUE(absl::SimpleAtoi(result->out, &pid));
  EXPECT_TRUE(IsAlive(pid));
  kill(pid, SIGKILL);
}

TEST_F(SubprocessTest, KillsTheWholeGroupAtTheDeadline) {
  int child = 0;
  ProcessOptions options;
  options.deadline = absl::Milliseconds(300);
  options.on_line = [&](std::string_view line) {
    EXPECT_TRUE(absl::SimpleAtoi(std::string(line), &child));
  };
  const auto result = subprocess_->Run({"sh", "-c", "sleep 1000 & echo $!; wait"}, options);
  EXPECT_TRUE(absl::IsDeadlineExceeded(result.status())) << result.status();
  ASSERT_NE(child, 0);
  while (IsAlive(child)) absl::SleepFor(absl::Milliseconds(1));
}

TEST_F(SubprocessTest, EndsWhenCancelled) {
  std::atomic<bool> cancelled = false;
  ProcessOptions options;
  options.deadline = absl::InfiniteDuration();
  options.cancelled = [&] { return cancelled.load(); };
  options.on_line = [&](std::string_view) { cancelled = true; };
  const auto result = subprocess_->Run({"sh", "-c", "echo started; sleep 1000"}, options);
  EXPECT_TRUE(absl::IsCancelled(result.status())) << result.status();
}

TEST_F(SubprocessTest, GivesUpWhatOutlivesItsKillAndDoesNotStartItAgainMeanwhile) {
  const std::string gone = node_.root() + "/gone";
  const std::vector<std::string> argv = {"sh", "-c",
                                         absl::StrCat("test -e ", gone,
                                                      " && exit 7; trap '' TERM; echo $$; "
                                                      "exec sleep 1000")};
  int pid = 0;
  ProcessOptions options;
  options.deadline = absl::Milliseconds(300);
  options.on_line = [&](std::string_view line) {
    EXPECT_TRUE(absl::SimpleAtoi(std::string(line), &pid));
  };
  sigkill_is_lost = true;
  const auto first = subprocess_->Run(argv, options);
  const int stuck = pid;
  const auto says_so =
      AllOf(HasSubstr(absl::StrCat("process ", stuck)),
            HasSubstr("blocked for more than 10 seconds"), HasSubstr("the node must reboot"));
  EXPECT_TRUE(absl::IsDeadlineExceeded(first.status())) << first.status();
  EXPECT_THAT(first.status().message(), says_so);
  const auto second = subprocess_->Run(argv, options);
  EXPECT_TRUE(absl::IsDeadlineExceeded(second.status())) << second.status();
  EXPECT_THAT(second.status().message(), says_so);
  EXPECT_EQ(pid, stuck);
  EXPECT_TRUE(subprocess_->Run({"true"})->ok());
  sigkill_is_lost = false;

  kill(stuck, SIGKILL);
  while (IsAlive(stuck)) absl::SleepFor(absl::Milliseconds(1));
  ASSERT_TRUE(node_.files().Write("/gone", "").ok());
  const auto third = subprocess_->Run(argv, options);
  ASSERT_TRUE(third.ok()) << third.status();
  EXPECT_EQ(third->exit_code, 7);
  EXPECT_EQ(access(absl::StrCat("/proc/", stuck).c_str(), F_OK), -1) << "nobody reaped it";
}

TEST_F(SubprocessTest, PassesNoOpenFileOn) {
  const int leaked = dup(1);  // without O_CLOEXEC, as a library would
  const auto result = subprocess_->Run({"ls", "/proc/self/fd"});
  close(leaked);
  EXPECT_EQ(result->out, "0\n1\n2\n3\n");  // 3 is ls's own
}

TEST_F(SubprocessTest, RunsManyAtOnce) {
  std::vector<std::thread> threads;
  std::atomic<int> right = 0;
  for (int i = 0; i < 16; ++i) {
    threads.emplace_back([&, i] {
      const auto result = subprocess_->Run({"printf", absl::StrCat(i)});
      if (result.ok() && result->out == absl::StrCat(i)) ++right;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, 16);
}

}  // namespace
}  // namespace npufleet::host
