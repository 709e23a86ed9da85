// SPDX-License-Identifier: Apache-2.0
#include "tests/integration/fleet.h"

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "agent/npu/inventory.h"
#include "agent/operations/journal.h"
#include "agent/verbs/verb.h"
#include "common/durable_folders.h"
#include "common/tls/grpc_credentials.h"
#include "common/tls/keys.h"

namespace npufleet::integration {
namespace {

constexpr absl::Duration kLook = absl::Milliseconds(20);

tls::Identity IdentityOf(const tls::CertificateAuthority& authority, const std::string& role,
                         const std::string& name) {
  tls::Identity identity;
  identity.ca_pem = authority.ca_pem();
  identity.key_pem = tls::GenerateKey().value();
  const std::string request = tls::MakeCsr(identity.key_pem, name, "127.0.0.1").value();
  identity.certificate_pem = authority.Sign(request, role, name, {"127.0.0.1"}).value();
  return identity;
}

}  // namespace

// --- VerbWatch ---------------------------------------------------------------------------------

class WatchedVerb : public npufleet::verbs::Verb {
 public:
  WatchedVerb(std::unique_ptr<npufleet::verbs::Verb> verb, std::string task, VerbWatch& watch)
      : verb_(std::move(verb)), task_(std::move(task)), watch_(watch) {}

  v1::Observation Check() override {
    {
      absl::MutexLock lock(&watch_.mutex_);
      ++watch_.checks_[task_];
    }
    return verb_->Check();
  }
  absl::Status Apply(npufleet::verbs::Execution& execution) override {
    VerbWatch::Gate* gate = nullptr;
    {
      absl::MutexLock lock(&watch_.mutex_);
      ++watch_.applies_[task_];
      auto found = watch_.gates_.find(task_);
      if (found != watch_.gates_.end()) gate = found->second.get();
    }
    if (gate != nullptr) {
      if (!gate->entered.HasBeenNotified()) gate->entered.Notify();
      while (!gate->open.WaitForNotificationWithTimeout(kLook)) {
        if (execution.IsCancelled()) return absl::CancelledError("held, and cancelled");
      }
    }
    return verb_->Apply(execution);
  }
  absl::Status Stop(npufleet::verbs::Execution& execution) override {
    return verb_->Stop(execution);
  }
  absl::Duration CheckPeriod() const override { return verb_->CheckPeriod(); }
  bool UsesNpuTools() const override { return verb_->UsesNpuTools(); }
  bool SurvivesReboot() const override { return verb_->SurvivesReboot(); }

