// SPDX-License-Identifier: Apache-2.0
//
// A fleet in one process: the controller's runtime and API over a real SQLite store, real agents
// over fake machines, and real gRPC with mutual TLS between all of them. Either side can be taken
// away and started again over what it left on disk.
#ifndef TESTS_INTEGRATION_FLEET_H_
#define TESTS_INTEGRATION_FLEET_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "agent/service/agent.h"
#include "common/tls/certificate_authority.h"
#include "common/tls/identity.h"
#include "controller/api/enrolment.h"
#include "controller/api/service.h"
#include "controller/runtime/runtime.h"
#include "gtest/gtest.h"
#include "npufleet/v1/agent.grpc.pb.h"
#include "npufleet/v1/controller.grpc.pb.h"
#include "tests/fakes/temporary_folder.h"
#include "tests/integration/fake_machine.h"

namespace npufleet::integration {

inline constexpr absl::Duration kLimit = absl::Seconds(60);

// What the verbs of all agents did, and where they are held. Threadsafe.
class VerbWatch {
 public:
  struct Gate {
    absl::Notification entered;  // an Apply has come
    absl::Notification open;
  };
  // From now on an Apply of the task waits, before it does anything, for the gate to open or its
  // cancellation.
  Gate& Hold(const std::string& task);

  int Checks(const std::string& task);
  std::map<std::string, int> AllChecks();
  int Applies(const std::string& task);

  // The verbs of the host, watched.
  operations::VerbFactory Over(host::Host& host);

 private:
  friend class WatchedVerb;
  absl::Mutex mutex_;
  std::map<std::string, int> checks_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, int> applies_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, std::unique_ptr<Gate>> gates_ ABSL_GUARDED_BY(mutex_);
};

class Fleet {
 public:
  // Nodes that have joined, with agents that serve; the controller is not there yet.
  // `controller_folder`: where its store is; empty: a folder of its own.
  explicit Fleet(int nodes, std::string controller_folder = "");
  ~Fleet();

  FakeMachine& machine(int node) { return *nodes_.at(static_cast<size_t>(node)).machine; }
  VerbWatch& verbs() { return verbs_; }

  void StartAgent(int node);
  void StopAgent(int node);
  // (Re)starts it over what is in this folder.
  void MoveAgent(int node, const std::string& state_directory);
  // Serves at another port from now on, and has joined again from there.
  void MoveAgentToAnotherAddress(int node);
  // Power off and on: the agent dies, the machine boots, its agent comes back.
  void PowerCycle(int node);

  void StartController();  // and waits until it is connected to all agents that serve
  void StopController();
  // The next one finds its store in this folder. There is none now.
  void MoveController(const std::string& folder);
  runtime::Runtime& runtime() { return *runtime_; }

  // Until it holds, asked after each change that the controller tells of. False after kLimit.
  bool Await(const std::function<bool()>& holds);
  bool AwaitConnected(int node, bool connected = true);
  // Until the rollout's newest state satisfies `holds`, as WatchRollout tells it. The state; a
  // failure of the test and the newest state after kLimit.
  v1::Rollout AwaitRollout(const std::function<bool(const v1::Rollout&)>& holds);
  v1::Rollout AwaitPhase(v1::Rollout::Phase phase);

  // A client of the controller with a certificate of the fleet's authority.
  std::unique_ptr<v1::Controller::Stub> ClientAs(const std::string& role);
  std::unique_ptr<v1::Controller::Stub> ClientWith(
      std::shared_ptr<grpc::ChannelCredentials> credentials);
  std::shared_ptr<grpc::ChannelCredentials> CredentialsAs(const std::string& role);
  std::shared_ptr<grpc::Channel> ChannelToController(const std::string& role);
  std::shared_ptr<grpc::Channel> ChannelToAgent(int node, const std::string& role);
  tls::Identity IdentityAs(const std::string& role) const;
  std::string controller_address() const;  // 127.0.0.1:PORT
  std::string agent_address(int node) const;
  const tls::CertificateAuthority& authority() const { return authority_; }

  // By an operator.
  grpc::Status Apply(const v1::Deployment& deployment, v1::ApplyDeploymentReply* reply = nullptr);
  grpc::Status Plan(const v1::Deployment& deployment, v1::Plan* plan);
  grpc::Status Control(v1::ControlRolloutRequest::Verb verb);
  v1::ListEventsReply Events(uint64_t after, uint32_t page_size);

  // The agent's journal, oldest first, as the agent tells it.
  std::vector<v1::Operation> Journal(int node);
  // Until no operation of the agent is under way.
  void AwaitOperationsEnd(int node);

 private:
  struct Node {
    std::unique_ptr<FakeMachine> machine;
    std::string folder;
    std::string state_directory;
    int port = 0;
    std::unique_ptr<service::Agent> agent;
  };
  void Join(const Node& node);
  std::unique_ptr<v1::Agent::Stub> AgentOf(int node);

  fakes::TemporaryFolder folder_;
  std::string controller_folder_;
  const tls::CertificateAuthority authority_;
  FakeRayCluster ray_;
  VerbWatch verbs_;
  std::vector<Node> nodes_;
  std::unique_ptr<store::NodeStore> node_store_;
  std::unique_ptr<store::RolloutStore> rollout_store_;
  std::unique_ptr<runtime::Runtime> runtime_;
  std::unique_ptr<api::Enrolment> enrolment_;
  std::unique_ptr<api::ApiServer> server_;
};

std::unique_ptr<grpc::ClientContext> Context();
const v1::Task& TaskOf(const v1::Rollout& rollout, const std::string& id);
// For messages: the phase, and each task that is not current with its reason.
std::string Describe(const v1::Rollout& rollout);

}  // namespace npufleet::integration

#endif  // TESTS_INTEGRATION_FLEET_H_
