// SPDX-License-Identifier: Apache-2.0
//
// Self-extracting installers (.run), as the driver, the firmware and the Docker runtime come:
// fetched, made executable and run where they outlive the agent. Whether one did its work is for a
// Check to say.
#ifndef AGENT_VERBS_INSTALLER_H_
#define AGENT_VERBS_INSTALLER_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "agent/verbs/fetched_file.h"
#include "agent/verbs/verb.h"

namespace npufleet::verbs {

// Fetches the artifact to its place (fetched_file.h), with log and progress, verified by reading. A
// file without a sha256 in the spec is kept as it came. The path on the node.
absl::StatusOr<std::string> FetchToNode(host::Host& host, Execution& execution,
                                        const v1::Artifact& artifact);

struct InstallerRun {
  std::string stage;  // whose signatures its output is matched with: "driver"
  std::string step;   // unique within the operation: "firmware"
  std::string path;   // as FetchToNode() gave it
  std::vector<std::string> arguments;
  std::string stdin_text;  // empty: /dev/null
  absl::Duration deadline = absl::Minutes(30);
};

// Runs it, with its lines in the log and its percentages as progress. A non-zero exit is a result.
// An installer that asks the same question again and again is stopped at once. Errors: the
// operation's Cancelled, and failures of the signature table or TRANSIENT for a deadline,
// NEEDS_OPERATOR for a question.
absl::StatusOr<host::ProcessResult> RunInstaller(host::Host& host, Execution& execution,
                                                 const InstallerRun& run);

// Of one that ended without installing what it was to, and was started at `began`: what its output
// says, else TRANSIENT with the step, its exit code and what the kernel of the node said meanwhile.
absl::Status FailedInstall(host::Host& host, const InstallerRun& run,
                           const host::ProcessResult& result, absl::Time began);

}  // namespace npufleet::verbs

#endif  // AGENT_VERBS_INSTALLER_H_
