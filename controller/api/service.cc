// SPDX-License-Identifier: Apache-2.0
#include "controller/api/service.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>

#include <chrono>
#include <utility>

#include "common/grpc_status.h"
#include "common/status_macros.h"
#include "common/thread_pool.h"
#include "common/tls/grpc_credentials.h"
#include "controller/api/log_stream.h"
#include "controller/api/watch.h"
#include "npufleet/v1/controller.grpc.pb.h"

namespace npufleet::api {
namespace {

constexpr int kThreads = 8;
constexpr int kLogStreams = 32;
constexpr uint32_t kDefaultEvents = 100;
constexpr uint32_t kMostEvents = 1000;
constexpr absl::Duration kDefaultTokenLife = absl::Hours(1);
constexpr auto kShutdownGrace = std::chrono::seconds(2);

enum class Right { kRead, kOperate, kAdmit };

Right RightOf(const std::string& role) {
  if (role == "admin") return Right::kAdmit;
  return role == "operator" ? Right::kOperate : Right::kRead;
}

absl::StatusOr<tls::Peer> Authorize(grpc::CallbackServerContext* context, Right needed) {
  ASSIGN_OR_RETURN(tls::Peer peer, tls::PeerOf(*context->auth_context()));
  const bool known = peer.role == "viewer" || peer.role == "operator" || peer.role == "admin";
  if (known && RightOf(peer.role) >= needed) return peer;
  const char* wanted = needed == Right::kAdmit     ? "the role admin"
                       : needed == Right::kOperate ? "the role operator or admin"
                                                   : "the role viewer, operator or admin";
  return absl::PermissionDeniedError(
      absl::StrCat("\"", peer.name, "\" has the role ", peer.role, "; this needs ", wanted));
}

template <typename Reply>
class RefusedWatch : public grpc::ServerWriteReactor<Reply> {
 public:
  explicit RefusedWatch(const absl::Status& status) { this->Finish(ToGrpcStatus(status)); }
  void OnDone() override { delete this; }
};

uint32_t EventPageSize(uint32_t asked) {
  return asked == 0 ? kDefaultEvents : std::min(asked, kMostEvents);
}

class ControllerService final : public v1::Controller::CallbackService {
 public:
  explicit ControllerService(ServiceParts parts) : parts_(std::move(parts)) {}

  using Context = grpc::CallbackServerContext;
  using Unary = grpc::ServerUnaryReactor;

  // --- Changes ---------------------------------------------------------------------------------
  Unary* ApplyDeployment(Context* context, const v1::ApplyDeploymentRequest* request,
                         v1::ApplyDeploymentReply* reply) override {
    return Change(context, Right::kOperate, "ApplyDeployment",
                  request->deployment().metadata().name(), reply,
                  [this, request](const tls::Peer& peer) {
                    return parts_.control->Apply(request->deployment(), peer.name);
                  });
  }
  Unary* DeleteDeployment(Context* context, const v1::DeleteDeploymentRequest* request,
                          v1::Rollout* reply) override {
    return Change(context, Right::kOperate, "DeleteDeployment", request->name(), reply,
                  [this, request](const tls::Peer& peer) {
                    return parts_.control->Delete(request->name(), peer.name);
                  });
  }
  Unary* ControlRollout(Context* context, const v1::ControlRolloutRequest* request,
                        v1::Rollout* reply) override {
    const std::string subject = absl::StrCat(
        v1::ControlRolloutRequest::Verb_Name(request->verb()), " ", request->name(),
        request->from().empty() ? "" : " from ", request->from(),
        request->to_revision() == 0 ? std::string()
                                    : absl::StrCat(" to revision ", request->to_revision()));
    return Change(context, Right::kOperate, "ControlRollout", subject, reply,
                  [this, request](const tls::Peer& peer) {
                    return parts_.control->ControlRollout(*request, peer.name);
                  });
  }
  Unary* RebootNode(Context* context, const v1::RebootNodeRequest* request,
                    v1::NodeStatus* reply) override {
    return Change(context, Right::kOperate, "RebootNode", request->name(), reply,
                  [this, request](const tls::Peer& peer) {
                    return parts_.control->RebootNode(request->name(), peer.name);
                  });
  }
  Unary* RemoveNode(Context* context, const v1::RemoveNodeRequest* request,
                    v1::NodeStatus* reply) override {
    return Change(
        context, Right::kAdmit, "RemoveNode", request->name(), reply,
        [this, request](const tls::Peer&) { return parts_.control->RemoveNode(request->name()); });
  }
  Unary* CreateJoinToken(Context* context, const v1::CreateJoinTokenRequest* request,
                         v1::CreateJoinTokenReply* reply) override {
    return Change(context, Right::kAdmit, "CreateJoinToken", request->node(), reply,
                  [this, request](const tls::Peer&) -> absl::StatusOr<v1::CreateJoinTokenReply> {
                    absl::Duration valid_for = kDefaultTokenLife;
                    if (request->has_valid_for()) {
                      valid_for = absl::Seconds(request->valid_for().seconds()) +
                                  absl::Nanoseconds(request->valid_for().nanos());
                    }
                    v1::CreateJoinTokenReply created;
                    ASSIGN_OR_RETURN(*created.mutable_token(),
                                     parts_.enrolment->CreateJoinToken(request->node(), valid_for));
                    return created;
                  });
  }

