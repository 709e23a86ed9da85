// SPDX-License-Identifier: Apache-2.0
//
// The imperative shell around the core: one thread takes events from a mailbox, steps the core,
// commits, and only then performs.
//
//     agents, timers, operators ──> mailbox ──> Step ──> commit ──> perform ──> agents
#ifndef CONTROLLER_RUNTIME_RUNTIME_H_
#define CONTROLLER_RUNTIME_RUNTIME_H_

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "common/clock.h"
#include "controller/core/step.h"
#include "controller/fleet/agent_client.h"
#include "controller/runtime/contact.h"
#include "controller/runtime/control.h"
#include "controller/runtime/rollout_view.h"
#include "controller/runtime/view.h"
#include "controller/store/node_store.h"
#include "controller/store/rollout_store.h"

namespace npufleet::runtime {

struct RuntimeOptions {
  store::RolloutStore* store = nullptr;  // not owned, like the next ones
  store::NodeStore* nodes = nullptr;
  Clock* clock = &Clock::Real();
  std::shared_ptr<grpc::ChannelCredentials> credentials;  // towards the agents
  std::string boot_id;  // of the machine that the controller runs on; empty: not a node
  std::string version;
  std::string commit;
  // After a commit failed (no room), how long until the next try.
  absl::Duration commit_retry = absl::Seconds(1);
};

class Runtime : public View, public Control {
 public:
  explicit Runtime(RuntimeOptions options);
  ~Runtime() override;

  // Loads what is stored, connects to every node, and performs again what is outstanding.
  absl::Status Start();

  // View.
  absl::StatusOr<v1::Rollout> GetRollout(const std::string& name) override;
  absl::StatusOr<v1::ListRolloutsReply> ListRollouts() override;
  absl::StatusOr<v1::Explanation> ExplainTask(const v1::ExplainTaskRequest& request) override;
  absl::StatusOr<v1::ListRevisionsReply> ListRevisions(const std::string& rollout) override;
  absl::StatusOr<v1::ListEventsReply> ListEvents(const v1::ListEventsRequest& request) override;
  absl::StatusOr<v1::ListNodesReply> ListNodes() override;
  absl::StatusOr<v1::Version> GetVersion() override;
  absl::Status Ready() override;
  ChangeSignal& Changes() override { return changes_; }

  // Control.
  absl::StatusOr<v1::ApplyDeploymentReply> Apply(const v1::Deployment& deployment,
                                                 const std::string& author) override;
  absl::StatusOr<v1::Rollout> Delete(const std::string& name, const std::string& author) override;
  absl::StatusOr<v1::Plan> Plan(const v1::PlanDeploymentRequest& request) override;
  absl::StatusOr<v1::Rollout> ControlRollout(const v1::ControlRolloutRequest& request,
                                             const std::string& author) override;
  absl::StatusOr<v1::NodeStatus> RebootNode(const std::string& name,
                                            const std::string& author) override;
  absl::StatusOr<v1::NodeStatus> RemoveNode(const std::string& name) override;
  void NodeJoined(const std::string& name, const std::string& address) override;
  absl::Status WatchTaskLog(const v1::WatchTaskLogRequest& request, Cancellation& cancellation,
                            const std::function<bool(const v1::OperationEvent&)>& write) override;

 private:
  struct Rollout {
    core::State state;
    Details details;
    std::map<std::string, v1::Verb> verbs;  // by task, those of retired tasks, too
    uint64_t change = 0;
  };
  struct Agent {
    std::shared_ptr<fleet::AgentClient> client;
    std::string address;
    Contact contact;
    std::string version;
    absl::Duration clock_skew;
    absl::Time last_seen = absl::InfinitePast();
    std::optional<v1::Inventory> inventory;
  };
  using Item = std::function<absl::Status()>;

