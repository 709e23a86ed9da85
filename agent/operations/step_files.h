// SPDX-License-Identifier: Apache-2.0
//
// What the agent and the supervisor of a durable step tell each other, as files of one folder:
//
//   command.json  agent: what to run, and for how long (fsynced before the supervisor starts)
//   lock          held (flock) by the supervisor while it lives; the kernel lets go of it with the
//                 process, so it tells life better than a pid, which is used again
//   session       supervisor: "SID START-TICKS" of the session of all that it starts, before it
//   starts it output        supervisor: stdout and stderr of the program, as they come cancel
//   agent: exists when the program is to be killed exit.json     supervisor: how it ended
//   (fsynced); with it the step is over
//
// Paths are real ones, not under a host's root.
#ifndef AGENT_OPERATIONS_STEP_FILES_H_
#define AGENT_OPERATIONS_STEP_FILES_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace npufleet::operations {

struct StepCommand {
  std::vector<std::string> argv;  // argv[0] is an absolute path
  std::string stdin_text;
  std::string working_directory = "/";
  absl::Duration deadline = absl::InfiniteDuration();
  size_t max_output_bytes = 16 << 20;
};

struct StepExit {
  enum class Outcome { kExited, kDeadline, kCancelled, kNotStarted };
  Outcome outcome = Outcome::kExited;
  int exit_code = 0;  // 128 + signal when killed by one
  bool truncated = false;
  std::string message;  // with kNotStarted: why
  absl::Time end_time;
};

class StepFiles {
 public:
  explicit StepFiles(std::string folder) : folder_(std::move(folder)) {}

  const std::string& folder() const { return folder_; }
  std::string output() const { return folder_ + "/output"; }
  std::string lock() const { return folder_ + "/lock"; }
  std::string cancel() const { return folder_ + "/cancel"; }

  absl::Status WriteCommand(const StepCommand& command) const;
  absl::StatusOr<StepCommand> ReadCommand() const;  // NotFound: there is none yet
  absl::Status WriteExit(const StepExit& ended) const;
  std::optional<StepExit> ReadExit() const;

  // A process identifies itself by pid and start within one boot; of a session, its leader's.
  struct Session {
    int id = 0;
    uint64_t start_ticks = 0;
  };
  absl::Status WriteSession(const Session& session) const;
  std::optional<Session> ReadSession() const;

  absl::Status RequestCancel() const;

  // Whether a supervisor holds the lock.
  bool IsSupervised() const;

 private:
  std::string folder_;
};

}  // namespace npufleet::operations

#endif  // AGENT_OPERATIONS_STEP_FILES_H_