  // --- Reads -----------------------------------------------------------------------------------
  Unary* PlanDeployment(Context* context, const v1::PlanDeploymentRequest* request,
                        v1::Plan* reply) override {
    return Read(context, reply, [this, request] { return parts_.control->Plan(*request); });
  }
  Unary* GetRollout(Context* context, const v1::GetRolloutRequest* request,
                    v1::Rollout* reply) override {
    return Read(context, reply,
                [this, request] { return parts_.view->GetRollout(request->name()); });
  }
  Unary* ExplainTask(Context* context, const v1::ExplainTaskRequest* request,
                     v1::Explanation* reply) override {
    return Read(context, reply, [this, request] { return parts_.view->ExplainTask(*request); });
  }
  Unary* ListRollouts(Context* context, const v1::ListRolloutsRequest*,
                      v1::ListRolloutsReply* reply) override {
    return Read(context, reply, [this] { return parts_.view->ListRollouts(); });
  }
  Unary* ListRevisions(Context* context, const v1::ListRevisionsRequest* request,
                       v1::ListRevisionsReply* reply) override {
    return Read(context, reply,
                [this, request] { return parts_.view->ListRevisions(request->name()); });
  }
  Unary* ListEvents(Context* context, const v1::ListEventsRequest* request,
                    v1::ListEventsReply* reply) override {
    return Read(context, reply, [this, request] {
      v1::ListEventsRequest query = *request;
      query.set_page_size(EventPageSize(request->page_size()));
      return parts_.view->ListEvents(query);
    });
  }
  Unary* ListNodes(Context* context, const v1::ListNodesRequest*,
                   v1::ListNodesReply* reply) override {
    return Read(context, reply, [this] { return parts_.view->ListNodes(); });
  }
  Unary* GetVersion(Context* context, const v1::GetVersionRequest*, v1::Version* reply) override {
    return Read(context, reply, [this] { return parts_.view->GetVersion(); });
  }

  // --- Streams ---------------------------------------------------------------------------------
  grpc::ServerWriteReactor<v1::Rollout>* WatchRollout(
      Context* context, const v1::GetRolloutRequest* request) override {
    const auto peer = Authorize(context, Right::kRead);
    if (!peer.ok()) return new RefusedWatch<v1::Rollout>(peer.status());
    auto read =
        [this, name = request->name(),
         last = std::optional<uint64_t>()]() mutable -> absl::StatusOr<std::vector<v1::Rollout>> {
      ASSIGN_OR_RETURN(v1::Rollout rollout, parts_.view->GetRollout(name));
      if (last == rollout.change()) return std::vector<v1::Rollout>{};
      last = rollout.change();
      return std::vector<v1::Rollout>{std::move(rollout)};
    };
    return new WatchReactor<v1::Rollout>(parts_.view->Changes(), pool_, std::move(read));
  }

  grpc::ServerWriteReactor<v1::Event>* WatchEvents(Context* context,
                                                   const v1::ListEventsRequest* request) override {
    const auto peer = Authorize(context, Right::kRead);
    if (!peer.ok()) return new RefusedWatch<v1::Event>(peer.status());
    v1::ListEventsRequest query = *request;
    query.set_page_size(kMostEvents);
    auto read = [this, query]() mutable -> absl::StatusOr<std::vector<v1::Event>> {
      std::vector<v1::Event> events;
      while (true) {
        ASSIGN_OR_RETURN(v1::ListEventsReply reply, parts_.view->ListEvents(query));
        for (v1::Event& event : *reply.mutable_events()) {
          query.set_after(event.id());
          events.push_back(std::move(event));
        }
        if (reply.events_size() < static_cast<int>(kMostEvents)) return events;
      }
    };
    return new WatchReactor<v1::Event>(parts_.view->Changes(), pool_, std::move(read));
  }

