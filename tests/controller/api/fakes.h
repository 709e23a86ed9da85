// SPDX-License-Identifier: Apache-2.0
//
// A View and a Control that keep what a test put in, and a fleet of identities.
#ifndef TESTS_CONTROLLER_API_FAKES_H_
#define TESTS_CONTROLLER_API_FAKES_H_

#include <cstdlib>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "common/clock.h"
#include "common/tls/certificate_authority.h"
#include "common/tls/identity.h"
#include "common/tls/keys.h"
#include "controller/runtime/control.h"
#include "controller/runtime/view.h"
#include "gtest/gtest.h"
#include "tests/fakes/temporary_folder.h"

namespace npufleet::api {

class FakeView : public runtime::View {
 public:
  absl::StatusOr<v1::Rollout> GetRollout(const std::string& name) override {
    absl::MutexLock lock(&mutex_);
    const auto found = rollouts_.find(name);
    if (found == rollouts_.end()) return absl::NotFoundError("no rollout \"" + name + "\"");
    return found->second;
  }
  absl::StatusOr<v1::ListRolloutsReply> ListRollouts() override {
    absl::MutexLock lock(&mutex_);
    v1::ListRolloutsReply reply;
    for (const auto& [name, rollout] : rollouts_) *reply.add_rollouts() = rollout;
    return reply;
  }
  absl::StatusOr<v1::Explanation> ExplainTask(const v1::ExplainTaskRequest& request) override {
    v1::Explanation explanation;
    explanation.set_subject(request.task());
    return explanation;
  }
  absl::StatusOr<v1::ListRevisionsReply> ListRevisions(const std::string& rollout) override {
    v1::ListRevisionsReply reply;
    v1::Revision* revision = reply.add_revisions();
    revision->set_revision(7);
    revision->set_author("admin");
    revision->mutable_deployment()->mutable_metadata()->set_name(rollout);
    return reply;
  }
  absl::StatusOr<v1::ListEventsReply> ListEvents(const v1::ListEventsRequest& request) override {
    absl::MutexLock lock(&mutex_);
    v1::ListEventsReply reply;
    reply.set_next(request.after());
    bool known = request.rollout().empty() || rollouts_.count(request.rollout()) > 0;
    for (const v1::Event& event : events_) {
      if (!request.rollout().empty() && event.rollout() != request.rollout()) continue;
      known = true;
      if (event.id() <= request.after()) continue;
      if (reply.events_size() == static_cast<int>(request.page_size())) break;
      *reply.add_events() = event;
      reply.set_next(event.id());
    }
    if (!known) return absl::NotFoundError("no rollout \"" + request.rollout() + "\"");
    return reply;
  }
  absl::StatusOr<v1::ListNodesReply> ListNodes() override { return nodes; }
  absl::StatusOr<v1::Version> GetVersion() override {
    v1::Version version;
    version.set_version("test");
    return version;
  }
  absl::Status Ready() override { return ready; }
  ChangeSignal& Changes() override { return changes_; }

  void SetRollout(const std::string& name, uint64_t change) {
    {
      absl::MutexLock lock(&mutex_);
      v1::Rollout& rollout = rollouts_[name];
      rollout.set_name(name);
      rollout.set_change(change);
      if (rollout.tasks_size() == 0) {
        for (const char* id : {"driver@node-a", "docker@node-a", "image@node-a"}) {
          rollout.add_tasks()->set_id(id);
        }
      }
    }
    changes_.Notify();
  }
  void AddEvent(const std::string& rollout, const std::string& message) {
    {
      absl::MutexLock lock(&mutex_);
      v1::Event event;
      event.set_id(events_.size() + 1);
      event.set_rollout(rollout);
      event.set_message(message);
      events_.push_back(event);
    }
    changes_.Notify();
  }

  v1::ListNodesReply nodes;  // set before serving
  absl::Status ready;

 private:
  absl::Mutex mutex_;
  std::map<std::string, v1::Rollout> rollouts_;
  std::vector<v1::Event> events_;
  ChangeSignal changes_;
};

class FakeControl : public runtime::Control {
 public:
  absl::StatusOr<v1::ApplyDeploymentReply> Apply(const v1::Deployment& deployment,
                                                 const std::string& author) override {
    Note("apply " + deployment.metadata().name() + " by " + author);
    v1::ApplyDeploymentReply reply;
    reply.mutable_rollout()->set_name(deployment.metadata().name());
    return reply;
  }
  absl::StatusOr<v1::Rollout> Delete(const std::string& name, const std::string& author) override {
    Note("delete " + name + " by " + author);
    return v1::Rollout();
  }
  absl::StatusOr<v1::Plan> Plan(const v1::PlanDeploymentRequest& request) override {
    v1::Plan plan;
    plan.add_current("driver@node-a");
    return plan;
  }
  absl::StatusOr<v1::Rollout> ControlRollout(const v1::ControlRolloutRequest& request,
                                             const std::string& author) override {
    Note("control " + request.name() + " by " + author);
    return absl::FailedPreconditionError("nothing to retry");
  }
  absl::StatusOr<v1::NodeStatus> RebootNode(const std::string& name,
                                            const std::string& author) override {
    Note("reboot " + name + " by " + author);
    return v1::NodeStatus();
  }
  absl::StatusOr<v1::NodeStatus> RemoveNode(const std::string& name) override {
    Note("remove " + name);
    return v1::NodeStatus();
  }
  void NodeJoined(const std::string& name, const std::string& address) override {
    Note("joined " + name + " at " + address);
  }
  absl::Status WatchTaskLog(const v1::WatchTaskLogRequest& request, Cancellation& cancellation,
                            const std::function<bool(const v1::OperationEvent&)>& write) override {
    for (int i = 1; i <= 3; ++i) {
      v1::OperationEvent event;
      event.set_sequence(i);
      event.set_log_line("line");
      if (!write(event)) return absl::CancelledError();
    }
    if (!request.follow()) return absl::OkStatus();
    absl::Notification* cancelled = &log_cancelled;
    cancellation.OnCancel([cancelled] { cancelled->Notify(); });
    cancelled->WaitForNotification();
    cancellation.OnCancel(nullptr);
    return absl::CancelledError();
  }

  std::vector<std::string> calls() {
    absl::MutexLock lock(&mutex_);
    return calls_;
  }
  absl::Notification log_cancelled;

 private:
  void Note(std::string call) {
    absl::MutexLock lock(&mutex_);
    calls_.push_back(std::move(call));
  }
  absl::Mutex mutex_;
  std::vector<std::string> calls_;
};

// A real clock that a test can put forward.
class ShiftedClock : public Clock {
 public:
  absl::Time Now() override { return Clock::Real().Now() + shift; }
  absl::Duration Elapsed() override { return Clock::Real().Elapsed() + shift; }
  absl::Duration shift;
};

inline tls::Identity MakeIdentity(const tls::CertificateAuthority& authority,
                                  const std::string& role, const std::string& name) {
  tls::Identity identity;
  identity.ca_pem = authority.ca_pem();
  identity.key_pem = tls::GenerateKey().value();
  identity.certificate_pem = authority
                                 .Sign(tls::MakeCsr(identity.key_pem, name, "127.0.0.1").value(),
                                       role, name, {"127.0.0.1"})
                                 .value();
  return identity;
}

}  // namespace npufleet::api

#endif  // TESTS_CONTROLLER_API_FAKES_H_
