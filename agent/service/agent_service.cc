// SPDX-License-Identifier: Apache-2.0
#include "agent/service/agent_service.h"

#include <utility>
#include <vector>

#include "agent/service/grpc_status.h"
#include "agent/service/observe_stream.h"
#include "agent/service/watch_stream.h"
#include "common/utf8.h"

namespace npufleet::service {

template <typename Reply, typename Call>
grpc::ServerUnaryReactor* AgentService::Answer(grpc::CallbackServerContext* context, Reply* reply,
                                               Call call) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  parts_.queue.Post([reactor, reply, call = std::move(call)] {
    absl::StatusOr<Reply> answer = call();
    if (!answer.ok()) return reactor->Finish(ToGrpc(answer.status()));
    *reply = *std::move(answer);
    reactor->Finish(grpc::Status::OK);
  });
  return reactor;
}

grpc::ServerUnaryReactor* AgentService::GetInventory(grpc::CallbackServerContext* context,
                                                     const v1::GetInventoryRequest*,
                                                     v1::Inventory* reply) {
  return Answer(context, reply, [this, context]() -> absl::StatusOr<v1::Inventory> {
    operations::NpuTools::Turn turn(parts_.npu_tools, [&] { return context->IsCancelled(); });
    if (!turn.held()) return absl::CancelledError();
    v1::Inventory inventory = parts_.read_inventory(parts_.host);
    inventory.set_node(parts_.node);
    MakeValidUtf8(inventory);
    return inventory;
  });
}

grpc::ServerUnaryReactor* AgentService::Check(grpc::CallbackServerContext* context,
                                              const v1::CheckRequest* request,
                                              v1::CheckReply* reply) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reply->set_boot_id(parts_.runner.boot_id());
  parts_.observer.CheckOnce(
      {request->subjects().begin(), request->subjects().end()},
      [reactor, reply](absl::StatusOr<std::vector<v1::TaskObservation>> seen) {
        if (seen.ok()) {
          for (v1::TaskObservation& one : *seen) *reply->add_observations() = std::move(one);
        }
        reactor->Finish(ToGrpc(seen.status()));
      });
  return reactor;
}

grpc::ServerBidiReactor<v1::ObserveRequest, v1::ObserveReply>* AgentService::Observe(
    grpc::CallbackServerContext*) {
  return new ObserveStream(streams_, parts_.observer, parts_.queue, *parts_.host.clock,
                           parts_.runner.boot_id(), parts_.version);
}

grpc::ServerUnaryReactor* AgentService::StartOperation(grpc::CallbackServerContext* context,
                                                       const v1::StartOperationRequest* request,
                                                       v1::Operation* reply) {
  return Answer(context, reply, [this, request] { return parts_.runner.Start(*request); });
}

grpc::ServerUnaryReactor* AgentService::GetOperation(grpc::CallbackServerContext* context,
                                                     const v1::GetOperationRequest* request,
                                                     v1::Operation* reply) {
  return Answer(context, reply, [this, request] { return parts_.runner.Get(request->id()); });
}

grpc::ServerUnaryReactor* AgentService::ListOperations(grpc::CallbackServerContext* context,
                                                       const v1::ListOperationsRequest* request,
                                                       v1::ListOperationsReply* reply) {
  return Answer(context, reply, [this, request] { return parts_.runner.List(*request); });
}

grpc::ServerWriteReactor<v1::OperationEvent>* AgentService::WatchOperation(
    grpc::CallbackServerContext*, const v1::WatchOperationRequest* request) {
  return new WatchStream(streams_, parts_.runner, parts_.queue, *request);
}

grpc::ServerUnaryReactor* AgentService::CancelOperation(grpc::CallbackServerContext* context,
                                                        const v1::CancelOperationRequest* request,
                                                        v1::Operation* reply) {
  return Answer(context, reply, [this, request] { return parts_.runner.Cancel(request->id()); });
}

}  // namespace npufleet::service
