// SPDX-License-Identifier: Apache-2.0
//
// What the API changes. Implemented by controller/runtime; tests have a fake.
#ifndef CONTROLLER_RUNTIME_CONTROL_H_
#define CONTROLLER_RUNTIME_CONTROL_H_

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/cancellation.h"
#include "npufleet/v1/controller.pb.h"

namespace npufleet::runtime {

// Threadsafe. Calls may block (they are made on threads of the API's own, never on one of gRPC's).
// Each change is committed when the call returns. `author` is the CN of the caller's certificate.
class Control {
 public:
  virtual ~Control() = default;

  // InvalidArgument: the spec is wrong, both sides named; nothing is stored.
  virtual absl::StatusOr<v1::ApplyDeploymentReply> Apply(const v1::Deployment& deployment,
                                                         const std::string& author) = 0;
  virtual absl::StatusOr<v1::Rollout> Delete(const std::string& name,
                                             const std::string& author) = 0;
  // Changes nothing; asks the agents for fresh Checks.
  virtual absl::StatusOr<v1::Plan> Plan(const v1::PlanDeploymentRequest& request) = 0;
  virtual absl::StatusOr<v1::Rollout> ControlRollout(const v1::ControlRolloutRequest& request,
                                                     const std::string& author) = 0;
  virtual absl::StatusOr<v1::NodeStatus> RebootNode(const std::string& name,
                                                    const std::string& author) = 0;

  // Forgets the node: it is not connected to any more, its certificate is not renewed, its unused
  // join tokens are void. FailedPrecondition while a rollout uses it. The node as it was.
  virtual absl::StatusOr<v1::NodeStatus> RemoveNode(const std::string& name) = 0;

  // A node joined, or joined again under another address or with a new certificate: (re)connect to
  // it.
  virtual void NodeJoined(const std::string& name, const std::string& address) = 0;

  // Blocks until the log ends, `write` says false (nobody listens any more) or `cancellation` is
  // cancelled (then Cancelled).
  virtual absl::Status WatchTaskLog(
      const v1::WatchTaskLogRequest& request, Cancellation& cancellation,
      const std::function<bool(const v1::OperationEvent&)>& write) = 0;
};

}  // namespace npufleet::runtime

#endif  // CONTROLLER_RUNTIME_CONTROL_H_