  grpc::ServerWriteReactor<v1::OperationEvent>* WatchTaskLog(
      Context* context, const v1::WatchTaskLogRequest* request) override {
    const auto peer = Authorize(context, Right::kRead);
    if (!peer.ok()) return new RefusedWatch<v1::OperationEvent>(peer.status());
    return StartLogStream(
        [this, request = *request](Cancellation& cancellation, const WriteEvent& write) {
          return parts_.control->WatchTaskLog(request, cancellation, write);
        },
        log_streams_);
  }

 private:
  // `read` runs on the pool; context, request and reply live until Finish().
  template <typename Reply, typename ReadFunction>
  Unary* Read(Context* context, Reply* reply, ReadFunction read) {
    Unary* reactor = context->DefaultReactor();
    const auto peer = Authorize(context, Right::kRead);
    if (!peer.ok()) {
      reactor->Finish(ToGrpcStatus(peer.status()));
      return reactor;
    }
    pool_.Schedule([reactor, reply, read = std::move(read)] {
      absl::StatusOr<Reply> result = read();
      if (result.ok()) *reply = *std::move(result);
      reactor->Finish(ToGrpcStatus(result.status()));
    });
    return reactor;
  }

  template <typename Reply, typename ChangeFunction>
  Unary* Change(Context* context, Right needed, const char* method, std::string subject,
                Reply* reply, ChangeFunction change) {
    Unary* reactor = context->DefaultReactor();
    pool_.Schedule([=, this, subject = std::move(subject), change = std::move(change)] {
      AuditRecord record;
      record.time = parts_.clock->Now();
      record.peer = context->peer();
      record.method = method;
      record.subject = subject;
      // Refused calls are in the audit, too, with the name that the certificate gives.
      if (const auto caller = tls::PeerOf(*context->auth_context()); caller.ok()) {
        record.name = caller->name;
        record.role = caller->role;
      }
      absl::Status status;
      if (const auto peer = Authorize(context, needed); peer.ok()) {
        absl::StatusOr<Reply> result = change(*peer);
        if (result.ok()) *reply = *std::move(result);
        status = result.status();
      } else {
        status = peer.status();
      }
      record.outcome = status.ToString();
      parts_.audit(record);
      reactor->Finish(ToGrpcStatus(status));
    });
    return reactor;
  }

  ServiceParts parts_;
  StreamCount log_streams_{kLogStreams};
  ThreadPool pool_{kThreads};  // ends before what its work uses
};

class GrpcApiServer : public ApiServer {
 public:
  explicit GrpcApiServer(ServiceParts parts) : service_(std::move(parts)) {}
  ~GrpcApiServer() override {
    if (server_ == nullptr) return;
    server_->Shutdown(std::chrono::system_clock::now() + kShutdownGrace);
    server_->Wait();
  }

  absl::Status Listen(const std::string& listen, const tls::Identity& identity) {
    grpc::ServerBuilder builder;
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);  // a second controller must fail
    builder.AddListeningPort(listen, tls::ServerCredentials(identity), &port_);
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
    if (server_ == nullptr || port_ == 0) {
      return absl::UnavailableError(absl::StrCat("gRPC: cannot listen on ", listen,
                                                 ": is it an address of this host, and free?"));
    }
    if (auto* health = server_->GetHealthCheckService()) {
      health->SetServingStatus("npufleet.v1.Controller", true);
    }
    return absl::OkStatus();
  }

  int port() const override { return port_; }

 private:
  ControllerService service_;
  std::unique_ptr<grpc::Server> server_;
  int port_ = 0;
};

}  // namespace

absl::StatusOr<std::unique_ptr<ApiServer>> ApiServer::Start(const std::string& listen,
                                                            const tls::Identity& identity,
                                                            ServiceParts parts) {
  grpc::EnableDefaultHealthCheckService(true);
  static const bool with_reflection = [] {
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    return true;
  }();
  (void)with_reflection;
  auto server = std::make_unique<GrpcApiServer>(std::move(parts));
  RETURN_IF_ERROR(server->Listen(listen, identity));
  return server;
}

}  // namespace npufleet::api
