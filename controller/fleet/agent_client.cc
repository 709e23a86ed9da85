// SPDX-License-Identifier: Apache-2.0
#include "controller/fleet/agent_client.h"

#include <deque>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/clock.h"
#include "grpcpp/create_channel.h"

namespace npufleet::fleet {
namespace {

// The agent gives a sign of life each second.
constexpr absl::Duration kSilence = absl::Seconds(4);
constexpr absl::Duration kReconnectAfter = absl::Milliseconds(250);
constexpr absl::Duration kCallDeadline = absl::Seconds(10);

std::shared_ptr<grpc::Channel> MakeChannel(const std::string& address,
                                           std::shared_ptr<grpc::ChannelCredentials> credentials) {
  grpc::ChannelArguments arguments;
  // A fleet's nodes are reached directly, whatever proxy the environment names.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  // A new channel to the same address shall be a new connection.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 200);
  // Also how long one attempt may take: a loaded node's TLS handshake fits in, and a node without
  // power is asked anew before the kernel's pauses between SYNs grow.
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 3000);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  arguments.SetMaxReceiveMessageSize(64 << 20);
  return grpc::CreateCustomChannel(address, std::move(credentials), arguments);
}

std::chrono::system_clock::time_point Deadline(absl::Duration after) {
  return std::chrono::system_clock::now() + absl::ToChronoMicroseconds(after);
}

bool IsFinal(v1::Operation::State state) {
  return state == v1::Operation::SUCCEEDED || state == v1::Operation::FAILED ||
         state == v1::Operation::CANCELLED || state == v1::Operation::INTERRUPTED;
}

// Answers that will be the same however often we ask.
bool IsRefusal(grpc::StatusCode code) {
  return code == grpc::StatusCode::FAILED_PRECONDITION ||
         code == grpc::StatusCode::INVALID_ARGUMENT || code == grpc::StatusCode::UNIMPLEMENTED;
}

absl::Status ToAbsl(const grpc::Status& status) {
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

}  // namespace

// One Observe stream. Writes are queued: gRPC takes one at a time.
class AgentClient::ObserveStream
    : public grpc::ClientBidiReactor<v1::ObserveRequest, v1::ObserveReply> {
 public:
  explicit ObserveStream(AgentClient* client) : client_(client) {}

  void Begin(v1::Agent::Stub* stub) {
    stub->async()->Observe(&context_, this);
    StartRead(&reply_);
    StartCall();
  }

  void Send(v1::ObserveRequest request) {
    absl::MutexLock lock(&mutex_);
    queue_.push_back(std::move(request));
    if (queue_.size() == 1) StartWrite(&queue_.front());
  }

  void Cancel() { context_.TryCancel(); }

  void OnReadDone(bool ok) override {
    if (!ok) return;
    client_->OnReply(reply_);
    StartRead(&reply_);
  }

  void OnWriteDone(bool ok) override {
    absl::MutexLock lock(&mutex_);
    queue_.pop_front();
    if (ok && !queue_.empty()) StartWrite(&queue_.front());
  }

  void OnDone(const grpc::Status& status) override { client_->OnStreamDone(status); }

 private:
  AgentClient* const client_;
  grpc::ClientContext context_;
  v1::ObserveReply reply_;
  absl::Mutex mutex_;
  std::deque<v1::ObserveRequest> queue_ ABSL_GUARDED_BY(mutex_);
};

class AgentClient::WatchStream : public grpc::ClientReadReactor<v1::OperationEvent> {
 public:
  WatchStream(AgentClient* client, std::string id, std::shared_ptr<grpc::ClientContext> context,
              uint64_t context_key)
      : client_(client),
        id_(std::move(id)),
        context_(std::move(context)),
        context_key_(context_key) {}

  void Begin(v1::Agent::Stub* stub, uint64_t after_sequence) {
    request_.set_id(id_);
    request_.set_after_sequence(after_sequence);
    stub->async()->WatchOperation(context_.get(), &request_, this);
    StartRead(&event_);
    StartCall();
  }

