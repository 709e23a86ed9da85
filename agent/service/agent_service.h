// SPDX-License-Identifier: Apache-2.0
//
// The RPCs of agent.proto: validate, hand over, return. What blocks runs on a WorkQueue or on the
// observer's threads.
#ifndef AGENT_SERVICE_AGENT_SERVICE_H_
#define AGENT_SERVICE_AGENT_SERVICE_H_

#include <functional>
#include <string>

#include "agent/host/host.h"
#include "agent/operations/npu_tools.h"
#include "agent/operations/observer.h"
#include "agent/operations/runner.h"
#include "agent/service/open_streams.h"
#include "agent/service/work_queue.h"
#include "npufleet/v1/agent.grpc.pb.h"

namespace npufleet::service {

class AgentService : public v1::Agent::CallbackService {
 public:
  struct Parts {  // all outlive the service
    host::Host& host;
    operations::Runner& runner;
    operations::Observer& observer;
    operations::NpuTools& npu_tools;
    WorkQueue& queue;
    std::function<v1::Inventory(host::Host&)> read_inventory;
    std::string node;
    std::string version;
  };
  explicit AgentService(Parts parts) : parts_(std::move(parts)) {}

  grpc::ServerUnaryReactor* GetInventory(grpc::CallbackServerContext* context,
                                         const v1::GetInventoryRequest* request,
                                         v1::Inventory* reply) override;
  grpc::ServerUnaryReactor* Check(grpc::CallbackServerContext* context,
                                  const v1::CheckRequest* request, v1::CheckReply* reply) override;
  grpc::ServerBidiReactor<v1::ObserveRequest, v1::ObserveReply>* Observe(
      grpc::CallbackServerContext* context) override;
  grpc::ServerUnaryReactor* StartOperation(grpc::CallbackServerContext* context,
                                           const v1::StartOperationRequest* request,
                                           v1::Operation* reply) override;
  grpc::ServerUnaryReactor* GetOperation(grpc::CallbackServerContext* context,
                                         const v1::GetOperationRequest* request,
                                         v1::Operation* reply) override;
  grpc::ServerUnaryReactor* ListOperations(grpc::CallbackServerContext* context,
                                           const v1::ListOperationsRequest* request,
                                           v1::ListOperationsReply* reply) override;
  grpc::ServerWriteReactor<v1::OperationEvent>* WatchOperation(
      grpc::CallbackServerContext* context, const v1::WatchOperationRequest* request) override;
  grpc::ServerUnaryReactor* CancelOperation(grpc::CallbackServerContext* context,
                                            const v1::CancelOperationRequest* request,
                                            v1::Operation* reply) override;

  // Ends the streams, those of Observe with OK: the agent stops in order. Returns whether all had
  // ended within `limit`.
  bool CloseStreams(absl::Duration limit) { return streams_.CloseAll(limit); }

 private:
  // Answers with what `call` returns, on the queue.
  template <typename Reply, typename Call>
  grpc::ServerUnaryReactor* Answer(grpc::CallbackServerContext* context, Reply* reply, Call call);

  const Parts parts_;
  OpenStreams streams_;
};

}  // namespace npufleet::service

#endif  // AGENT_SERVICE_AGENT_SERVICE_H_
