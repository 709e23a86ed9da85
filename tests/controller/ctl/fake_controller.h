// SPDX-License-Identifier: Apache-2.0
//
// A Controller service that answers what a test has put into it, on a port of its own.
#ifndef TESTS_CONTROLLER_CTL_FAKE_CONTROLLER_H_
#define TESTS_CONTROLLER_CTL_FAKE_CONTROLLER_H_

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "grpcpp/grpcpp.h"
#include "npufleet/v1/controller.grpc.pb.h"

namespace npufleet::ctl {

// Writes its values in order, then ends; or, with `stay`, waits to be cancelled.
template <typename Message>
class ListWriter : public grpc::ServerWriteReactor<Message> {
 public:
  ListWriter(std::vector<Message> values, bool stay, grpc::Status end)
      : values_(std::move(values)), stay_(stay), end_(std::move(end)) {
    Next();
  }
  void OnWriteDone(bool ok) override { ok ? Next() : this->Finish(end_); }
  void OnCancel() override {
    if (stay_) this->Finish(grpc::Status::CANCELLED);
  }
  void OnDone() override { delete this; }

 private:
  void Next() {
    if (next_ < values_.size()) {
      this->StartWrite(&values_[next_++]);
    } else if (!stay_) {
      this->Finish(end_);
    }
  }
  std::vector<Message> values_;
  size_t next_ = 0;
  const bool stay_;
  const grpc::Status end_;
};

// A free port of 127.0.0.1, for one connection that a test serves byte by byte.
class OneConnection {
 public:
  OneConnection() : socket_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof(address);
    bind(socket_, reinterpret_cast<sockaddr*>(&address), sizeof(address));
    listen(socket_, 1);
    getsockname(socket_, reinterpret_cast<sockaddr*>(&address), &length);
    port_ = ntohs(address.sin_port);
  }
  ~OneConnection() { Close(); }
  OneConnection(const OneConnection&) = delete;
  OneConnection& operator=(const OneConnection&) = delete;

  int Accept() { return accept(socket_, nullptr, nullptr); }
  void Close() {  // nobody else is heard
    if (socket_ >= 0) close(socket_);
    socket_ = -1;
  }
  int port() const { return port_; }

 private:
  int socket_;
  int port_ = 0;
};

// A server of HTTP/2 that is there, and gone as soon as the first request has come.
class LostController {
 public:
  LostController() {
    thread_ = std::thread([this] {
      const int client = connection_.Accept();
      connection_.Close();
      const char settings[9] = {0, 0, 0, 4};  // none, but they make the connection ready
      bool lives = write(client, settings, sizeof(settings)) == sizeof(settings);
      std::string received;
      char buffer[4096];
      while (lives && received.find("GetVersion") == std::string::npos) {
        const ssize_t got = read(client, buffer, sizeof(buffer));
        lives = got > 0;
        if (lives) received.append(buffer, static_cast<size_t>(got));
      }
      close(client);
    });
  }
  ~LostController() { thread_.join(); }
  std::string address() const { return absl::StrCat("127.0.0.1:", connection_.port()); }

 private:
  OneConnection connection_;
  std::thread thread_;
};

