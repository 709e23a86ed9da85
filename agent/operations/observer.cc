// SPDX-License-Identifier: Apache-2.0
#include "agent/operations/observer.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "agent/operations/run_operation.h"
#include "common/log.h"
#include "common/time_conversion.h"
#include "google/protobuf/util/message_differencer.h"

namespace npufleet::operations {
namespace {

constexpr int kWorkers = 4;
// A Check may itself run something in a container, whose end is an event: without this it would
// check forever.
constexpr absl::Duration kBetweenExecChecks = absl::Seconds(2);
// At most so long until what nobody can see, or what somebody is to mend, is looked at again.
constexpr absl::Duration kUnsettledPeriod = absl::Seconds(10);

// What lives in a container, and so may end with one.
bool LivesInContainer(const v1::Verb& verb) {
  return verb.has_run_container() || verb.has_start_ray_head() || verb.has_start_ray_worker() ||
         verb.has_start_engine();
}

bool NeedsDaemon(const v1::Verb& verb) {
  return LivesInContainer(verb) || verb.has_install_docker() || verb.has_install_runtime() ||
         verb.has_load_image();
}

// "top" and "exec_create" are our own looking.
bool ChangesSomething(const std::string& action) {
  static const char* const kActions[] = {"create",  "start",   "die",   "stop",    "kill",  "oom",
                                         "destroy", "restart", "pause", "unpause", "rename"};
  return std::find(std::begin(kActions), std::end(kActions), action) != std::end(kActions);
}

bool SaysTheSame(const v1::Observation& a, const v1::Observation& b) {
  v1::Observation without_a = a, without_b = b;
  without_a.clear_facts();
  without_b.clear_facts();
  return google::protobuf::util::MessageDifferencer::Equals(without_a, without_b);
}

v1::Observation NotUnderstood(const std::string& reason) {
  v1::Observation seen;
  seen.set_state(v1::Observation::UNKNOWN);
  seen.set_reason(reason);
  return seen;
}

// What nobody can see, or what somebody is to mend, holds others up until it is seen to be well.
absl::Duration PeriodAfter(const v1::Observation& seen, const verbs::Verb& verb) {
  const bool to_be_mended = seen.state() == v1::Observation::ABSENT && seen.has_failure() &&
                            seen.failure().class_() != v1::Failure::REDO;
  const bool settled = seen.state() != v1::Observation::UNKNOWN && !to_be_mended;
  return settled ? verb.CheckPeriod() : std::min(verb.CheckPeriod(), kUnsettledPeriod);
}

}  // namespace

Observer::Observer(host::Host& host, VerbFactory factory, NpuTools& npu_tools, Options options)
    : host_(host),
      factory_(std::move(factory)),
      npu_tools_(npu_tools),
      options_(std::move(options)) {
  for (int i = 0; i < kWorkers; ++i) threads_.emplace_back([this] { Work(jobs_); });
  for (int i = 0; i < kWorkers; ++i) threads_.emplace_back([this] { Work(docker_jobs_); });
  threads_.emplace_back([this] { Work(npu_jobs_); });
  threads_.emplace_back([this] { Schedule(); });
  threads_.emplace_back([this] { WatchDocker(); });
}

Observer::~Observer() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  for (std::thread& thread : threads_) thread.join();
}

void Observer::Work(std::deque<Job>& jobs) {
  while (true) {
    Job job;
    {
      absl::MutexLock lock(&mutex_);
      const auto woken = [&]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
        return stopping_ || !jobs.empty();
      };
      mutex_.Await(absl::Condition(&woken));
      if (stopping_) return;
      job = std::move(jobs.front());
      jobs.pop_front();
    }
    job();
  }
}

void Observer::Enqueue(const v1::Subject& subject, const verbs::Verb& verb, Job job) {
  std::deque<Job>& jobs = verb.UsesNpuTools()           ? npu_jobs_
                          : NeedsDaemon(subject.verb()) ? docker_jobs_
                                                        : jobs_;
  jobs.push_back(std::move(job));
}

v1::TaskObservation Observer::Stamped(const v1::Subject& subject,
                                      const v1::Observation& seen) const {
  v1::TaskObservation stamped;
  stamped.set_task(subject.task());
  stamped.set_stamp(subject.stamp());
  *stamped.mutable_observation() = seen;
  *stamped.mutable_time() = ToTimestamp(host_.clock->Now());
  return stamped;
}

// --- Views ------------------------------------------------------------------------------------

std::unique_ptr<Observer::View> Observer::Open(OnSeen on_seen) {
  absl::MutexLock lock(&mutex_);
  Viewer& viewer = viewers_[++last_key_];
  viewer.on_seen = std::move(on_seen);
  viewer.next_sign_of_life = host_.clock->Elapsed();
  rescheduled_ = true;
  return std::unique_ptr<View>(new View(this, last_key_));
}

