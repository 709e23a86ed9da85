// SPDX-License-Identifier: Apache-2.0
//
// The whole agent over a fake node and fake verbs: real gRPC on a free port, real journal.
#include "agent/service/agent.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "common/time_conversion.h"
#include "tests/agent/operations/fake_verb.h"
#include "tests/fakes/fake_host.h"
#include "tests/fakes/temporary_folder.h"

namespace npufleet::service {
namespace {

using fakes::TemporaryFolder;
using operations::Absent;
using operations::FakeVerbs;
using operations::Present;
using operations::SubjectOf;

constexpr char kTask[] = "driver@node-a";

class AgentTest : public ::testing::Test {
 protected:
  AgentTest() {
    node_.host().clock = &Clock::Real();
    StartAgent();
  }

  void StartAgent() {
    stub_.reset();
    agent_.reset();
    AgentOptions options;
    options.node = "node-a";
    options.listen = "127.0.0.1:0";
    options.state_directory = folder_.path() + "/state";
    options.credentials = grpc::InsecureServerCredentials();
    options.version = "1.2.3";
    options.make_verb = verbs_.factory();
    options.read_inventory = [](host::Host&) {
      v1::Inventory inventory;
      inventory.set_source("npu-smi");
      return inventory;
    };
    auto agent = Agent::Start(node_.host(), options);
    ASSERT_TRUE(agent.ok()) << agent.status();
    agent_ = *std::move(agent);
    channel_ = grpc::CreateChannel(absl::StrCat("127.0.0.1:", agent_->port()),
                                   grpc::InsecureChannelCredentials());
    stub_ = v1::Agent::NewStub(channel_);
  }

  v1::StartOperationRequest Request(const std::string& id) {
    v1::StartOperationRequest request;
    request.set_id(id);
    request.set_epoch(1);
    request.set_boot_id("boot-1");
    request.set_action(v1::Operation::APPLY);
    *request.mutable_subject() = SubjectOf(kTask);
    return request;
  }

  grpc::Status Start(const v1::StartOperationRequest& request, v1::Operation* operation) {
    grpc::ClientContext context;
    return stub_->StartOperation(&context, request, operation);
  }

  std::vector<v1::OperationEvent> WatchToTheEnd(const std::string& id, uint64_t after,
                                                grpc::StatusCode expected = grpc::OK) {
    grpc::ClientContext context;
    v1::WatchOperationRequest request;
    request.set_id(id);
    request.set_after_sequence(after);
    auto reader = stub_->WatchOperation(&context, request);
    std::vector<v1::OperationEvent> events;
    for (v1::OperationEvent event; reader->Read(&event);) events.push_back(event);
    EXPECT_EQ(reader->Finish().error_code(), expected);
    return events;
  }

