// SPDX-License-Identifier: Apache-2.0
//
// The controller's end of an agent against a whole agent: mutual TLS from one CA, real gRPC on a
// free port, the real journal; only the node and its verbs are fakes.
#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "agent/service/agent.h"
#include "common/tls/certificate_authority.h"
#include "common/tls/grpc_credentials.h"
#include "common/tls/keys.h"
#include "controller/fleet/agent_client.h"
#include "tests/agent/operations/fake_verb.h"
#include "tests/fakes/fake_host.h"
#include "tests/fakes/temporary_folder.h"

namespace npufleet {
namespace {

using operations::SubjectOf;

constexpr char kTask[] = "driver@node-a";
constexpr absl::Duration kLimit = absl::Seconds(30);

tls::Identity IdentityOf(const tls::CertificateAuthority& authority, const std::string& role,
                         const std::string& name) {
  tls::Identity identity;
  identity.ca_pem = authority.ca_pem();
  identity.key_pem = tls::GenerateKey().value();
  const std::string request = tls::MakeCsr(identity.key_pem, name, "127.0.0.1").value();
  identity.certificate_pem = authority.Sign(request, role, name, {"127.0.0.1"}).value();
  return identity;
}

// What the client told, in the order in which it did.
class Told {
 public:
  fleet::AgentEvents Events() {
    fleet::AgentEvents events;
    events.replied = [this](const v1::ObserveReply& reply, bool first) {
      absl::MutexLock lock(&mutex_);
      connections_ += first ? 1 : 0;
      for (const v1::TaskObservation& one : reply.observations())
        seen_[one.task()] = one.observation();
    };
    events.lost = [this](const std::string&) {
      absl::MutexLock lock(&mutex_);
      ++lost_;
    };
    events.progressed = [](const std::string&, const v1::Progress&) {};
    events.ended = [this](const v1::Operation& operation) {
      absl::MutexLock lock(&mutex_);
      ended_.push_back(operation);
    };
    events.refused = [this](const std::string& operation, const absl::Status&) {
      absl::MutexLock lock(&mutex_);
      refused_.push_back(operation);
    };
    return events;
  }

  template <typename Holds>
  bool Await(Holds holds) {
    absl::MutexLock lock(&mutex_);
    return mutex_.AwaitWithTimeout(absl::Condition(&holds), kLimit);
  }

  bool AwaitConnections(int count) {
    return Await([this, count] { return connections_ >= count; });
  }
  bool AwaitEnded(size_t count) {
    return Await([this, count] { return ended_.size() >= count; });
  }
  bool AwaitRefused(size_t count) {
    return Await([this, count] { return refused_.size() >= count; });
  }
  bool AwaitSeen(const std::string& task, v1::Observation::State state) {
    return Await([&] { return seen_.count(task) != 0 && seen_[task].state() == state; });
  }
  std::vector<v1::Operation> ended() {
    absl::MutexLock lock(&mutex_);
    return ended_;
  }
  int connections() {
    absl::MutexLock lock(&mutex_);
    return connections_;
  }

 private:
  absl::Mutex mutex_;
  int connections_ = 0;
  int lost_ = 0;
  std::map<std::string, v1::Observation> seen_;
  std::vector<v1::Operation> ended_;
  std::vector<std::string> refused_;
};

class AgentOverMtlsTest : public ::testing::Test {
 protected:
  AgentOverMtlsTest() : authority_(tls::CertificateAuthority::Create("fleet").value()) {
    node_.host().clock = &Clock::Real();
    const std::string identity = folder_.path() + "/identity";
    EXPECT_TRUE(tls::SaveIdentity(identity, IdentityOf(authority_, "agent", "node-a")).ok());
    StartAgent("127.0.0.1:0");
  }

  void StartAgent(const std::string& listen) {
    service::AgentOptions options;
    options.node = "node-a";
    options.listen = listen;
    options.state_directory = folder_.path() + "/state";
    auto credentials = service::ControllerOnly(folder_.path() + "/identity");
    ASSERT_TRUE(credentials.ok()) << credentials.status();
    options.credentials = *std::move(credentials);
    options.version = "1.2.3";
    options.make_verb = verbs_.factory();
    options.read_inventory = [](host::Host&) { return v1::Inventory(); };
    auto agent = service::Agent::Start(node_.host(), options);
    ASSERT_TRUE(agent.ok()) << agent.status();
    agent_ = *std::move(agent);
    address_ = absl::StrCat("127.0.0.1:", agent_->port());
  }

  std::unique_ptr<fleet::AgentClient> Connect(Told& told,
                                              const tls::CertificateAuthority& authority,
                                              const std::string& role) {
    auto client = std::make_unique<fleet::AgentClient>(
        address_, tls::ClientCredentials(IdentityOf(authority, role, "someone")), told.Events());
    client->Start();
    return client;
  }

  static v1::StartOperationRequest Request(const std::string& id,
                                           const std::string& boot_id = "boot-1") {
    v1::StartOperationRequest request;
    request.set_id(id);
    request.set_epoch(1);
    request.set_boot_id(boot_id);
    request.set_action(v1::Operation::APPLY);
    *request.mutable_subject() = SubjectOf(kTask);
    return request;
  }