Observer::View::~View() {
  absl::MutexLock lock(&observer_->mutex_);
  for (const auto& [task, entry] : observer_->viewers_[key_].entries) Abandon(entry);
  observer_->viewers_.erase(key_);
}

// A Check that takes minutes would hold a worker up for an answer that nobody waits for.
void Observer::View::Abandon(const Entry& entry) {
  if (entry.checking) entry.verb->AbandonCheck();
}

void Observer::View::Check(const std::vector<v1::Subject>& subjects) {
  std::vector<Entry> entries(subjects.size());
  for (size_t i = 0; i < subjects.size(); ++i) {
    absl::StatusOr<std::unique_ptr<verbs::Verb>> verb = observer_->factory_(subjects[i]);
    entries[i].subject = subjects[i];
    if (verb.ok()) {
      entries[i].verb = *std::move(verb);
    } else {
      entries[i].reason = std::string(verb.status().message());
    }
  }
  absl::MutexLock lock(&observer_->mutex_);
  Viewer& viewer = observer_->viewers_[key_];
  for (Entry& entry : entries) {
    entry.generation = ++observer_->last_key_;
    entry.due = -absl::InfiniteDuration();
    Entry& place = viewer.entries[entry.subject.task()];
    Abandon(place);
    place = std::move(entry);
  }
  observer_->rescheduled_ = true;
}

void Observer::View::Forget(const std::vector<std::string>& tasks) {
  absl::MutexLock lock(&observer_->mutex_);
  std::map<std::string, Entry>& entries = observer_->viewers_[key_].entries;
  for (const std::string& task : tasks) {
    auto found = entries.find(task);
    if (found == entries.end()) continue;
    Abandon(found->second);
    entries.erase(found);
  }
}

// --- Checks -----------------------------------------------------------------------------------

void Observer::Schedule() {
  absl::MutexLock lock(&mutex_);
  while (!stopping_) {
    rescheduled_ = false;
    const absl::Duration now = host_.clock->Elapsed();
    const absl::Duration next = StartWhatIsDue(now);
    const auto woken = [this]()
                           ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return stopping_ || rescheduled_; };
    mutex_.AwaitWithTimeout(absl::Condition(&woken), next - now);
  }
}

absl::Duration Observer::StartWhatIsDue(absl::Duration now) {
  absl::Duration next = absl::InfiniteDuration();
  for (auto& [key, viewer] : viewers_) {
    if (viewer.next_sign_of_life <= now) {
      viewer.on_seen({{}, std::exchange(viewer.unchanged, {})});
      viewer.next_sign_of_life = now + options_.sign_of_life;
    }
    next = std::min(next, viewer.next_sign_of_life);
    for (auto& [task, entry] : viewer.entries) {
      if (entry.checking) continue;
      if (entry.due <= now) {
        StartCheck(key, entry);
      } else {
        next = std::min(next, entry.due);
      }
    }
  }
  return next;
}

void Observer::StartCheck(uint64_t view, Entry& entry) {
  if (entry.verb == nullptr) {
    if (!entry.answered)
      viewers_[view].on_seen({{Stamped(entry.subject, NotUnderstood(entry.reason))}, {}});
    entry.answered = true;
    entry.due = absl::InfiniteDuration();
    return;
  }
  if (entry.answered && options_.is_busy && options_.is_busy(entry.subject.task())) {
    // What is half done says nothing; the end of the operation makes it due.
    entry.due = host_.clock->Elapsed() + entry.verb->CheckPeriod();
    rescheduled_ = true;
    return;
  }
  entry.checking = true;
  entry.again = false;
  Enqueue(
      entry.subject, *entry.verb,
      [this, view, verb = entry.verb, task = entry.subject.task(), generation = entry.generation] {
        {
          absl::MutexLock lock(&mutex_);
          if (Wanted(view, task, generation) == nullptr) return;
        }
        std::optional<v1::Observation> seen = CheckInTurn(*verb);
        if (seen) FinishCheck(view, task, generation, *seen);
      });
}

std::optional<v1::Observation> Observer::CheckInTurn(verbs::Verb& verb) {
  if (!verb.UsesNpuTools()) return CheckSafely(verb);
  NpuTools::Turn turn(npu_tools_, [this] {
    absl::MutexLock lock(&mutex_);
    return stopping_;
  });
  if (!turn.held()) return std::nullopt;
  return CheckSafely(verb);
}

void Observer::FinishCheck(uint64_t view, const std::string& task, uint64_t generation,
                           const v1::Observation& seen) {
  absl::MutexLock lock(&mutex_);
  Entry* const wanted = Wanted(view, task, generation);
  if (wanted == nullptr) return;
  Entry& entry = *wanted;
  Viewer& viewer = viewers_[view];
  if (!entry.answered || !SaysTheSame(entry.last, seen)) {
    viewer.unchanged.erase(task);
    viewer.on_seen({{Stamped(entry.subject, seen)}, {}});
  } else {
    viewer.unchanged[task] = host_.clock->Now();
  }
  const absl::Duration now = host_.clock->Elapsed();
  entry.answered = true;
  entry.last = seen;
  entry.checking = false;
  entry.earliest = now + kBetweenExecChecks;
  entry.due = entry.again ? now : now + PeriodAfter(seen, *entry.verb);
  rescheduled_ = true;
}