  fakes::TemporaryFolder folder_;
  fakes::FakeHost node_;
  FakeVerbs verbs_;
  std::unique_ptr<Agent> agent_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::Agent::Stub> stub_;
};

// One Observe call.
class Observation {
 public:
  explicit Observation(v1::Agent::Stub& stub) : stream_(stub.Observe(&context_)) {}
  ~Observation() {
    stream_->WritesDone();
    for (v1::ObserveReply reply; stream_->Read(&reply);) continue;
    EXPECT_TRUE(stream_->Finish().ok());
  }
  void Check(const std::vector<v1::Subject>& subjects) {
    v1::ObserveRequest request;
    for (const v1::Subject& subject : subjects) *request.add_check() = subject;
    EXPECT_TRUE(stream_->Write(request));
  }
  v1::ObserveReply Read() {
    v1::ObserveReply reply;
    EXPECT_TRUE(stream_->Read(&reply));
    return reply;
  }
  // The next answer for the task, over signs of life and other tasks.
  v1::TaskObservation Next(const std::string& task) {
    while (true) {
      v1::ObserveReply reply = Read();
      if (reply.boot_id().empty()) return {};
      for (const v1::TaskObservation& one : reply.observations()) {
        if (one.task() == task) return one;
      }
    }
  }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::ObserveRequest, v1::ObserveReply>> stream_;
};

TEST_F(AgentTest, AnOperationIsWatchedToItsEndAndFromAnySequence) {
  verbs_[kTask].apply = [this](verbs::Execution& execution) {
    execution.Log("installing");
    verbs_[kTask].there = true;
    return absl::OkStatus();
  };
  v1::Operation operation;
  ASSERT_TRUE(Start(Request("a/1"), &operation).ok());
  EXPECT_EQ(operation.state(), v1::Operation::ACCEPTED);
  std::vector<v1::OperationEvent> events = WatchToTheEnd("a/1", 0);
  ASSERT_GE(events.size(), 4u);
  for (size_t i = 0; i < events.size(); ++i) EXPECT_EQ(events[i].sequence(), i + 1);
  EXPECT_EQ(events.back().operation().state(), v1::Operation::SUCCEEDED);
  EXPECT_EQ(WatchToTheEnd("a/1", 2).size(), events.size() - 2);
  EXPECT_EQ(WatchToTheEnd("a/1", events.size()).size(), 0u);
  WatchToTheEnd("unknown", 0, grpc::NOT_FOUND);
}

TEST_F(AgentTest, AWatchSeesWhatComesWhileItWatchesAndCanBeGivenUp) {
  absl::Notification go;
  verbs_[kTask].apply = [&](verbs::Execution& execution) {
    execution.Log("before");
    go.WaitForNotification();
    verbs_[kTask].there = true;
    return absl::OkStatus();
  };
  v1::Operation operation;
  ASSERT_TRUE(Start(Request("a"), &operation).ok());
  grpc::ClientContext context;
  v1::WatchOperationRequest request;
  request.set_id("a");
  auto reader = stub_->WatchOperation(&context, request);
  v1::OperationEvent event;
  while (reader->Read(&event) && event.log_line() != "before") continue;
  EXPECT_EQ(event.log_line(), "before");
  context.TryCancel();
  while (reader->Read(&event)) continue;
  EXPECT_EQ(reader->Finish().error_code(), grpc::CANCELLED);
  go.Notify();
  EXPECT_EQ(WatchToTheEnd("a", 0).back().operation().state(), v1::Operation::SUCCEEDED);
}

TEST_F(AgentTest, RefusalsHaveTheirCodes) {
  v1::Operation operation;
  ASSERT_TRUE(Start(Request("a"), &operation).ok());
  v1::StartOperationRequest other = Request("a");
  other.set_redo(true);
  EXPECT_EQ(Start(other, &operation).error_code(), grpc::ALREADY_EXISTS);
  v1::StartOperationRequest late = Request("b");
  late.set_boot_id("boot-0");
  EXPECT_EQ(Start(late, &operation).error_code(), grpc::FAILED_PRECONDITION);
  v1::StartOperationRequest old = Request("c");
  old.set_epoch(0);
  EXPECT_EQ(Start(old, &operation).error_code(), grpc::FAILED_PRECONDITION);
  EXPECT_EQ(Start(Request(""), &operation).error_code(), grpc::INVALID_ARGUMENT);
}

TEST_F(AgentTest, GetListCancelInventoryAndCheckAnswer) {
  v1::Operation operation;
  ASSERT_TRUE(Start(Request("a"), &operation).ok());
  WatchToTheEnd("a", 0);
  grpc::ClientContext get_context, list_context, cancel_context, inventory_context, check_context;
  v1::GetOperationRequest get;
  get.set_id("a");
  ASSERT_TRUE(stub_->GetOperation(&get_context, get, &operation).ok());
  EXPECT_EQ(operation.state(), v1::Operation::SUCCEEDED);
  v1::ListOperationsReply list;
  ASSERT_TRUE(stub_->ListOperations(&list_context, {}, &list).ok());
  EXPECT_EQ(list.operations_size(), 1);
  v1::CancelOperationRequest cancel;
  cancel.set_id("a");
  ASSERT_TRUE(stub_->CancelOperation(&cancel_context, cancel, &operation).ok());
  EXPECT_EQ(operation.state(), v1::Operation::SUCCEEDED);
  v1::Inventory inventory;
  ASSERT_TRUE(stub_->GetInventory(&inventory_context, {}, &inventory).ok());
  EXPECT_EQ(inventory.node(), "node-a");

  v1::CheckRequest check;
  *check.add_subjects() = SubjectOf("npu@node-a");
  *check.add_subjects() = SubjectOf(kTask);
  verbs_["npu@node-a"].uses_npu_tools = true;
  v1::CheckReply reply;
  ASSERT_TRUE(stub_->Check(&check_context, check, &reply).ok());
  ASSERT_EQ(reply.observations_size(), 2);
  EXPECT_EQ(reply.observations(0).observation().state(), v1::Observation::ABSENT);
  EXPECT_EQ(reply.observations(1).observation().token(), "token-1");
  EXPECT_EQ(reply.boot_id(), "boot-1");
}

TEST_F(AgentTest, ObserveAnswersEachSubjectFirstAndThenItsChanges) {
  Observation observation(*stub_);
  v1::ObserveReply first = observation.Read();
  EXPECT_EQ(first.agent_version(), "1.2.3");
  EXPECT_EQ(first.boot_id(), "boot-1");
  observation.Check({SubjectOf(kTask), SubjectOf("bad@node-a")});
  v1::TaskObservation seen = observation.Next(kTask);
  EXPECT_EQ(seen.observation().state(), v1::Observation::ABSENT);
  EXPECT_EQ(seen.stamp(), "stamp-1");

  v1::Operation operation;
  ASSERT_TRUE(Start(Request("a"), &operation).ok());
  seen = observation.Next(kTask);
  EXPECT_EQ(seen.observation().token(), "token-1") << "the end of an operation is a reason to look";

  // Nothing changed, but the stamp is new: a first answer again.
  observation.Check({SubjectOf(kTask, "stamp-2")});
  seen = observation.Next(kTask);
  EXPECT_EQ(seen.stamp(), "stamp-2");
  EXPECT_EQ(seen.observation().token(), "token-1");
}

TEST_F(AgentTest, ObserveSaysThatASubjectIsNotUnderstood) {
  Observation observation(*stub_);
  observation.Check({SubjectOf("bad@node-a")});
  v1::TaskObservation seen = observation.Next("bad@node-a");
  EXPECT_EQ(seen.observation().state(), v1::Observation::UNKNOWN);
  EXPECT_EQ(seen.observation().reason(), "version is missing");
}

TEST_F(AgentTest, ADeadContainerIsSeenByDockersEvent) {
  node_.docker().AddContainer({.id = "c1", .name = "vllm", .status = "running"});
  operations::FakeScript& container = verbs_["container@node-a"];
  container.check = [this] {
    auto found = node_.docker().InspectContainer("vllm");
    return found.ok() && found->status == "running" ? Present("c1") : Absent("it ended");
  };
  Observation observation(*stub_);
  observation.Check({SubjectOf("container@node-a")});
  EXPECT_EQ(observation.Next("container@node-a").observation().state(), v1::Observation::PRESENT);
  while (node_.docker().watchers() == 0) std::this_thread::yield();
  node_.docker().Kill("vllm");
  EXPECT_EQ(observation.Next("container@node-a").observation().reason(), "it ended");
}

TEST_F(AgentTest, WhatChangesByItselfIsSeenAtTheNextPeriod) {
  operations::FakeScript& driver = verbs_[kTask];
  driver.period = absl::Milliseconds(1);
  driver.there = true;
  Observation observation(*stub_);
  observation.Check({SubjectOf(kTask)});
  EXPECT_EQ(observation.Next(kTask).observation().state(), v1::Observation::PRESENT);
  driver.there = false;
  EXPECT_EQ(observation.Next(kTask).observation().state(), v1::Observation::ABSENT);
}

TEST_F(AgentTest, WhatCannotBeSeenIsLookedAtAgainSoon) {
  operations::FakeScript& driver = verbs_[kTask];
  ASSERT_EQ(driver.period, absl::Hours(1));
  std::atomic<bool> blind = true;
  driver.check = [&blind] {
    v1::Observation seen = operations::Present("token-1");
    if (blind) seen.set_state(v1::Observation::UNKNOWN);
    return seen;
  };
  Observation observation(*stub_);
  observation.Check({SubjectOf(kTask)});
  EXPECT_EQ(observation.Next(kTask).observation().state(), v1::Observation::UNKNOWN);
  blind = false;
  node_.clock().Advance(absl::Seconds(10));
  EXPECT_EQ(observation.Next(kTask).observation().state(), v1::Observation::PRESENT);
}

TEST_F(AgentTest, WhatIsCheckedAgainAndSaysTheSameIsToldByItsTimeOnly) {
  verbs_[kTask].period = absl::Milliseconds(1);
  verbs_[kTask].there = true;
  Observation observation(*stub_);
  observation.Check({SubjectOf(kTask)});
  const v1::TaskObservation first = observation.Next(kTask);
  v1::ObserveReply reply;
  while (reply.unchanged().empty()) reply = observation.Read();
  EXPECT_EQ(reply.observations_size(), 0);
  const absl::Time checked = FromTimestamp(reply.unchanged().at(kTask));
  EXPECT_GE(checked, FromTimestamp(first.time()));
  EXPECT_LE(checked, FromTimestamp(reply.time()));
}

TEST_F(AgentTest, AnIdleStreamShowsSignsOfLife) {
  Observation observation(*stub_);
  EXPECT_EQ(observation.Read().observations_size(), 0);
  EXPECT_EQ(observation.Read().observations_size(), 0);
}

TEST_F(AgentTest, StopEndsStreamsAndTheNextAgentKnowsTheOperations) {
  v1::Operation operation;
  ASSERT_TRUE(Start(Request("a"), &operation).ok());
  WatchToTheEnd("a", 0);
  grpc::ClientContext context;
  auto stream = stub_->Observe(&context);
  v1::ObserveReply reply;
  ASSERT_TRUE(stream->Read(&reply));
  EXPECT_TRUE(agent_->Stop(absl::Seconds(60)));
  while (stream->Read(&reply)) continue;
  EXPECT_TRUE(stream->Finish().ok());
  StartAgent();
  ASSERT_TRUE(Start(Request("a"), &operation).ok());
  EXPECT_EQ(operation.state(), v1::Operation::SUCCEEDED);
  EXPECT_EQ(verbs_[kTask].applies, 1);
}

}  // namespace
}  // namespace npufleet::service