  void OnReadDone(bool ok) override {
    if (!ok) return;
    client_->OnWatched(id_, event_);
    StartRead(&event_);
  }

  void OnDone(const grpc::Status& status) override {
    AgentClient* client = client_;
    const std::string id = id_;
    {
      absl::MutexLock lock(&client->mutex_);
      client->contexts_.erase(context_key_);
    }
    delete this;
    client->OnWatchDone(id);
    client->CallEnds();
  }

 private:
  AgentClient* const client_;
  const std::string id_;
  const std::shared_ptr<grpc::ClientContext> context_;
  const uint64_t context_key_;
  v1::WatchOperationRequest request_;
  v1::OperationEvent event_;
};

AgentClient::AgentClient(std::string address, std::shared_ptr<grpc::ChannelCredentials> credentials,
                         AgentEvents events)
    : address_(std::move(address)),
      credentials_(std::move(credentials)),
      events_(std::move(events)),
      stub_(v1::Agent::NewStub(MakeChannel(address_, credentials_))) {}

AgentClient::~AgentClient() { End(); }

void AgentClient::End() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
    if (stream_ != nullptr) stream_->Cancel();
    for (const auto& [key, context] : contexts_) context->TryCancel();
    changed_.SignalAll();
  }
  if (thread_.joinable()) thread_.join();
  absl::MutexLock lock(&mutex_);
  while (calls_ > 0) changed_.Wait(&mutex_);
}

void AgentClient::Start() {
  thread_ = std::thread([this] { Loop(); });
}

void AgentClient::Loop() {
  while (true) {
    {
      absl::MutexLock lock(&mutex_);
      if (stopping_) return;
      if (calls_ == 0) former_stubs_.clear();
      replied_ = false;
      stream_done_ = false;
      lost_reason_.clear();
      last_reply_ = Clock::Real().Elapsed();
      stream_ = std::make_unique<ObserveStream>(this);
      stream_->Begin(stub_.get());
      while (!stream_done_) {
        changed_.WaitWithTimeout(&mutex_, absl::Seconds(1));
        if (stopping_ || Clock::Real().Elapsed() - last_reply_ > kSilence) {
          lost_reason_ = absl::StrCat("no sign of life for ", absl::FormatDuration(kSilence));
          stream_->Cancel();
          while (!stream_done_) changed_.Wait(&mutex_);
          // A connection on which nothing came sends again in ever longer intervals, long after the
          // node could be reached: all that used it goes over a new one.
          for (const auto& [key, context] : contexts_) context->TryCancel();
          former_stubs_.push_back(
              std::exchange(stub_, v1::Agent::NewStub(MakeChannel(address_, credentials_))));
        }
        if (replied_ && !stopping_) {
          for (auto& [id, running] : running_) {
            if (!running.asked) {
              Ask(id);
            } else if (running.cancel && !running.cancel_told) {
              SendCancel(id);
            }
          }
        }
      }
    }
    std::unique_ptr<ObserveStream> ended;
    bool had_replied;
    std::string reason;
    {
      absl::MutexLock lock(&mutex_);
      ended = std::move(stream_);
      had_replied = replied_;
      replied_ = false;
      reason = lost_reason_;
    }
    ended.reset();
    if (had_replied) {
      events_.lost(reason);
    } else if (events_.unreached) {
      events_.unreached(reason);
    }
    absl::MutexLock lock(&mutex_);
    if (!stopping_) changed_.WaitWithTimeout(&mutex_, kReconnectAfter);
  }
}

void AgentClient::OnReply(const v1::ObserveReply& reply) {
  bool first;
  {
    absl::MutexLock lock(&mutex_);
    first = !replied_;
    replied_ = true;
    last_reply_ = Clock::Real().Elapsed();
    if (first) {
      for (auto& [id, running] : running_) {
        if (!running.asked) Ask(id);
      }
    }
  }
  events_.replied(reply, first);
}

