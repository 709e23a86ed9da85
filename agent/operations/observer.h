// SPDX-License-Identifier: Apache-2.0
//
// The standing view of the node: checks subjects when they are named, each CheckPeriod(), on
// Docker's events and when an operation of their task ended, and reports what changed. Checks run
// on four threads; those that need dockerd on four others, because they wait while it starts; those
// that use NPU tools one at a time on one of their own. Threadsafe.
#ifndef AGENT_OPERATIONS_OBSERVER_H_
#define AGENT_OPERATIONS_OBSERVER_H_

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "agent/host/host.h"
#include "agent/operations/npu_tools.h"
#include "agent/operations/runner.h"
#include "agent/verbs/verb.h"
#include "npufleet/v1/agent.pb.h"

namespace npufleet::operations {

class Observer {
  struct Entry;

 public:
  struct Options {
    absl::Duration sign_of_life = absl::Seconds(1);
    // After a watch of Docker's events ended: how long until the daemon is asked again.
    absl::Duration docker_retry = absl::Seconds(1);
    // True while an operation of the task lives: then it is checked only when newly named.
    std::function<bool(const std::string& task)> is_busy;
  };

  // `host` and `npu_tools` outlive the observer.
  Observer(host::Host& host, VerbFactory factory, NpuTools& npu_tools, Options options);
  ~Observer();  // no View may be left

  // What one stream of the controller looks at; ends in its destructor. When that returns,
  // `on_seen` does not run and never will.
  class View {
   public:
    ~View();
    View(const View&) = delete;
    View& operator=(const View&) = delete;

    // Adds or replaces by task, and checks now.
    void Check(const std::vector<v1::Subject>& subjects);
    void Forget(const std::vector<std::string>& tasks);

   private:
    friend class Observer;
    View(Observer* observer, uint64_t key) : observer_(observer), key_(key) {}
    static void Abandon(const Entry& entry);
    Observer* observer_;
    uint64_t key_;
  };

  // What was seen since the last time. `unchanged`: tasks that were checked again and said what
  // they had said before, each with the time of that Check.
  struct Seen {
    std::vector<v1::TaskObservation> observations;
    std::map<std::string, absl::Time> unchanged;
  };
  // `on_seen` gets a first answer for each subject, then changes (all of an observation counts but
  // its facts); and each second a sign of life, with what is unchanged or with nothing at all. It
  // must not block, and must not call the observer.
  using OnSeen = std::function<void(Seen)>;
  std::unique_ptr<View> Open(OnSeen on_seen);

  // Checks each once, and calls `done` on one of the observer's threads. InvalidArgument when one
  // of the subjects is not understood.
  void CheckOnce(std::vector<v1::Subject> subjects,
                 std::function<void(absl::StatusOr<std::vector<v1::TaskObservation>>)> done);

  // An operation of this task ended.
  void OperationEnded(const std::string& task);

 private:
  struct Entry {
    v1::Subject subject;
    std::shared_ptr<verbs::Verb> verb;  // null: not understood, for `reason`
    std::string reason;
    uint64_t generation = 0;
    bool answered = false;
    bool checking = false;
    bool again = false;  // something happened while it was checked
    v1::Observation last;
    absl::Duration due;       // on the steady clock
    absl::Duration earliest;  // before which the end of an exec does not start a Check
  };
  struct Viewer {
    OnSeen on_seen;
    std::map<std::string, Entry> entries;  // by task
    absl::Duration next_sign_of_life;
    std::map<std::string, absl::Time> unchanged;  // since the last sign of life
  };
  using Job = std::function<void()>;

  void Work(std::deque<Job>& jobs);
  void Schedule();
  absl::Duration StartWhatIsDue(absl::Duration now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void StartCheck(uint64_t view, Entry& entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void FinishCheck(uint64_t view, const std::string& task, uint64_t generation,
                   const v1::Observation& seen) ABSL_LOCKS_EXCLUDED(mutex_);
  // Null when nobody waits for the answer any more.
  Entry* Wanted(uint64_t view, const std::string& task, uint64_t generation)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Nothing when the agent stops before it is its turn.
  std::optional<v1::Observation> CheckInTurn(verbs::Verb& verb);
  void MakeDue(Entry& entry, absl::Duration when) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Enqueue(const v1::Subject& subject, const verbs::Verb& verb, Job job)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  v1::TaskObservation Stamped(const v1::Subject& subject, const v1::Observation& seen) const;

  void WatchDocker();
  void OnContainerEvent(const host::Docker::ContainerEvent& event);
  void CheckWhatNeedsDocker();

  host::Host& host_;
  const VerbFactory factory_;
  NpuTools& npu_tools_;
  const Options options_;

  absl::Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool rescheduled_ ABSL_GUARDED_BY(mutex_) = false;
  uint64_t last_key_ ABSL_GUARDED_BY(mutex_) = 0;
  std::map<uint64_t, Viewer> viewers_ ABSL_GUARDED_BY(mutex_);
  std::deque<Job> jobs_ ABSL_GUARDED_BY(mutex_);
  std::deque<Job> npu_jobs_ ABSL_GUARDED_BY(mutex_);
  std::deque<Job> docker_jobs_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::thread> threads_;
};

}  // namespace npufleet::operations

#endif  // AGENT_OPERATIONS_OBSERVER_H_
