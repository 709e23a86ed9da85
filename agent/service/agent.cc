// SPDX-License-Identifier: Apache-2.0
#include "agent/service/agent.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "agent/host/filesystem.h"
#include "common/status_macros.h"
#include "common/tls/grpc_credentials.h"
#include "common/tls/identity.h"
#include "grpcpp/ext/proto_server_reflection_plugin.h"
#include "grpcpp/health_check_service_interface.h"
#include "grpcpp/security/auth_metadata_processor.h"

namespace npufleet::service {
namespace {

constexpr int kQueueThreads = 3;
// Who does not take the end of its stream by then has lost the connection anyway.
constexpr absl::Duration kToCloseStreams = absl::Seconds(1);

// Runs for each call of each service, reflection and health included.
class RequireController : public grpc::AuthMetadataProcessor {
 public:
  bool IsBlocking() const override { return false; }
  grpc::Status Process(const InputMetadata&, grpc::AuthContext* context, OutputMetadata*,
                       OutputMetadata*) override {
    absl::StatusOr<tls::Peer> peer = tls::PeerOf(*context);
    if (!peer.ok()) {
      return grpc::Status(grpc::StatusCode::UNAUTHENTICATED, std::string(peer.status().message()));
    }
    if (peer->role == "controller") return grpc::Status::OK;
    return grpc::Status(grpc::StatusCode::PERMISSION_DENIED,
                        absl::StrCat("an agent serves the controller only; ", peer->name,
                                     " has the role ", peer->role));
  }
};

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> ControllerOnly(
    const std::string& directory) {
  ASSIGN_OR_RETURN(tls::Identity identity, tls::LoadIdentity(directory));
  std::shared_ptr<grpc::ServerCredentials> credentials = tls::ServerCredentials(identity);
  credentials->SetAuthMetadataProcessor(std::make_shared<RequireController>());
  return credentials;
}

absl::StatusOr<std::unique_ptr<Agent>> Agent::Start(host::Host& host, AgentOptions options) {
  RETURN_IF_ERROR(host::Filesystem("/").MakeFolders(options.state_directory, 0700));
  std::unique_ptr<Agent> agent(new Agent);
  ASSIGN_OR_RETURN(agent->journal_,
                   operations::Journal::Open(options.state_directory + "/journal.db"));
  agent->steps_ = std::make_unique<operations::DurableSteps>(options.state_directory + "/steps");
  agent->queue_ = std::make_unique<WorkQueue>(kQueueThreads);

  operations::Runner::Options running;
  running.on_ended = [raw = agent.get()](const std::string& task) {
    if (raw->observer_ != nullptr) raw->observer_->OperationEnded(task);
  };
  agent->runner_ = std::make_unique<operations::Runner>(host, options.make_verb, *agent->journal_,
                                                        *agent->steps_, agent->npu_tools_, running);
  operations::Observer::Options observing;
  observing.is_busy = [raw = agent.get()](const std::string& task) {
    return raw->runner_->IsBusy(task);
  };
  agent->observer_ =
      std::make_unique<operations::Observer>(host, options.make_verb, agent->npu_tools_, observing);
  RETURN_IF_ERROR(agent->runner_->Resume());
  agent->service_ = std::make_unique<AgentService>(
      AgentService::Parts{host, *agent->runner_, *agent->observer_, agent->npu_tools_,
                          *agent->queue_, options.read_inventory, options.node, options.version});
  RETURN_IF_ERROR(agent->Serve(options));
  return agent;
}

absl::Status Agent::Serve(const AgentOptions& options) {
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::ServerBuilder builder;
  // A second agent on the port is a mistake, not a partner.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddListeningPort(options.listen, options.credentials, &port_);
  builder.RegisterService(service_.get());
  server_ = builder.BuildAndStart();
  if (server_ == nullptr || port_ == 0) {
    return absl::UnavailableError(
        absl::StrCat("cannot listen on ", options.listen, ": is another agent running?"));
  }
  return absl::OkStatus();
}

absl::Status Agent::CheckHealth() { return journal_->Epoch().status(); }

bool Agent::Stop(absl::Duration limit) {
  if (runner_ == nullptr) return true;
  const bool back = runner_->Shutdown(limit);
  if (service_ != nullptr && server_ != nullptr) service_->CloseStreams(kToCloseStreams);
  if (back && server_ != nullptr) server_->Shutdown(std::chrono::system_clock::now());
  return back;
}

Agent::~Agent() {
  Stop(absl::InfiniteDuration());
  // Each before what it uses: calls, then what answers them. No operation is left to tell the
  // observer.
  server_.reset();
  service_.reset();
  queue_.reset();
  observer_.reset();
  runner_.reset();
}

}  // namespace npufleet::service