  // --- The loop (runtime.cc). Everything below runs on its thread unless it says otherwise. ---
  void Run();
  void Post(Item item);  // any thread
  // Any thread: runs `item` on the loop and returns what it said; a commit that fails is not tried
  // again.
  absl::Status Call(Item item);
  absl::Status Handle(const std::string& rollout, core::Event event,
                      const store::NewRevision* revision = nullptr);
  void Perform(const std::string& rollout, const core::Command& command);
  // What the node was commanded and has not answered, once more: the ids make that safe.
  void PerformOutstanding(const std::string& node) ABSL_LOCKS_EXCLUDED(mutex_);
  void ReadInventories();  // a thread of its own
  absl::Status LoadRollouts();

  // --- Agents (agents.cc) ---
  // Any thread. In place of the node's former connection; what is outstanding goes on over this
  // one.
  void Connect(const std::string& name, const std::string& address) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status OnReply(const std::string& node, const v1::ObserveReply& reply, bool first,
                       absl::Time received);
  absl::Status OnLost(const std::string& node, const std::string& reason);
  void OnUnreached(const std::string& node, const std::string& reason);  // any thread
  absl::Status OnEnded(const core::OperationEnded& ended);
  // Any thread. Each reply after the first.
  void OnSignOfLife(const std::string& node, const v1::ObserveReply& reply)
      ABSL_LOCKS_EXCLUDED(mutex_);
  void LookAtClockAgain(const std::string& rollout, const std::string& node)
      ABSL_LOCKS_EXCLUDED(mutex_);
  void OnProgress(const std::string& operation, const v1::Progress& progress);  // any thread
  std::string RolloutOn(const std::string& node) ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  // NotFound names those that there are.
  absl::StatusOr<Rollout*> Find(const std::string& name) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status NoNode(const std::string& name) const ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  std::shared_ptr<fleet::AgentClient> ClientOf(const std::string& node) ABSL_LOCKS_EXCLUDED(mutex_);

  // --- Operators (control.cc) ---
  absl::Status Accept(const v1::Deployment& deployment, const std::string& author, bool* unchanged);
  // Any thread. InvalidArgument when the spec of a node does not fit it as it is (an interface that
  // it has not), as far as its agent can be asked now; asks nobody when the spec is the stored one.
  absl::Status CheckHosts(const v1::Deployment& deployment) ABSL_LOCKS_EXCLUDED(mutex_);
  // The spec of the revision `asked` for, or of the newest one before `newest`.
  absl::StatusOr<v1::Deployment> FormerSpec(const std::string& name, uint64_t newest,
                                            uint64_t asked);
  absl::StatusOr<v1::Rollout> Undo(const v1::ControlRolloutRequest& request,
                                   const std::string& author);
  absl::Status CheckClaims(const v1::Deployment& deployment) ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  v1::NodeStatus StatusOf(const std::string& name, const Agent& agent)
      ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  v1::Rollout ViewOf(const Rollout& rollout) ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  // By name, those of the rollout.
  std::map<std::string, v1::RolloutNode> NodesOf(const core::State& state)
      ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  void Changed() ABSL_LOCKS_EXCLUDED(mutex_) { changes_.Notify(); }

  const RuntimeOptions options_;
  uint64_t epoch_ = 0;
  ChangeSignal changes_;

  absl::Mutex mutex_;  // guards what View reads; the loop alone writes rollouts_
  std::map<std::string, Rollout> rollouts_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, Agent> agents_ ABSL_GUARDED_BY(mutex_);
  absl::Status ready_ ABSL_GUARDED_BY(mutex_);

  absl::Mutex mailbox_mutex_;
  absl::CondVar mailbox_changed_;
  std::deque<Item> mailbox_ ABSL_GUARDED_BY(mailbox_mutex_);
  bool stopping_ ABSL_GUARDED_BY(mailbox_mutex_) = false;

  std::thread loop_;
  std::thread inventories_;
};

}  // namespace npufleet::runtime

#endif  // CONTROLLER_RUNTIME_RUNTIME_H_
