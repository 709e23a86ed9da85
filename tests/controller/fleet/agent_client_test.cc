// SPDX-License-Identifier: Apache-2.0
#include "controller/fleet/agent_client.h"

#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "gtest/gtest.h"

namespace npufleet::fleet {
namespace {

// An agent of which a test says how it fails. Its one operation runs until it is cancelled.
class FailingAgent : public v1::Agent::Service {
 public:
  grpc::Status Observe(
      grpc::ServerContext* context,
      grpc::ServerReaderWriter<v1::ObserveReply, v1::ObserveRequest>* stream) override {
    v1::ObserveReply reply;
    reply.set_boot_id("boot-1");
    stream->Write(reply);
    while (!context->IsCancelled() && !ended_.WaitForNotificationWithTimeout(absl::Seconds(1))) {
      if (!silent_.HasBeenNotified()) stream->Write(reply);
    }
    return grpc::Status::OK;
  }

  grpc::Status StartOperation(grpc::ServerContext*, const v1::StartOperationRequest* request,
                              v1::Operation* reply) override {
    reply->set_id(request->id());
    reply->set_state(v1::Operation::RUNNING);
    return grpc::Status::OK;
  }

  grpc::Status GetOperation(grpc::ServerContext*, const v1::GetOperationRequest* request,
                            v1::Operation* reply) override {
    reply->set_id(request->id());
    return grpc::Status::OK;
  }

  grpc::Status WatchOperation(grpc::ServerContext* context,
                              const v1::WatchOperationRequest* request,
                              grpc::ServerWriter<v1::OperationEvent>* writer) override {
    if (!watched_.HasBeenNotified()) watched_.Notify();
    while (!context->IsCancelled() && !cancelled_.HasBeenNotified())
      cancelled_.WaitForNotificationWithTimeout(absl::Milliseconds(20));
    v1::OperationEvent event;
    event.mutable_operation()->set_id(request->id());
    event.mutable_operation()->set_state(v1::Operation::CANCELLED);
    writer->Write(event);
    return grpc::Status::OK;
  }

  grpc::Status CancelOperation(grpc::ServerContext*, const v1::CancelOperationRequest*,
                               v1::Operation*) override {
    absl::MutexLock lock(&mutex_);
    if (failing_cancels_-- > 0)
      return grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "the journal has no room");
    if (!cancelled_.HasBeenNotified()) cancelled_.Notify();
    return grpc::Status::OK;
  }

  absl::Notification watched_;
  absl::Notification cancelled_;
  absl::Notification silent_;  // no sign of life comes from then on
  absl::Notification ended_;
  absl::Mutex mutex_;
  int failing_cancels_ ABSL_GUARDED_BY(mutex_) = 0;
};

class AgentClientTest : public testing::Test {
 protected:
  AgentClientTest() {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&agent_);
    server_ = builder.BuildAndStart();
    AgentEvents events;
    events.replied = [](const v1::ObserveReply&, bool) {};
    events.lost = [](const std::string&) {};
    events.progressed = [](const std::string&, const v1::Progress&) {};
    events.ended = [this](const v1::Operation& operation) {
      end_ = operation.state();
      over_.Notify();
    };
    events.refused = [](const std::string&, const absl::Status&) {};
    client_ = std::make_unique<AgentClient>(absl::StrCat("127.0.0.1:", port),
                                            grpc::InsecureChannelCredentials(), std::move(events));
    client_->Start();
  }

  ~AgentClientTest() override {
    client_->End();
    agent_.ended_.Notify();
    server_->Shutdown(std::chrono::system_clock::now());
  }

  FailingAgent agent_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<AgentClient> client_;
  v1::Operation::State end_ = v1::Operation::STATE_UNSPECIFIED;
  absl::Notification over_;
};

TEST_F(AgentClientTest, ACancelThatFailedIsToldAgain) {
  {
    absl::MutexLock lock(&agent_.mutex_);
    agent_.failing_cancels_ = 1;
  }
  v1::StartOperationRequest request;
  request.set_id("1/qwen/1/serve@a/1");
  client_->RunOperation(request);
  agent_.watched_.WaitForNotification();
  client_->CancelOperation(request.id());
  over_.WaitForNotification();
  EXPECT_EQ(end_, v1::Operation::CANCELLED);
}

TEST_F(AgentClientTest, ALogOfAnAgentThatIsSilentEndsAndSaysSo) {
  Cancellation cancellation;
  agent_.silent_.Notify();
  const absl::Status status = client_->WatchLog("1/qwen/1/serve@a/1", /*follow=*/true, cancellation,
                                                [](const v1::OperationEvent&) { return true; });
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
}

}  // namespace
}  // namespace npufleet::fleet
