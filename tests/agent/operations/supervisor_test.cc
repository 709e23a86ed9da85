// SPDX-License-Identifier: Apache-2.0
#include "agent/operations/supervisor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "agent/operations/durable_steps.h"
#include "agent/verbs/signatures.h"
#include "tests/fakes/temporary_folder.h"

namespace {

constexpr char kSigkillIsLost[] = "NPUFLEET_TEST_SIGKILL_IS_LOST";

}  // namespace

// This test program is the supervisor, too. With the variable, no SIGKILL of it arrives: a program
// that ignores SIGTERM is then as one that is stuck in the kernel.
extern "C" int kill(pid_t pid, int signal) noexcept {
  if (signal == SIGKILL && getenv(kSigkillIsLost) != nullptr) return 0;
  return static_cast<int>(syscall(SYS_kill, pid, signal));
}

namespace npufleet::operations {
namespace {

using ::testing::HasSubstr;

TEST(SupervisorTest, AProgramThatOutlivesItsKillIsGivenUpAndTheNodeMustReboot) {
  const fakes::TemporaryFolder folder;
  DurableSteps steps(folder.path() + "/steps");
  std::string output;
  host::ProcessOptions options;
  options.environment[kSigkillIsLost] = "1";
  options.deadline = absl::Milliseconds(300);
  options.on_line = [&](std::string_view line) { output.append(line).append("\n"); };
  const auto result = steps.Run(
      "op", "driver", {"/bin/sh", "-c", "trap '' TERM; printf 'no end'; exec sleep 1000"}, options);
  EXPECT_TRUE(absl::IsDeadlineExceeded(result.status())) << result.status();
  EXPECT_THAT(output, HasSubstr("no end\n"));
  const std::optional<v1::Failure> failure = verbs::MatchSignature("driver", output);
  ASSERT_TRUE(failure.has_value()) << output;
  EXPECT_EQ(failure->signature(), "UPG-03");
  EXPECT_EQ(failure->class_(), v1::Failure::REBOOT);
  EXPECT_THAT(failure->advice(), HasSubstr("stuck in the driver for 10 s"));
}

}  // namespace
}  // namespace npufleet::operations