class FakeController : public v1::Controller::CallbackService {
 public:
  explicit FakeController(
      std::shared_ptr<grpc::ServerCredentials> credentials = grpc::InsecureServerCredentials()) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", credentials, &port_);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
  }
  ~FakeController() override { server_->Shutdown(std::chrono::system_clock::now()); }

  std::string address() const { return absl::StrCat("127.0.0.1:", port_); }

  // Set before the call that reads it.
  grpc::Status status;  // of every call, when not OK
  v1::ApplyDeploymentReply apply_reply;
  v1::Plan plan;
  v1::ListRolloutsReply rollouts;
  v1::ListNodesReply nodes;
  v1::Explanation explanation;
  v1::ListRevisionsReply revisions;
  std::vector<v1::Event> events;
  std::vector<v1::OperationEvent> log;
  // Each WatchRollout takes the next list; the last one is kept open.
  std::vector<std::vector<v1::Rollout>> watches;
  std::vector<grpc::Status> watch_ends;

  // What has come, in words: "apply qwen3-235b".
  std::vector<std::string> calls() const {
    absl::MutexLock lock(&mutex_);
    return calls_;
  }

  grpc::ServerUnaryReactor* ApplyDeployment(grpc::CallbackServerContext* context,
                                            const v1::ApplyDeploymentRequest* request,
                                            v1::ApplyDeploymentReply* reply) override {
    *reply = apply_reply;
    return Answer(context, absl::StrCat("apply ", request->deployment().metadata().name()));
  }
  grpc::ServerUnaryReactor* PlanDeployment(grpc::CallbackServerContext* context,
                                           const v1::PlanDeploymentRequest* request,
                                           v1::Plan* reply) override {
    *reply = plan;
    return Answer(context, request->commands() ? "plan as commands" : "plan");
  }
  grpc::ServerUnaryReactor* DeleteDeployment(grpc::CallbackServerContext* context,
                                             const v1::DeleteDeploymentRequest* request,
                                             v1::Rollout* reply) override {
    reply->set_name(request->name());
    reply->set_phase(v1::Rollout::PROGRESSING);
    return Answer(context, absl::StrCat("delete ", request->name()));
  }
  grpc::ServerUnaryReactor* GetRollout(grpc::CallbackServerContext* context,
                                       const v1::GetRolloutRequest* request,
                                       v1::Rollout* reply) override {
    for (const v1::Rollout& rollout : rollouts.rollouts()) {
      if (rollout.name() == request->name()) *reply = rollout;
    }
    if (!reply->name().empty() || !status.ok()) return Answer(context, "get");
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish({grpc::StatusCode::NOT_FOUND, absl::StrCat("no rollout ", request->name())});
    return reactor;
  }
  grpc::ServerUnaryReactor* ListRollouts(grpc::CallbackServerContext* context,
                                         const v1::ListRolloutsRequest*,
                                         v1::ListRolloutsReply* reply) override {
    *reply = rollouts;
    return Answer(context, "list");
  }
  grpc::ServerUnaryReactor* ControlRollout(grpc::CallbackServerContext* context,
                                           const v1::ControlRolloutRequest* request,
                                           v1::Rollout* reply) override {
    reply->set_name(request->name());
    reply->set_phase(v1::Rollout::PROGRESSING);
    return Answer(context,
                  absl::StrCat(v1::ControlRolloutRequest::Verb_Name(request->verb()), " ",
                               request->name(), " ", request->from(),
                               request->to_revision() == 0 ? std::string()
                                                           : absl::StrCat(request->to_revision())));
  }
  grpc::ServerUnaryReactor* ListRevisions(grpc::CallbackServerContext* context,
                                          const v1::ListRevisionsRequest*,
                                          v1::ListRevisionsReply* reply) override {
    *reply = revisions;
    return Answer(context, "revisions");
  }
  grpc::ServerUnaryReactor* ListEvents(grpc::CallbackServerContext* context,
                                       const v1::ListEventsRequest* request,
                                       v1::ListEventsReply* reply) override {
    for (const v1::Event& event : events) {
      // Pages of two, to be turned.
      if (event.id() > request->after() && reply->events_size() < 2) *reply->add_events() = event;
    }
    return Answer(context, "events");
  }
  grpc::ServerUnaryReactor* ListNodes(grpc::CallbackServerContext* context,
                                      const v1::ListNodesRequest*,
                                      v1::ListNodesReply* reply) override {
    *reply = nodes;
    return Answer(context, "nodes");
  }
  grpc::ServerUnaryReactor* RebootNode(grpc::CallbackServerContext* context,
                                       const v1::RebootNodeRequest* request,
                                       v1::NodeStatus* reply) override {
    reply->set_name(request->name());
    reply->set_rollout("q");
    return Answer(context, absl::StrCat("reboot ", request->name()));
  }
  grpc::ServerUnaryReactor* RemoveNode(grpc::CallbackServerContext* context,
                                       const v1::RemoveNodeRequest* request,
                                       v1::NodeStatus* reply) override {
    reply->set_name(request->name());
    return Answer(context, absl::StrCat("remove ", request->name()));
  }
  grpc::ServerUnaryReactor* ExplainTask(grpc::CallbackServerContext* context,
                                        const v1::ExplainTaskRequest* request,
                                        v1::Explanation* reply) override {
    *reply = explanation;
    return Answer(context, absl::StrCat("explain ", request->rollout(), " ", request->task()));
  }
  grpc::ServerUnaryReactor* CreateJoinToken(grpc::CallbackServerContext* context,
                                            const v1::CreateJoinTokenRequest* request,
                                            v1::CreateJoinTokenReply* reply) override {
    reply->set_token(absl::StrCat("npufleet.", request->node(), ".s.d"));
    return Answer(context, absl::StrCat("token ", request->valid_for().seconds()));
  }
  grpc::ServerUnaryReactor* GetVersion(grpc::CallbackServerContext* context,
                                       const v1::GetVersionRequest*, v1::Version* reply) override {
    reply->set_version("9.9");
    reply->set_commit("abc");
    return Answer(context, "version");
  }
  grpc::ServerWriteReactor<v1::Rollout>* WatchRollout(grpc::CallbackServerContext*,
                                                      const v1::GetRolloutRequest*) override {
    absl::MutexLock lock(&mutex_);
    size_t watch = next_watch_++;
    calls_.push_back("watch");
    if (!status.ok()) return new ListWriter<v1::Rollout>({}, false, status);
    if (watch >= watches.size()) return new ListWriter<v1::Rollout>({}, true, grpc::Status::OK);
    bool stay = watch + 1 == watches.size();
    grpc::Status end = watch < watch_ends.size() ? watch_ends[watch] : grpc::Status::OK;
    return new ListWriter<v1::Rollout>(watches[watch], stay, end);
  }
  grpc::ServerWriteReactor<v1::OperationEvent>* WatchTaskLog(
      grpc::CallbackServerContext*, const v1::WatchTaskLogRequest*) override {
    return new ListWriter<v1::OperationEvent>(log, false, status);
  }

 private:
  grpc::ServerUnaryReactor* Answer(grpc::CallbackServerContext* context, std::string call) {
    {
      absl::MutexLock lock(&mutex_);
      calls_.push_back(std::move(call));
    }
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(status);
    return reactor;
  }

  mutable absl::Mutex mutex_;
  std::vector<std::string> calls_;
  size_t next_watch_ = 0;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace npufleet::ctl

#endif  // TESTS_CONTROLLER_CTL_FAKE_CONTROLLER_H_
