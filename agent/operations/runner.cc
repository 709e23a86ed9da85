// SPDX-License-Identifier: Apache-2.0
#include "agent/operations/runner.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "agent/operations/run_operation.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "common/string_views.h"
#include "common/time_conversion.h"
#include "google/protobuf/util/message_differencer.h"

namespace npufleet::operations {
namespace {

constexpr size_t kLongestId = 300;

absl::Status CheckRequest(const v1::StartOperationRequest& request) {
  if (request.id().empty()) return absl::InvalidArgumentError("id is missing");
  if (request.id().size() > kLongestId) {
    return absl::InvalidArgumentError(absl::StrCat("id is longer than ", kLongestId, " bytes"));
  }
  if (request.action() != v1::Operation::APPLY && request.action() != v1::Operation::STOP) {
    return absl::InvalidArgumentError("action must be APPLY or STOP");
  }
  if (request.subject().task().empty())
    return absl::InvalidArgumentError("subject.task is missing");
  if (NameOf(request.subject().verb()).empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("subject.verb of ", request.subject().task(),
                     " is missing, or is one that this agent does not know: is the agent older "
                     "than the controller?"));
  }
  return absl::OkStatus();
}

}  // namespace

Runner::Runner(host::Host& host, VerbFactory factory, Journal& journal, DurableSteps& steps,
               NpuTools& npu_tools, Options options)
    : host_(host),
      factory_(std::move(factory)),
      journal_(journal),
      steps_(steps),
      npu_tools_(npu_tools),
      options_(std::move(options)),
      housekeeper_([this] { KeepHouse(); }) {}

Runner::~Runner() {
  Shutdown(absl::InfiniteDuration());
  housekeeper_.join();
  JoinReturned();
}

absl::Status Runner::Resume() {
  ASSIGN_OR_RETURN(boot_id_, host_.system->BootId());
  ASSIGN_OR_RETURN(std::vector<JournalEntry> live, journal_.Live());
  std::set<std::string> going_on;
  for (JournalEntry& entry : live) {
    absl::StatusOr<std::unique_ptr<verbs::Verb>> verb = factory_(entry.request.subject());
    const bool is_of_other_boot = entry.operation.boot_id() != boot_id_;
    if (is_of_other_boot || !verb.ok()) {
      const std::shared_ptr<LiveOperation> operation = MakeLive(std::move(entry));
      const Outcome outcome =
          is_of_other_boot ? OutcomeOfOtherBoot(verb) : FailedWith(verb.status(), *operation);
      if (operation->TryToFinish(outcome, host_.clock->Now())) {
        Ended(*operation, outcome);
      } else {  // a full disk does not keep the agent from serving
        Launch(operation, [this, outcome](LiveOperation& ended) { Conclude(ended, outcome); });
      }
      continue;
    }
    log::Info("operation ", entry.operation.id(), " goes on");
    going_on.insert(entry.operation.id());
    Launch(std::move(entry), *std::move(verb));
  }
  steps_.ForgetAllBut(going_on);
  PruneJournal();
  return absl::OkStatus();
}

void Runner::PruneJournal() {
  const absl::Status pruned = journal_.Prune().status();
  if (!pruned.ok()) log::Warning("pruning the journal: ", pruned.message());
}

Outcome Runner::OutcomeOfOtherBoot(absl::StatusOr<std::unique_ptr<verbs::Verb>>& verb) {
  Outcome outcome;
  outcome.state = v1::Operation::INTERRUPTED;
  if (verb.ok() && (*verb)->SurvivesReboot()) {
    v1::Observation seen = CheckSafely(**verb);
    if (seen.state() == v1::Observation::PRESENT) {
      outcome.state = v1::Operation::SUCCEEDED;
      outcome.observation = std::move(seen);
      outcome.changed = true;
    }
  }
  return outcome;
}

absl::Status Runner::CheckRules(const v1::StartOperationRequest& request) {
  if (request.boot_id() != boot_id_) {
    return absl::FailedPreconditionError(absl::StrCat("decided for boot ", request.boot_id(),
                                                      ", but this node is in boot ", boot_id_));
  }
  ASSIGN_OR_RETURN(uint64_t epoch, journal_.Epoch());
  if (request.epoch() < epoch) {
    return absl::FailedPreconditionError(
        absl::StrCat("epoch ", request.epoch(), " is over: this node was given orders of epoch ",
                     epoch, "; is there a second controller?"));
  }
  return absl::OkStatus();
}

