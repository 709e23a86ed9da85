// SPDX-License-Identifier: Apache-2.0
//
// Programs that outlive the agent: each step of an operation runs under a supervisor process of its
// own (supervisor.h), and what it printed and how it ended is on disk. Threadsafe.
#ifndef AGENT_OPERATIONS_DURABLE_STEPS_H_
#define AGENT_OPERATIONS_DURABLE_STEPS_H_

#include <atomic>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "agent/host/subprocess.h"
#include "agent/operations/step_files.h"

namespace npufleet::operations {

class DurableSteps {
 public:
  // `folder` is real (under no root) and is made at the first step. `executable SUPERVISE FOLDER`,
  // with SUPERVISE being "supervise", must call Supervise().
  explicit DurableSteps(std::string folder, std::string executable = "/proc/self/exe");

  // As host::Subprocess::Run (argv[0] must be absolute; stdout and stderr come together as `out`),
  // except that a step of this operation which ended before is not run again: its result is
  // returned; and one that still runs is waited for. Lines that were handed out before a restart of
  // the agent are not handed out again. Aborted: the supervisor died, what it ran was killed
  // ("interrupted"). Unavailable: Detach() was called; the program goes on.
  absl::StatusOr<host::ProcessResult> Run(std::string_view operation, std::string_view step,
                                          const std::vector<std::string>& argv,
                                          const host::ProcessOptions& options);

  // The operation is over: drops what is recorded of its steps.
  void Forget(std::string_view operation);
  // Drops all but these operations' (at the start: what a crash left behind).
  void ForgetAllBut(const std::set<std::string>& operations);

  // The agent stops: every Run, present and future, returns soon and leaves its program running.
  void Detach() { detached_ = true; }

 private:
  std::string FolderOf(std::string_view operation) const;
  absl::Status Launch(const StepFiles& files, const host::ProcessOptions& options) const;
  absl::StatusOr<host::ProcessResult> Follow(const StepFiles& files, std::string_view step,
                                             const host::ProcessOptions& options) const;

  const std::string folder_;
  const std::string executable_;
  std::atomic<bool> detached_ = false;
};

}  // namespace npufleet::operations

#endif  // AGENT_OPERATIONS_DURABLE_STEPS_H_