void AgentClient::OnStreamDone(const grpc::Status& status) {
  absl::MutexLock lock(&mutex_);
  if (status.error_code() != grpc::StatusCode::CANCELLED || lost_reason_.empty()) {
    lost_reason_ = status.ok() ? "its agent closed the connection"
                               : absl::StrCat("not reachable: ", status.error_message());
  }
  stream_done_ = true;
  changed_.SignalAll();
}

void AgentClient::Check(const v1::Subject& subject) {
  v1::ObserveRequest request;
  *request.add_check() = subject;
  absl::MutexLock lock(&mutex_);
  if (stream_ != nullptr && !stream_done_) stream_->Send(std::move(request));
}

void AgentClient::Forget(const std::string& task) {
  v1::ObserveRequest request;
  request.add_forget(task);
  absl::MutexLock lock(&mutex_);
  if (stream_ != nullptr && !stream_done_) stream_->Send(std::move(request));
}

void AgentClient::RunOperation(const v1::StartOperationRequest& request) {
  absl::MutexLock lock(&mutex_);
  Running& running = running_[request.id()];
  if (!running.request.id().empty()) return;
  running.request = request;
  if (replied_) Ask(request.id());
}

void AgentClient::CancelOperation(const std::string& id) {
  absl::MutexLock lock(&mutex_);
  auto found = running_.find(id);
  if (found == running_.end()) return;
  found->second.cancel = true;
  SendCancel(id);
}

void AgentClient::Ask(const std::string& id) {
  if (stopping_) return;
  Running& running = running_[id];
  running.asked = true;
  struct Call {
    grpc::ClientContext context;
    v1::Operation reply;
  };
  auto call = std::make_shared<Call>();
  call->context.set_deadline(Deadline(kCallDeadline));
  CallBegins();
  stub_->async()->StartOperation(&call->context, &running.request, &call->reply,
                                 [this, id, call](grpc::Status status) mutable {
                                   OnStarted(id, status, call->reply);
                                   call.reset();
                                   CallEnds();
                                 });
}

void AgentClient::OnStarted(const std::string& id, const grpc::Status& status,
                            const v1::Operation& operation) {
  if (status.ok() && IsFinal(operation.state())) return Finish(operation);
  if (!status.ok() && IsRefusal(status.error_code())) {
    {
      absl::MutexLock lock(&mutex_);
      running_.erase(id);
    }
    return events_.refused(id, ToAbsl(status));
  }
  absl::MutexLock lock(&mutex_);
  auto found = running_.find(id);
  if (found == running_.end()) return;
  found->second.asked = false;  // asked again by the loop, within a second
  // What the agent knows with another body is ours: after a restart the newest revision words it.
  if (!status.ok() && status.error_code() != grpc::StatusCode::ALREADY_EXISTS) return;
  if (found->second.cancel) SendCancel(id);
  Watch(id);
}

void AgentClient::Watch(const std::string& id) {
  if (stopping_) return;
  Running& running = running_[id];
  running.asked = true;
  auto context = std::make_shared<grpc::ClientContext>();
  const uint64_t key = next_context_++;
  contexts_[key] = context;
  CallBegins();
  (new WatchStream(this, id, context, key))->Begin(stub_.get(), running.sequence);
}

void AgentClient::OnWatched(const std::string& id, const v1::OperationEvent& event) {
  {
    absl::MutexLock lock(&mutex_);
    auto found = running_.find(id);
    if (found == running_.end()) return;
    found->second.sequence = event.sequence();
  }
  if (event.has_progress()) events_.progressed(id, event.progress());
  if (event.has_operation() && IsFinal(event.operation().state())) Finish(event.operation());
}

void AgentClient::OnWatchDone(const std::string& id) {
  absl::MutexLock lock(&mutex_);
  auto found = running_.find(id);
  if (found != running_.end()) found->second.asked = false;
}

void AgentClient::Finish(const v1::Operation& operation) {
  {
    absl::MutexLock lock(&mutex_);
    if (running_.erase(operation.id()) == 0) return;
  }
  events_.ended(operation);
}