 private:
  const std::unique_ptr<npufleet::verbs::Verb> verb_;
  const std::string task_;
  VerbWatch& watch_;
};

VerbWatch::Gate& VerbWatch::Hold(const std::string& task) {
  absl::MutexLock lock(&mutex_);
  std::unique_ptr<Gate>& gate = gates_[task];
  gate = std::make_unique<Gate>();
  return *gate;
}

int VerbWatch::Checks(const std::string& task) {
  absl::MutexLock lock(&mutex_);
  return checks_[task];
}

std::map<std::string, int> VerbWatch::AllChecks() {
  absl::MutexLock lock(&mutex_);
  return checks_;
}

int VerbWatch::Applies(const std::string& task) {
  absl::MutexLock lock(&mutex_);
  return applies_[task];
}

operations::VerbFactory VerbWatch::Over(host::Host& host) {
  return [this, &host](
             const v1::Subject& subject) -> absl::StatusOr<std::unique_ptr<npufleet::verbs::Verb>> {
    auto verb = npufleet::verbs::MakeVerb(subject, host);
    if (!verb.ok()) return verb.status();
    return std::make_unique<WatchedVerb>(*std::move(verb), subject.task(), *this);
  };
}

// --- Fleet ---------------------------------------------------------------------------------------

Fleet::Fleet(int nodes, std::string controller_folder)
    : controller_folder_(controller_folder.empty() ? folder_.path() + "/controller"
                                                   : controller_folder),
      authority_(tls::CertificateAuthority::Create("fleet").value()) {
  EXPECT_TRUE(MakeFoldersDurably(controller_folder_).ok());
  const std::string database = controller_folder_ + "/npufleet.db";
  node_store_ = store::NodeStore::Open(database, /*create=*/true).value();
  EXPECT_TRUE(node_store_->SetEpoch(absl::Now()).ok());
  for (int i = 0; i < nodes; ++i) {
    Node node;
    node.machine = std::make_unique<FakeMachine>(NameOfNode(i), AddressOfNode(i), ray_);
    node.folder = absl::StrCat(folder_.path(), "/", NameOfNode(i));
    node.state_directory = node.folder + "/state";
    EXPECT_TRUE(
        tls::SaveIdentity(node.folder + "/identity", IdentityOf(authority_, "agent", NameOfNode(i)))
            .ok());
    nodes_.push_back(std::move(node));
    StartAgent(i);
    Join(nodes_.back());
  }
}

Fleet::~Fleet() {
  StopController();
  for (Node& node : nodes_) node.agent.reset();
}

void Fleet::Join(const Node& node) {
  const std::string secret = node.machine->name();
  EXPECT_TRUE(
      node_store_->AddJoinToken({secret, node.machine->name(), absl::Now() + absl::Hours(1), {}})
          .ok());
  EXPECT_TRUE(
      node_store_
          ->Join(secret, {node.machine->name(), absl::StrCat("127.0.0.1:", node.port), absl::Now()})
          .ok());
}

void Fleet::StartAgent(int index) {
  Node& node = nodes_.at(static_cast<size_t>(index));
  service::AgentOptions options;
  options.node = node.machine->name();
  options.listen = absl::StrCat("127.0.0.1:", node.port);
  options.state_directory = node.state_directory;
  options.credentials = service::ControllerOnly(node.folder + "/identity").value();
  options.version = "test";
  options.make_verb = verbs_.Over(node.machine->host());
  options.read_inventory = [](host::Host& host) { return npu::ReadInventory(host); };
  auto agent = service::Agent::Start(node.machine->host(), options);
  ASSERT_TRUE(agent.ok()) << agent.status();
  node.agent = *std::move(agent);
  node.port = node.agent->port();
}

void Fleet::StopAgent(int node) { nodes_.at(static_cast<size_t>(node)).agent.reset(); }

void Fleet::MoveAgent(int node, const std::string& state_directory) {
  StopAgent(node);
  nodes_.at(static_cast<size_t>(node)).state_directory = state_directory;
  StartAgent(node);
}

void Fleet::MoveAgentToAnotherAddress(int node) {
  StopAgent(node);
  nodes_.at(static_cast<size_t>(node)).port = 0;
  StartAgent(node);
  runtime_->NodeJoined(NameOfNode(node), agent_address(node));
}

void Fleet::PowerCycle(int node) {
  StopAgent(node);
  machine(node).PowerCycle();
  StartAgent(node);
}

void Fleet::StartController() {
  const std::string database = controller_folder_ + "/npufleet.db";
  rollout_store_ = store::RolloutStore::Open(database).value();
  const tls::Identity identity = IdentityOf(authority_, "controller", "controller");
  runtime::RuntimeOptions options;
  options.store = rollout_store_.get();
  options.nodes = node_store_.get();
  options.credentials = tls::ClientCredentials(identity);
  options.version = "test";
  options.commit_retry = absl::Milliseconds(20);
  runtime_ = std::make_unique<runtime::Runtime>(options);
  enrolment_ = std::make_unique<api::Enrolment>(*node_store_, authority_, Clock::Real(), nullptr);
  const absl::Status started = runtime_->Start();
  ASSERT_TRUE(started.ok()) << started;
  api::ServiceParts parts{runtime_.get(), runtime_.get(), enrolment_.get(), &Clock::Real(),
                          [](const api::AuditRecord&) {}};
  server_ = api::ApiServer::Start("127.0.0.1:0", identity, parts).value();
  for (size_t i = 0; i < nodes_.size(); ++i) {
    if (nodes_[i].agent == nullptr) continue;
    EXPECT_TRUE(AwaitConnected(static_cast<int>(i)));
  }
}

void Fleet::StopController() {
  server_.reset();
  enrolment_.reset();
  runtime_.reset();
  rollout_store_.reset();
}

void Fleet::MoveController(const std::string& folder) {
  node_store_.reset();
  controller_folder_ = folder;
  node_store_ = store::NodeStore::Open(folder + "/npufleet.db", /*create=*/false).value();
}

bool Fleet::Await(const std::function<bool()>& holds) {
  absl::Mutex mutex;
  uint64_t changes = 0;
  const auto subscription = runtime_->Changes().Subscribe([&] {
    absl::MutexLock lock(&mutex);
    ++changes;
  });
  const absl::Time end = absl::Now() + kLimit;
  while (true) {
    uint64_t before;
    {
      absl::MutexLock lock(&mutex);
      before = changes;
    }
    if (holds()) return true;
    const auto changed = [&] { return changes != before; };
    absl::MutexLock lock(&mutex);
    if (!mutex.AwaitWithDeadline(absl::Condition(&changed), end)) return false;
  }
}

bool Fleet::AwaitConnected(int node, bool connected) {
  return Await([&] {
    const v1::ListNodesReply reply = runtime_->ListNodes().value();
    for (const v1::NodeStatus& status : reply.nodes()) {
      if (status.name() == NameOfNode(node)) return status.connected() == connected;
    }
    return false;
  });
}

v1::Rollout Fleet::AwaitRollout(const std::function<bool(const v1::Rollout&)>& holds) {
  const auto client = ClientAs("viewer");
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + kLimit));
  v1::GetRolloutRequest request;
  request.set_name("tiny");
  const auto reader = client->WatchRollout(&context, request);
  v1::Rollout rollout;
  while (reader->Read(&rollout)) {
    if (!holds(rollout)) continue;
    context.TryCancel();
    return rollout;
  }
  ADD_FAILURE() << "the watch ended with " << reader->Finish().error_message() << " at "
                << Describe(rollout);
  return rollout;
}

