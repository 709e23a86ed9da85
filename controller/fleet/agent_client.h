// SPDX-License-Identifier: Apache-2.0
//
// The controller's end of one agent: keeps a connection, names what is observed, and carries
// operations through to their end, across lost connections and restarts of either side.
#ifndef CONTROLLER_FLEET_AGENT_CLIENT_H_
#define CONTROLLER_FLEET_AGENT_CLIENT_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/cancellation.h"
#include "grpcpp/channel.h"
#include "grpcpp/security/credentials.h"
#include "npufleet/v1/agent.grpc.pb.h"

namespace npufleet::fleet {

// Called on gRPC's threads: they must only hand over.
struct AgentEvents {
  // Each reply; one that tells of no Check is a sign of life.
  std::function<void(const v1::ObserveReply& reply, bool first)> replied;
  std::function<void(const std::string& reason)> lost;  // once for each connection that had replied
  std::function<void(const std::string& reason)> unreached;  // an attempt to connect failed
  std::function<void(const std::string& operation, const v1::Progress& progress)> progressed;
  // The operation's end: SUCCEEDED, FAILED, CANCELLED or INTERRUPTED.
  std::function<void(const v1::Operation& operation)> ended;
  // The agent will never run it (another boot, an older epoch, a verb that it does not know).
  std::function<void(const std::string& operation, const absl::Status& why)> refused;
};

class AgentClient {
 public:
  // `address` is host:port.
  AgentClient(std::string address, std::shared_ptr<grpc::ChannelCredentials> credentials,
              AgentEvents events);
  ~AgentClient();  // End()
  AgentClient(const AgentClient&) = delete;
  AgentClient& operator=(const AgentClient&) = delete;

  void Start();  // connects, and again whenever the connection is lost
  void End();    // for good; waits until no callback runs any more. Not from a callback

  // All threadsafe; they return at once. What is checked is sent when there is a connection; on a
  // new connection the caller names anew what it wants to see.
  void Check(const v1::Subject& subject);
  void Forget(const std::string& task);
  // Repeats until an answer came: the id makes that safe. What the agent knows by this id is
  // carried to its end, whatever body it was accepted with.
  void RunOperation(const v1::StartOperationRequest& request);
  void CancelOperation(const std::string& id);

  // Blocking, with a deadline of their own. Threadsafe.
  absl::StatusOr<v1::CheckReply> CheckOnce(const v1::CheckRequest& request,
                                           absl::Duration deadline);
  absl::StatusOr<v1::Inventory> GetInventory(absl::Duration deadline);
  absl::Status WatchLog(const std::string& operation, bool follow, Cancellation& cancellation,
                        const std::function<bool(const v1::OperationEvent&)>& write);

  const std::string& address() const { return address_; }

 private:
  class ObserveStream;
  class WatchStream;
  struct Running {
    v1::StartOperationRequest request;
    uint64_t sequence = 0;  // of the newest event seen
    bool asked = false;     // a call for it is under way
    bool cancel = false;
    bool cancel_told = false;  // a call for that is under way, or the agent has heard it
  };

  void Loop();
  std::shared_ptr<v1::Agent::Stub> Stub() ABSL_LOCKS_EXCLUDED(mutex_);
  void OnReply(const v1::ObserveReply& reply);
  void OnStreamDone(const grpc::Status& status);
  void Ask(const std::string& id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Watch(const std::string& id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void SendCancel(const std::string& id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void OnStarted(const std::string& id, const grpc::Status& status, const v1::Operation& operation);
  void OnWatched(const std::string& id, const v1::OperationEvent& event);
  void OnWatchDone(const std::string& id);
  void OnCancelTold(const std::string& id, const grpc::Status& status);
  void Finish(const v1::Operation& operation);
  void CallBegins() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { ++calls_; }
  void CallEnds();  // when its context is gone

  const std::string address_;
  const std::shared_ptr<grpc::ChannelCredentials> credentials_;
  const AgentEvents events_;

  absl::Mutex mutex_;
  std::shared_ptr<v1::Agent::Stub> stub_ ABSL_GUARDED_BY(mutex_);
  // Those that were replaced, until no call is left that may have used them. A call's context keeps
  // its channel, and ends on a thread of gRPC: were it the last channel of the process, that thread
  // would wait for itself, and the queue that it serves be freed twice.
  std::vector<std::shared_ptr<v1::Agent::Stub>> former_stubs_ ABSL_GUARDED_BY(mutex_);
  absl::CondVar changed_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool replied_ ABSL_GUARDED_BY(mutex_) = false;  // on this connection
  absl::Duration last_reply_ ABSL_GUARDED_BY(mutex_);
  int calls_ ABSL_GUARDED_BY(mutex_) = 0;  // outstanding on gRPC's side
  std::unique_ptr<ObserveStream> stream_ ABSL_GUARDED_BY(mutex_);
  bool stream_done_ ABSL_GUARDED_BY(mutex_) = true;
  std::string lost_reason_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<std::string, Running> running_ ABSL_GUARDED_BY(mutex_);
  // Contexts of outstanding calls, to cancel them at the end.
  std::map<uint64_t, std::shared_ptr<grpc::ClientContext>> contexts_ ABSL_GUARDED_BY(mutex_);
  uint64_t next_context_ ABSL_GUARDED_BY(mutex_) = 0;
  std::thread thread_;
};

}  // namespace npufleet::fleet

#endif  // CONTROLLER_FLEET_AGENT_CLIENT_H_