void AgentClient::SendCancel(const std::string& id) {
  struct Call {
    grpc::ClientContext context;
    v1::CancelOperationRequest request;
    v1::Operation reply;
  };
  auto call = std::make_shared<Call>();
  call->context.set_deadline(Deadline(kCallDeadline));
  call->request.set_id(id);
  running_[id].cancel_told = true;
  CallBegins();
  stub_->async()->CancelOperation(&call->context, &call->request, &call->reply,
                                  [this, id, call](grpc::Status status) mutable {
                                    OnCancelTold(id, status);
                                    call.reset();
                                    CallEnds();
                                  });
}

void AgentClient::OnCancelTold(const std::string& id, const grpc::Status& status) {
  // What the agent does not know yet is told again as soon as it has accepted it.
  if (status.ok() || status.error_code() == grpc::StatusCode::NOT_FOUND) return;
  absl::MutexLock lock(&mutex_);
  auto found = running_.find(id);
  if (found != running_.end()) found->second.cancel_told = false;
}

void AgentClient::CallEnds() {
  absl::MutexLock lock(&mutex_);
  --calls_;
  changed_.SignalAll();
}

std::shared_ptr<v1::Agent::Stub> AgentClient::Stub() {
  absl::MutexLock lock(&mutex_);
  return stub_;
}

absl::StatusOr<v1::CheckReply> AgentClient::CheckOnce(const v1::CheckRequest& request,
                                                      absl::Duration deadline) {
  grpc::ClientContext context;
  context.set_deadline(Deadline(deadline));
  v1::CheckReply reply;
  const grpc::Status status = Stub()->Check(&context, request, &reply);
  if (!status.ok()) return ToAbsl(status);
  return reply;
}

absl::StatusOr<v1::Inventory> AgentClient::GetInventory(absl::Duration deadline) {
  grpc::ClientContext context;
  context.set_deadline(Deadline(deadline));
  v1::Inventory reply;
  const grpc::Status status = Stub()->GetInventory(&context, v1::GetInventoryRequest(), &reply);
  if (!status.ok()) return ToAbsl(status);
  return reply;
}

absl::Status AgentClient::WatchLog(const std::string& operation, bool follow,
                                   Cancellation& cancellation,
                                   const std::function<bool(const v1::OperationEvent&)>& write) {
  v1::GetOperationRequest get;
  get.set_id(operation);
  v1::Operation now;
  {
    grpc::ClientContext get_context;
    get_context.set_deadline(Deadline(kCallDeadline));
    const grpc::Status status = Stub()->GetOperation(&get_context, get, &now);
    if (!status.ok()) return ToAbsl(status);
  }
  // Among those that end when nothing comes from the agent any more.
  const auto context = std::make_shared<grpc::ClientContext>();
  uint64_t key;
  {
    absl::MutexLock lock(&mutex_);
    key = next_context_++;
    contexts_[key] = context;
  }
  cancellation.OnCancel([&context] { context->TryCancel(); });
  v1::WatchOperationRequest request;
  request.set_id(operation);
  auto reader = Stub()->WatchOperation(context.get(), request);
  v1::OperationEvent event;
  bool listening = true;
  // Without `follow`, what was there at the beginning is all that was asked for.
  while (listening && reader->Read(&event)) {
    listening = write(event) && (follow || event.sequence() < now.last_sequence());
  }
  if (!listening) context->TryCancel();
  while (reader->Read(&event)) {
  }
  const grpc::Status status = reader->Finish();
  cancellation.OnCancel(nullptr);
  {
    absl::MutexLock lock(&mutex_);
    contexts_.erase(key);
  }
  if (!listening || status.ok()) return absl::OkStatus();
  if (cancellation.cancelled()) return absl::CancelledError("cancelled");
  if (status.error_code() != grpc::StatusCode::CANCELLED) return ToAbsl(status);
  return absl::UnavailableError(
      absl::StrCat("the connection to the agent at ", address_, " was lost; what it runs goes on"));
}

}  // namespace npufleet::fleet