Observer::Entry* Observer::Wanted(uint64_t view, const std::string& task, uint64_t generation) {
  auto viewer = viewers_.find(view);
  if (viewer == viewers_.end()) return nullptr;
  auto found = viewer->second.entries.find(task);
  if (found == viewer->second.entries.end() || found->second.generation != generation)
    return nullptr;
  return &found->second;
}

void Observer::MakeDue(Entry& entry, absl::Duration when) {
  if (entry.checking) {
    entry.again = true;
  } else {
    entry.due = std::min(entry.due, when);
    rescheduled_ = true;
  }
}

void Observer::CheckOnce(
    std::vector<v1::Subject> subjects,
    std::function<void(absl::StatusOr<std::vector<v1::TaskObservation>>)> done) {
  struct Round {
    absl::Mutex mutex;
    size_t missing = 0;
    std::vector<v1::TaskObservation> seen;
    std::function<void(absl::StatusOr<std::vector<v1::TaskObservation>>)> done;
  };
  auto round = std::make_shared<Round>();
  round->missing = subjects.size();
  round->seen.resize(subjects.size());
  round->done = std::move(done);
  std::vector<std::shared_ptr<verbs::Verb>> verbs;
  for (const v1::Subject& subject : subjects) {
    absl::StatusOr<std::unique_ptr<verbs::Verb>> verb = factory_(subject);
    if (!verb.ok()) {
      round->done(absl::Status(verb.status().code(),
                               absl::StrCat(subject.task(), ": ", verb.status().message())));
      return;
    }
    verbs.push_back(*std::move(verb));
  }
  if (subjects.empty()) {
    round->done(std::vector<v1::TaskObservation>());
    return;
  }
  absl::MutexLock lock(&mutex_);
  for (size_t i = 0; i < subjects.size(); ++i) {
    Enqueue(subjects[i], *verbs[i], [this, round, i, verb = verbs[i], subject = subjects[i]] {
      v1::TaskObservation stamped =
          Stamped(subject, CheckInTurn(*verb).value_or(NotUnderstood("the agent stops")));
      bool last = false;
      {
        absl::MutexLock round_lock(&round->mutex);
        round->seen[i] = std::move(stamped);
        last = --round->missing == 0;
      }
      if (last) round->done(std::move(round->seen));
    });
  }
}

// --- What makes a Check due -------------------------------------------------------------------

void Observer::OperationEnded(const std::string& task) {
  absl::MutexLock lock(&mutex_);
  for (auto& [key, viewer] : viewers_) {
    auto found = viewer.entries.find(task);
    if (found != viewer.entries.end()) MakeDue(found->second, -absl::InfiniteDuration());
  }
}

void Observer::OnContainerEvent(const host::Docker::ContainerEvent& event) {
  const bool exec_ended = absl::StartsWith(event.action, "exec_die");
  if (!exec_ended && !ChangesSomething(event.action)) return;
  absl::MutexLock lock(&mutex_);
  for (auto& [key, viewer] : viewers_) {
    for (auto& [task, entry] : viewer.entries) {
      if (!LivesInContainer(entry.subject.verb())) continue;
      if (exec_ended && entry.checking) continue;
      MakeDue(entry, exec_ended ? entry.earliest : -absl::InfiniteDuration());
    }
  }
}

void Observer::CheckWhatNeedsDocker() {
  absl::MutexLock lock(&mutex_);
  for (auto& [key, viewer] : viewers_) {
    for (auto& [task, entry] : viewer.entries) {
      if (NeedsDaemon(entry.subject.verb())) MakeDue(entry, -absl::InfiniteDuration());
    }
  }
}

void Observer::WatchDocker() {
  const auto stopping = [this] {
    absl::MutexLock lock(&mutex_);
    return stopping_ || viewers_.empty();
  };
  bool was_watching = true;
  while (true) {
    {
      absl::MutexLock lock(&mutex_);
      const auto wanted = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
        return stopping_ || !viewers_.empty();
      };
      mutex_.Await(absl::Condition(&wanted));
      if (stopping_) return;
    }
    const bool there = host_.docker->Ping().ok();
    // What happened while nobody watched is seen by looking.
    if (there || was_watching) CheckWhatNeedsDocker();
    was_watching = there;
    if (there) {
      host_.docker->WatchEvents(stopping, [this](const auto& event) { OnContainerEvent(event); })
          .IgnoreError();
    }
    absl::MutexLock lock(&mutex_);
    mutex_.AwaitWithTimeout(absl::Condition(&stopping_), options_.docker_retry);
  }
}

}  // namespace npufleet::operations
