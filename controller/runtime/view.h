// SPDX-License-Identifier: Apache-2.0
//
// What the API reads: the gRPC service and the REST view are two writings of it. Implemented by
// controller/runtime; tests have a fake.
#ifndef CONTROLLER_RUNTIME_VIEW_H_
#define CONTROLLER_RUNTIME_VIEW_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/change_signal.h"
#include "npufleet/v1/controller.pb.h"

namespace npufleet::runtime {

// Threadsafe. Calls return in milliseconds: they read memory or the store, and never ask an agent.
class View {
 public:
  virtual ~View() = default;

  // NotFound names what there is. A deleted rollout is found with the phase DELETED.
  virtual absl::StatusOr<v1::Rollout> GetRollout(const std::string& name) = 0;
  virtual absl::StatusOr<v1::ListRolloutsReply> ListRollouts() = 0;  // by name
  // Why the task is in its state. NotFound names the tasks that there are.
  virtual absl::StatusOr<v1::Explanation> ExplainTask(const v1::ExplainTaskRequest& request) = 0;
  virtual absl::StatusOr<v1::ListRevisionsReply> ListRevisions(
      const std::string& rollout) = 0;  // newest first; NotFound
  // Oldest first, those with an id above `after`. The caller has set page_size to 1..1000.
  virtual absl::StatusOr<v1::ListEventsReply> ListEvents(const v1::ListEventsRequest& request) = 0;
  virtual absl::StatusOr<v1::ListNodesReply> ListNodes() = 0;  // by name, with inventories
  virtual absl::StatusOr<v1::Version> GetVersion() = 0;

  // OK when changes can be made; otherwise why not (the store is full): /readyz.
  virtual absl::Status Ready() = 0;

  // Notified after anything above changed (a rollout, an event, a node).
  virtual ChangeSignal& Changes() = 0;
};

}  // namespace npufleet::runtime

#endif  // CONTROLLER_RUNTIME_VIEW_H_