  const tls::CertificateAuthority authority_;
  fakes::TemporaryFolder folder_;
  fakes::FakeHost node_;
  operations::FakeVerbs verbs_;
  std::atomic<bool> released_ = false;
  std::unique_ptr<service::Agent> agent_;
  std::string address_;
};

TEST_F(AgentOverMtlsTest, WhatTheControllerStartsIsDoneAndSeen) {
  Told told;
  auto client = Connect(told, authority_, "controller");
  ASSERT_TRUE(told.AwaitConnections(1));
  client->Check(SubjectOf(kTask));
  ASSERT_TRUE(told.AwaitSeen(kTask, v1::Observation::ABSENT));
  client->RunOperation(Request("1/d/1/driver@node-a/1"));
  ASSERT_TRUE(told.AwaitEnded(1));
  EXPECT_EQ(told.ended()[0].state(), v1::Operation::SUCCEEDED);
  EXPECT_TRUE(told.ended()[0].changed());
  EXPECT_TRUE(told.AwaitSeen(kTask, v1::Observation::PRESENT));
}

TEST_F(AgentOverMtlsTest, AnOperationOutlivesTheControllerThatStartedIt) {
  verbs_[kTask].apply = [this](verbs::Execution& execution) {
    while (!execution.IsCancelled() && !released_) absl::SleepFor(absl::Milliseconds(1));
    verbs_[kTask].there = true;
    return absl::OkStatus();
  };
  const std::string id = "1/d/1/driver@node-a/1";
  {
    Told told;
    auto client = Connect(told, authority_, "controller");
    ASSERT_TRUE(told.AwaitConnections(1));
    client->RunOperation(Request(id));
    while (verbs_[kTask].applies == 0) absl::SleepFor(absl::Milliseconds(1));
  }
  released_ = true;
  // The next controller performs what was outstanding again, by the same id.
  Told told;
  auto client = Connect(told, authority_, "controller");
  client->RunOperation(Request(id));
  ASSERT_TRUE(told.AwaitEnded(1));
  EXPECT_EQ(told.ended()[0].state(), v1::Operation::SUCCEEDED);
  EXPECT_EQ(verbs_[kTask].applies, 1);
}

TEST_F(AgentOverMtlsTest, AnOperationThatTheNextControllerWordsOtherwiseIsTheSameOne) {
  verbs_[kTask].apply = [](verbs::Execution& execution) {
    while (!execution.IsCancelled()) absl::SleepFor(absl::Milliseconds(1));
    return absl::CancelledError("cancelled");
  };
  v1::StartOperationRequest request = Request("1/d/1/driver@node-a/1");
  {
    Told told;
    auto client = Connect(told, authority_, "controller");
    client->RunOperation(request);
    while (verbs_[kTask].applies == 0) absl::SleepFor(absl::Milliseconds(1));
  }
  request.mutable_subject()->mutable_verb()->mutable_install_driver()->set_version("another");
  Told told;
  auto client = Connect(told, authority_, "controller");
  client->RunOperation(request);
  client->CancelOperation(request.id());
  ASSERT_TRUE(told.AwaitEnded(1));
  EXPECT_EQ(told.ended()[0].state(), v1::Operation::CANCELLED);
  EXPECT_EQ(verbs_[kTask].applies, 1);
  // Nor does it matter when it has ended meanwhile.
  Told later;
  auto another = Connect(later, authority_, "controller");
  another->RunOperation(request);
  ASSERT_TRUE(later.AwaitEnded(1));
  EXPECT_EQ(later.ended()[0].state(), v1::Operation::CANCELLED);
}

TEST_F(AgentOverMtlsTest, AnAgentThatComesBackIsConnectedAgain) {
  Told told;
  auto client = Connect(told, authority_, "controller");
  ASSERT_TRUE(told.AwaitConnections(1));
  const std::string address = address_;
  agent_.reset();
  StartAgent(address);
  EXPECT_TRUE(told.AwaitConnections(2));
  client->RunOperation(Request("1/d/1/driver@node-a/1"));
  EXPECT_TRUE(told.AwaitEnded(1));
}

TEST_F(AgentOverMtlsTest, WhatWasDecidedOnAnotherBootIsRefused) {
  Told told;
  auto client = Connect(told, authority_, "controller");
  client->RunOperation(Request("1/d/1/driver@node-a/1", "boot-0"));
  EXPECT_TRUE(told.AwaitRefused(1));
  EXPECT_EQ(verbs_[kTask].applies, 0);
}

TEST_F(AgentOverMtlsTest, OnlyTheControllerOfThisFleetIsServed) {
  const auto stranger = tls::CertificateAuthority::Create("another fleet").value();
  for (const auto& [authority, role] :
       {std::pair(&authority_, "admin"), std::pair(&authority_, "agent"),
        std::pair(&stranger, "controller")}) {
    Told told;
    auto client = Connect(told, *authority, role);
    EXPECT_FALSE(client->GetInventory(absl::Seconds(5)).ok()) << role;
    EXPECT_EQ(told.connections(), 0) << role;
  }
  Told told;
  auto client = Connect(told, authority_, "controller");
  EXPECT_TRUE(client->GetInventory(absl::Seconds(20)).ok());
}

}  // namespace
}  // namespace npufleet
