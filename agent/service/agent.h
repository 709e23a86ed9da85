// SPDX-License-Identifier: Apache-2.0
//
// The agent as a whole, without its program: journal, durable steps, runner, observer and the gRPC
// server over them.
#ifndef AGENT_SERVICE_AGENT_H_
#define AGENT_SERVICE_AGENT_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "agent/host/host.h"
#include "agent/operations/durable_steps.h"
#include "agent/operations/journal.h"
#include "agent/operations/npu_tools.h"
#include "agent/operations/observer.h"
#include "agent/operations/runner.h"
#include "agent/service/agent_service.h"
#include "agent/service/work_queue.h"
#include "grpcpp/grpcpp.h"

namespace npufleet::service {

struct AgentOptions {
  std::string node;
  std::string listen;           // HOST:PORT; port 0: any free one
  std::string state_directory;  // real; made when missing
  std::shared_ptr<grpc::ServerCredentials> credentials;
  std::string version;
  operations::VerbFactory make_verb;
  std::function<v1::Inventory(host::Host&)> read_inventory;
};

class Agent {
 public:
  // Goes on with what ran, then serves. `host` outlives the agent.
  static absl::StatusOr<std::unique_ptr<Agent>> Start(host::Host& host, AgentOptions options);
  ~Agent();  // Stop() without a limit

  int port() const { return port_; }
  // Whether its locks and its journal answer: what the watchdog is told.
  absl::Status CheckHealth();

  // Accepts nothing more, ends the calls, and leaves durable steps running. Returns whether
  // everything came back within `limit`.
  bool Stop(absl::Duration limit);

 private:
  Agent() = default;
  absl::Status Serve(const AgentOptions& options);

  std::unique_ptr<operations::Journal> journal_;
  std::unique_ptr<operations::DurableSteps> steps_;
  operations::NpuTools npu_tools_;
  std::unique_ptr<WorkQueue> queue_;
  std::unique_ptr<operations::Runner> runner_;
  std::unique_ptr<operations::Observer> observer_;
  std::unique_ptr<AgentService> service_;
  std::unique_ptr<grpc::Server> server_;
  int port_ = 0;
};

// Mutual TLS for the identity in `directory`; only the role "controller" is let in, to any service.
absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> ControllerOnly(
    const std::string& directory);

}  // namespace npufleet::service

#endif  // AGENT_SERVICE_AGENT_H_