v1::Rollout Fleet::AwaitPhase(v1::Rollout::Phase phase) {
  return AwaitRollout([phase](const v1::Rollout& rollout) { return rollout.phase() == phase; });
}

std::shared_ptr<grpc::ChannelCredentials> Fleet::CredentialsAs(const std::string& role) {
  return tls::ClientCredentials(IdentityAs(role));
}

tls::Identity Fleet::IdentityAs(const std::string& role) const {
  return IdentityOf(authority_, role, "some-" + role);
}

std::string Fleet::controller_address() const {
  return absl::StrCat("127.0.0.1:", server_->port());
}

std::string Fleet::agent_address(int node) const {
  return absl::StrCat("127.0.0.1:", nodes_.at(static_cast<size_t>(node)).port);
}

std::unique_ptr<v1::Controller::Stub> Fleet::ClientWith(
    std::shared_ptr<grpc::ChannelCredentials> credentials) {
  return v1::Controller::NewStub(grpc::CreateChannel(controller_address(), std::move(credentials)));
}

std::unique_ptr<v1::Controller::Stub> Fleet::ClientAs(const std::string& role) {
  return ClientWith(CredentialsAs(role));
}

grpc::Status Fleet::Apply(const v1::Deployment& deployment, v1::ApplyDeploymentReply* reply) {
  v1::ApplyDeploymentRequest request;
  *request.mutable_deployment() = deployment;
  v1::ApplyDeploymentReply own;
  return ClientAs("operator")
      ->ApplyDeployment(Context().get(), request, reply != nullptr ? reply : &own);
}

grpc::Status Fleet::Plan(const v1::Deployment& deployment, v1::Plan* plan) {
  v1::PlanDeploymentRequest request;
  *request.mutable_deployment() = deployment;
  return ClientAs("viewer")->PlanDeployment(Context().get(), request, plan);
}

grpc::Status Fleet::Control(v1::ControlRolloutRequest::Verb verb) {
  v1::ControlRolloutRequest request;
  request.set_name("tiny");
  request.set_verb(verb);
  v1::Rollout reply;
  return ClientAs("operator")->ControlRollout(Context().get(), request, &reply);
}

v1::ListEventsReply Fleet::Events(uint64_t after, uint32_t page_size) {
  v1::ListEventsRequest request;
  request.set_after(after);
  request.set_page_size(page_size);
  v1::ListEventsReply reply;
  const grpc::Status status = ClientAs("viewer")->ListEvents(Context().get(), request, &reply);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return reply;
}

std::unique_ptr<v1::Agent::Stub> Fleet::AgentOf(int node) {
  return v1::Agent::NewStub(ChannelToAgent(node, "controller"));
}

std::shared_ptr<grpc::Channel> Fleet::ChannelToController(const std::string& role) {
  return grpc::CreateChannel(controller_address(), CredentialsAs(role));
}

std::shared_ptr<grpc::Channel> Fleet::ChannelToAgent(int node, const std::string& role) {
  return grpc::CreateChannel(agent_address(node), CredentialsAs(role));
}

std::vector<v1::Operation> Fleet::Journal(int node) {
  v1::ListOperationsRequest request;
  request.set_page_size(1000);
  v1::ListOperationsReply reply;
  const grpc::Status status = AgentOf(node)->ListOperations(Context().get(), request, &reply);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return {reply.operations().rbegin(), reply.operations().rend()};
}

void Fleet::AwaitOperationsEnd(int node) {
  const auto agent = AgentOf(node);
  for (const v1::Operation& operation : Journal(node)) {
    if (operations::IsOver(operation.state())) continue;
    v1::WatchOperationRequest request;
    request.set_id(operation.id());
    const auto context = Context();
    const auto reader = agent->WatchOperation(context.get(), request);
    for (v1::OperationEvent event; reader->Read(&event);) continue;
    EXPECT_TRUE(reader->Finish().ok());
  }
}

std::unique_ptr<grpc::ClientContext> Context() {
  auto context = std::make_unique<grpc::ClientContext>();
  context->set_deadline(absl::ToChronoTime(absl::Now() + kLimit));
  return context;
}

const v1::Task& TaskOf(const v1::Rollout& rollout, const std::string& id) {
  for (const v1::Task& task : rollout.tasks()) {
    if (task.id() == id) return task;
  }
  return v1::Task::default_instance();
}

std::string Describe(const v1::Rollout& rollout) {
  std::string text = absl::StrCat(v1::Rollout::Phase_Name(rollout.phase()), " ", rollout.reason());
  for (const v1::Task& task : rollout.tasks()) {
    if (task.state() == v1::Task::CURRENT) continue;
    absl::StrAppend(&text, "\n  ", task.id(), " ", v1::Task::State_Name(task.state()), " ",
                    task.reason(), " ", task.failure().symptom());
  }
  return text;
}

}  // namespace npufleet::integration
