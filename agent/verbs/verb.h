// SPDX-License-Identifier: Apache-2.0
//
// The one shape of every verb: a Check that only reads, an Apply that changes, and, for what is
// started, a Stop. The runner (agent/operations) does Check, Apply, Check: success is what the
// second Check saw, never an exit code alone.
#ifndef AGENT_VERBS_VERB_H_
#define AGENT_VERBS_VERB_H_

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "agent/host/host.h"
#include "npufleet/v1/operation.pb.h"
#include "npufleet/v1/verbs.pb.h"

namespace npufleet::verbs {

// What an Apply or a Stop is given beside the host. Used by one thread at a time.
class Execution {
 public:
  virtual ~Execution() = default;

  // A line of the operation's log, and its progress. Neither holds a secret.
  virtual void Log(std::string_view line) = 0;
  virtual void Report(const v1::Progress& progress) = 0;
  // What of a former start was in the way and is gone now: a line of the log, and of the rollout's
  // history.
  virtual void Swept(std::string_view what) { Log(what); }
  // True as soon as the operation is to end: return absl::CancelledError() soon after.
  virtual bool IsCancelled() = 0;
  // With IsCancelled: it is the agent that ends, and the next one calls Apply again. What was begun
  // is left as it is.
  virtual bool AgentStops() { return false; }

  // Runs a program that may outlive the agent: it is supervised by a process of its own, and its
  // output and exit status are on disk. After a restart of the agent, Apply is called again; a step
  // that ended is then not run again but returns its recorded result, one that still runs is waited
  // for. `step` is unique within the operation ("driver", "firmware").
  virtual absl::StatusOr<host::ProcessResult> RunDurably(std::string_view step,
                                                         const std::vector<std::string>& argv,
                                                         const host::ProcessOptions& options) = 0;
};

class Verb {
 public:
  virtual ~Verb() = default;

  // Read only (but for start_engine, which bounds its server's log), and cheap (most under 100 ms).
  // Threadsafe. Never fails: what cannot be seen is UNKNOWN with a reason. Two Checks of an
  // untouched node give the same token.
  virtual v1::Observation Check() = 0;

  // Nobody waits for the Check that is under way, nor for a later one: it may end at once, whatever
  // it answers. Threadsafe.
  virtual void AbandonCheck() {}

  // Makes it so. Called when the Check was not PRESENT or a redo was asked for. Idempotent; after
  // an interruption it is called again from the start, unless what it makes (no redo) has come up
  // meanwhile. A failure carries a v1::Failure
  // (common/failure.h).
  virtual absl::Status Apply(Execution& execution) = 0;

  // Stops what Apply starts; OK when nothing of it is there (any more).
  virtual absl::Status Stop(Execution& execution) { return absl::OkStatus(); }

  // What an Apply would fetch now, when the Check is ABSENT without a failure: fetch_installers
  // brings it beforehand. Read only, and cheap.
  virtual std::vector<v1::Artifact> Artifacts() { return {}; }

  // How often the agent looks by itself.
  virtual absl::Duration CheckPeriod() const { return absl::Seconds(30); }
  // npu-smi, hccn_tool: one at a time on a node.
  virtual bool UsesNpuTools() const { return false; }
  // True for reboot_node: after a reboot its Check decides, instead of "interrupted".
  virtual bool SurvivesReboot() const { return false; }
};

// The verb that `subject` names, over `host`, which outlives it. InvalidArgument when it names none
// or lacks a field that it cannot do without.
absl::StatusOr<std::unique_ptr<Verb>> MakeVerb(const v1::Subject& subject, host::Host& host);

}  // namespace npufleet::verbs

#endif  // AGENT_VERBS_VERB_H_