absl::StatusOr<v1::Operation> Runner::Start(const v1::StartOperationRequest& request) {
  RETURN_IF_ERROR(CheckRequest(request));
  absl::MutexLock accept_lock(&accept_mutex_);
  ASSIGN_OR_RETURN(std::optional<JournalEntry> known, journal_.Find(request.id()));
  if (known) {
    if (!google::protobuf::util::MessageDifferencer::Equals(known->request, request)) {
      return absl::AlreadyExistsError(
          absl::StrCat("operation ", request.id(), " is known with another body"));
    }
    return known->operation;
  }
  RETURN_IF_ERROR(CheckRules(request));
  ASSIGN_OR_RETURN(std::unique_ptr<verbs::Verb> verb, factory_(request.subject()));
  {
    absl::MutexLock lock(&mutex_);
    if (stopping_) return absl::UnavailableError("the agent stops");
  }
  JournalEntry entry;
  entry.request = request;
  v1::OperationEvent event;
  *event.mutable_time() = ToTimestamp(host_.clock->Now());
  event.set_sequence(1);
  v1::Operation& operation = entry.operation;
  operation.set_id(request.id());
  operation.set_task(request.subject().task());
  operation.set_action(request.action());
  operation.set_state(v1::Operation::ACCEPTED);
  operation.set_boot_id(boot_id_);
  *operation.mutable_accept_time() = event.time();
  operation.set_last_sequence(1);
  *event.mutable_operation() = operation;
  RETURN_IF_ERROR(journal_.Accept(entry, event));
  Launch(entry, std::move(verb));
  return entry.operation;
}

std::shared_ptr<LiveOperation> Runner::MakeLive(JournalEntry entry) {
  return std::make_shared<LiveOperation>(
      std::move(entry), journal_, *host_.clock,
      [this] {
        absl::MutexLock lock(&mutex_);
        pending_ = true;
      },
      [this] { changes_.Notify(); });
}

void Runner::Launch(JournalEntry entry, std::unique_ptr<verbs::Verb> verb) {
  Launch(MakeLive(std::move(entry)),
         [this, verb = std::shared_ptr<verbs::Verb>(std::move(verb))](LiveOperation& operation) {
           RunOnThread(operation, *verb);
         });
}

void Runner::Launch(std::shared_ptr<LiveOperation> operation,
                    std::function<void(LiveOperation&)> work) {
  absl::MutexLock lock(&mutex_);
  // Accepted, and stopping since: it is in the journal and goes on with the next agent.
  if (stopping_) return;
  Running& running = running_[operation->id()];
  running.operation = operation;
  running.thread = std::thread([this, operation, work = std::move(work)] {
    work(*operation);
    absl::MutexLock returned_lock(&mutex_);
    running_[operation->id()].returned = true;
    pending_ = true;
  });
}

void Runner::RunOnThread(LiveOperation& operation, verbs::Verb& verb) {
  std::optional<Outcome> outcome;
  const auto run = [&] {
    if (operation.Snapshot().state() == v1::Operation::ACCEPTED && !operation.IsCancelled()) {
      absl::Status noted = operation.SetRunning();
      if (!noted.ok()) {
        outcome = FailedWith(noted, operation);
        return;
      }
    }
    outcome = RunOperation(verb, operation, {host_, steps_, options_.reboot_patience});
  };
  if (verb.UsesNpuTools()) {
    NpuTools::Turn turn(npu_tools_, [&] { return operation.IsCancelled(); });
    run();  // without the turn it is cancelled, which is all that is then seen
  } else {
    run();
  }
  if (outcome) Conclude(operation, *outcome);
}

void Runner::Conclude(LiveOperation& operation, const Outcome& outcome) {
  if (operation.Finish(outcome)) Ended(operation, outcome);
}

