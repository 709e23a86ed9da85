// SPDX-License-Identifier: Apache-2.0
//
// The agent's operations: accepts, runs, resumes, cancels and shows them. Each runs on a thread of
// its own; those of verbs that use NPU tools one at a time. Threadsafe; calls may write to the
// disk, so they are not for the threads of gRPC.
#ifndef AGENT_OPERATIONS_RUNNER_H_
#define AGENT_OPERATIONS_RUNNER_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "agent/operations/durable_steps.h"
#include "agent/operations/journal.h"
#include "agent/operations/live_operation.h"
#include "agent/operations/npu_tools.h"
#include "agent/verbs/verb.h"
#include "common/change_signal.h"

namespace npufleet::operations {

using VerbFactory =
    std::function<absl::StatusOr<std::unique_ptr<verbs::Verb>>(const v1::Subject& subject)>;

class Runner {
 public:
  struct Options {
    absl::Duration flush_period = absl::Milliseconds(250);  // of log lines and progress
    absl::Duration reboot_patience = absl::Minutes(10);
    std::function<void(const std::string& task)> on_ended;  // called from the operation's thread
  };

  // All outlive the runner.
  Runner(host::Host& host, VerbFactory factory, Journal& journal, DurableSteps& steps,
         NpuTools& npu_tools, Options options);
  ~Runner();  // Shutdown without a limit

  // Once, before any other call: goes on with what ran in this boot and concludes what ran in
  // another.
  absl::Status Resume();

  // The rules are in agent.proto, StartOperation.
  absl::StatusOr<v1::Operation> Start(const v1::StartOperationRequest& request);
  absl::StatusOr<v1::Operation> Get(std::string_view id);
  absl::StatusOr<v1::ListOperationsReply> List(const v1::ListOperationsRequest& request);
  // Asks it to end; of one that is over, its end is returned.
  absl::StatusOr<v1::Operation> Cancel(std::string_view id);
  absl::StatusOr<std::vector<v1::OperationEvent>> EventsAfter(std::string_view id,
                                                              uint64_t sequence, int limit);
  // Notified when any operation has a new event in the journal.
  ChangeSignal& changes() { return changes_; }

  bool IsBusy(std::string_view task) const;  // an operation of this task is not over
  const std::string& boot_id() const { return boot_id_; }

  // Accepts nothing more, tells what runs to return, leaves durable steps running, and waits for
  // the threads up to `limit`. Returns whether all came back.
  bool Shutdown(absl::Duration limit);

 private:
  struct Running {
    std::shared_ptr<LiveOperation> operation;
    std::thread thread;
    bool over = false;      // its end is in the journal
    bool returned = false;  // the thread touches nothing any more
  };

  absl::Status CheckRules(const v1::StartOperationRequest& request);
  void Launch(JournalEntry entry, std::unique_ptr<verbs::Verb> verb) ABSL_LOCKS_EXCLUDED(mutex_);
  void Launch(std::shared_ptr<LiveOperation> operation, std::function<void(LiveOperation&)> work)
      ABSL_LOCKS_EXCLUDED(mutex_);
  std::shared_ptr<LiveOperation> MakeLive(JournalEntry entry);
  void RunOnThread(LiveOperation& operation, verbs::Verb& verb);
  void Conclude(LiveOperation& operation, const Outcome& outcome);
  void Ended(LiveOperation& operation, const Outcome& outcome);  // its end is journaled
  static Outcome OutcomeOfOtherBoot(absl::StatusOr<std::unique_ptr<verbs::Verb>>& verb);
  void PruneJournal();
  void KeepHouse();
  void JoinReturned();

  host::Host& host_;
  const VerbFactory factory_;
  Journal& journal_;
  DurableSteps& steps_;
  NpuTools& npu_tools_;
  const Options options_;
  std::string boot_id_;  // constant after Resume()
  ChangeSignal changes_;

  absl::Mutex accept_mutex_;  // one acceptance at a time
  mutable absl::Mutex mutex_;
  std::map<std::string, Running> running_ ABSL_GUARDED_BY(mutex_);  // by id
  bool pending_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread housekeeper_;  // flushes events, joins threads; last, so that all else stands
};

}  // namespace npufleet::operations

#endif  // AGENT_OPERATIONS_RUNNER_H_