void Runner::Ended(LiveOperation& operation, const Outcome& outcome) {
  log::Info("operation ", operation.id(), " ", v1::Operation::State_Name(outcome.state),
            outcome.state == v1::Operation::FAILED ? ": " : "",
            outcome.state == v1::Operation::FAILED ? outcome.failure.symptom() : "");
  steps_.Forget(operation.id());
  PruneJournal();
  {
    // From here on the task is not busy, so that who hears of the end may look.
    absl::MutexLock lock(&mutex_);
    auto found = running_.find(operation.id());
    if (found != running_.end()) found->second.over = true;
  }
  if (options_.on_ended) options_.on_ended(operation.request().subject().task());
}

absl::StatusOr<v1::Operation> Runner::Get(std::string_view id) {
  ASSIGN_OR_RETURN(std::optional<JournalEntry> found, journal_.Find(id));
  if (!found) return absl::NotFoundError(absl::StrCat("there is no operation ", Absl(id)));
  return found->operation;
}

absl::StatusOr<v1::ListOperationsReply> Runner::List(const v1::ListOperationsRequest& request) {
  int64_t before = 0;
  if (!request.page_token().empty() &&
      (!absl::SimpleAtoi(request.page_token(), &before) || before <= 0)) {
    return absl::InvalidArgumentError("page_token is not one that this agent gave");
  }
  const uint32_t size = request.page_size() == 0 ? 100 : std::min(request.page_size(), 1000u);
  ASSIGN_OR_RETURN(Journal::Page page, journal_.List(before, static_cast<int>(size)));
  v1::ListOperationsReply reply;
  for (v1::Operation& operation : page.operations) *reply.add_operations() = std::move(operation);
  if (page.next != 0) reply.set_next_page_token(absl::StrCat(page.next));
  return reply;
}

absl::StatusOr<v1::Operation> Runner::Cancel(std::string_view id) {
  std::shared_ptr<LiveOperation> operation;
  {
    absl::MutexLock lock(&mutex_);
    auto found = running_.find(std::string(id));
    if (found != running_.end() && !found->second.over) operation = found->second.operation;
  }
  if (operation != nullptr) {
    absl::Status requested = operation->RequestCancel();
    // When it ended meanwhile, its end is the answer.
    if (!requested.ok() && !IsOver(operation->Snapshot().state())) return requested;
  }
  return Get(id);
}

absl::StatusOr<std::vector<v1::OperationEvent>> Runner::EventsAfter(std::string_view id,
                                                                    uint64_t sequence, int limit) {
  return journal_.EventsAfter(id, sequence, limit);
}

bool Runner::IsBusy(std::string_view task) const {
  absl::MutexLock lock(&mutex_);
  for (const auto& [id, running] : running_) {
    if (!running.over && running.operation->request().subject().task() == task) return true;
  }
  return false;
}

void Runner::KeepHouse() {
  while (true) {
    std::vector<std::shared_ptr<LiveOperation>> live;
    {
      absl::MutexLock lock(&mutex_);
      const auto woken = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
        return pending_ || (stopping_ && running_.empty());
      };
      mutex_.Await(absl::Condition(&woken));
      if (stopping_ && running_.empty()) return;
      // What comes within a moment is journaled with one fsync.
      mutex_.AwaitWithTimeout(absl::Condition(&stopping_), options_.flush_period);
      pending_ = false;
      for (const auto& [id, running] : running_) live.push_back(running.operation);
    }
    for (const std::shared_ptr<LiveOperation>& operation : live) {
      absl::Status flushed = operation->Flush();
      if (!flushed.ok()) log::Error("journal: ", flushed.message());
    }
    JoinReturned();
  }
}

void Runner::JoinReturned() {
  std::vector<std::thread> ended;
  {
    absl::MutexLock lock(&mutex_);
    for (auto at = running_.begin(); at != running_.end();) {
      if (at->second.returned) {
        ended.push_back(std::move(at->second.thread));
        at = running_.erase(at);
      } else {
        ++at;
      }
    }
  }
  for (std::thread& thread : ended) thread.join();
}

bool Runner::Shutdown(absl::Duration limit) {
  steps_.Detach();  // first: what is told to return must not take its programs with it
  absl::MutexLock lock(&mutex_);
  stopping_ = true;
  for (const auto& [id, running] : running_) running.operation->Stop();
  const auto all_back = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    return std::all_of(running_.begin(), running_.end(),
                       [](const auto& entry) { return entry.second.returned; });
  };
  return mutex_.AwaitWithTimeout(absl::Condition(&all_back), limit);
}

}  // namespace npufleet::operations
