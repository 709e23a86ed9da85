// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/verbs/container_exec.h"
#include "agent/verbs/ray.h"
#include "agent/verbs/start_ray_head/start_ray_head.h"
#include "agent/verbs/start_ray_worker/start_ray_worker.h"
#include "common/failure.h"
#include "tests/agent/verbs/container_node.h"

namespace npufleet::verbs {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr char kSession[] = "session_2026-11-23_23-17-56_868393_443";
constexpr char kGcs[] = "192.168.0.15:6379";

// As Ray 2.60 starts them.
std::vector<std::string> GcsArgv() {
  return {"/usr/lib/python3/ray/core/src/ray/gcs/gcs_server", "--gcs_server_port=6379",
          "--node-ip-address=192.168.0.15", std::string("--session-name=") + kSession};
}

std::vector<std::string> RayletArgv(const std::string& node) {
  std::vector<std::string> argv = {
      "/usr/lib/python3/ray/core/src/ray/raylet/raylet", "--node_ip_address=192.168.0.15",
      "--python_worker_command=python3 default_worker.py --session-name=nested",
      "--gcs-address=192.168.0.15:6379", std::string("--session-name=") + kSession};
  if (!node.empty()) argv.push_back("--node_id=" + node);
  return argv;
}

std::map<std::string, std::string> Stamped(const std::string& stamp) {
  return {{kTaskVariable, "ray@node-a"}, {kStampVariable, stamp}};
}

class RayTest : public ::testing::Test {
 protected:
  RayTest() {
    node_.docker().OnExec(EntryArgv({"ray", "stop", "--force"}),
                          [this](const host::ExecSpec&) -> absl::StatusOr<host::ExecResult> {
                            node_.EndAll();
                            return host::ExecResult{0, "Stopped all 4 Ray processes.\n", ""};
                          });
  }

  // `ray start` succeeds, and these processes are there afterwards.
  void OnRayStart(std::function<void()> start) {
    node_.docker().OnExec(EntryArgv({"ray", "start"}),
                          [start](const host::ExecSpec&) -> absl::StatusOr<host::ExecResult> {
                            start();
                            return host::ExecResult{0, "Ray runtime started.\n", ""};
                          });
  }

  void AnswerAsk(const std::string& answer) {
    node_.docker().OnExec(EntryArgv({"python3", "-c"}), "INFO worker.py connecting\n\n" + answer);
  }

  std::vector<host::ExecSpec> Starts() { return node_.docker().Execs(EntryArgv({"ray", "start"})); }

  ContainerNode node_;
  fakes::FakeExecution execution_{node_.host()};
};

class StartRayHeadTest : public RayTest {
 protected:
  StartRayHeadTest() {
    start_.set_container(kContainer);
    start_.set_address("192.168.0.15");
    start_.set_nic("enp67s0f0");
    start_.set_port(6379);
    for (uint32_t chip = 0; chip < 8; ++chip) start_.add_chips(chip);
    (*start_.mutable_environment())["HCCL_IF_IP"] = "192.168.0.15";
    start_.add_extra_args("--num-cpus=16");
    OnRayStart([this] { StartHead("h1"); });
  }

  void StartHead(const std::string& stamp) {
    node_.Start(501, GcsArgv(), Stamped(stamp));
    node_.Start(502, RayletArgv("aa11"), Stamped(stamp));
  }

  std::unique_ptr<Verb> Make() {
    v1::Subject subject;
    subject.set_task("ray-head@node-a");
    subject.set_stamp("h1");
    return MakeStartRayHead(start_, subject, node_.host()).value();
  }

  v1::StartRayHead start_;
};

TEST_F(StartRayHeadTest, StartsWithTheStampAndNoGpus) {
  std::unique_ptr<Verb> verb = Make();
  EXPECT_EQ(verb->Check().state(), v1::Observation::ABSENT);
  ASSERT_TRUE(verb->Apply(execution_).ok());
  ASSERT_EQ(Starts().size(), 1u);
  EXPECT_EQ(Starts()[0].argv,
            EntryArgv({"ray", "start", "--head", "--port=6379", "--node-ip-address=192.168.0.15",
                       "--resources={\"NPU\": 8}", "--disable-usage-stats", "--num-cpus=16"}));
  EXPECT_EQ(Starts()[0].environment.at("HCCL_IF_IP"), "192.168.0.15");
  EXPECT_EQ(Starts()[0].environment.at(kTaskVariable), "ray-head@node-a");
  EXPECT_EQ(Starts()[0].environment.at(kStampVariable), "h1");
  const v1::Observation observation = verb->Check();
  EXPECT_EQ(observation.state(), v1::Observation::PRESENT);
  EXPECT_EQ(observation.token(), kSession);
  EXPECT_THAT(node_.docker().Execs(EntryArgv({"ray", "stop"})), IsEmpty());
}

TEST_F(StartRayHeadTest, StopsWhatIsThereBeforeItStarts) {
  StartHead("h0");
  std::unique_ptr<Verb> verb = Make();
  EXPECT_EQ(verb->Check().state(), v1::Observation::ABSENT);
  EXPECT_EQ(verb->Check().token(), kSession);
  ASSERT_TRUE(verb->Apply(execution_).ok());
  EXPECT_EQ(node_.docker().Execs(EntryArgv({"ray", "stop"})).size(), 1u);
  EXPECT_EQ(verb->Check().state(), v1::Observation::PRESENT);
}

TEST_F(StartRayHeadTest, KillsWhatRayStopLeaves) {
  StartHead("h0");
  node_.docker().OnExec(EntryArgv({"ray", "stop", "--force"}),
                        "Stopped only 3 out of 4 Ray processes\n");
  ASSERT_TRUE(Make()->Stop(execution_).ok());
  EXPECT_THAT(node_.system().Signals(), Contains(std::pair(501, 9)));
  EXPECT_THAT(node_.system().Signals(), Contains(std::pair(502, 9)));
}

TEST_F(StartRayHeadTest, HalfARayIsAbsent) {
  StartHead("h1");
  node_.End(502);
  const v1::Observation observation = Make()->Check();
  EXPECT_EQ(observation.state(), v1::Observation::ABSENT);
  EXPECT_THAT(observation.reason(), HasSubstr("raylet"));
  EXPECT_EQ(observation.token(), kSession);
}

TEST_F(StartRayHeadTest, IsAbsentWithItsContainerAndUnknownWithoutDocker) {
  StartHead("h1");
  node_.docker().Kill(kContainer);
  std::unique_ptr<Verb> verb = Make();
  EXPECT_EQ(verb->Check().state(), v1::Observation::ABSENT);
  EXPECT_TRUE(verb->Stop(execution_).ok());
  node_.docker().SetDown(true);
  node_.system().OnSystemctl({"is-active"}, "active\n");
  EXPECT_EQ(verb->Check().state(), v1::Observation::UNKNOWN);
}

TEST_F(StartRayHeadTest, NicAndAddressMustBeThisHosts) {
  start_.set_address("192.168.0.16");
  EXPECT_EQ(ToFailure(Make()->Apply(execution_)).signature(), "PRE-06");
  start_.set_address("192.168.0.15");
  start_.set_nic("enp99s0");
  EXPECT_EQ(ToFailure(Make()->Apply(execution_)).signature(), "PRE-07");
  start_.set_nic("lo");
  EXPECT_EQ(ToFailure(Make()->Apply(execution_)).class_(), v1::Failure::CONFIG);
  EXPECT_THAT(Starts(), IsEmpty());
}

TEST_F(StartRayHeadTest, AFailedStartIsClassifiedAndLeavesNothing) {
  node_.docker().OnExec(EntryArgv({"ray", "start"}),
                        [this](const host::ExecSpec&) -> absl::StatusOr<host::ExecResult> {
                          StartHead("h1");
                          return host::ExecResult{
                              1, "",
                              "Traceback\nValueError: Attempting to start raylet with 8 NPU, but "
                              "ASCEND_RT_VISIBLE_DEVICES contains ['0', '1', '2', '3'].\n"};
                        });
  std::unique_ptr<Verb> verb = Make();
  const v1::Failure failure = ToFailure(verb->Apply(execution_));
  EXPECT_EQ(failure.signature(), "RAH-04");
  EXPECT_EQ(failure.class_(), v1::Failure::CONFIG);
  EXPECT_GT(failure.log_tail_size(), 0);
  EXPECT_EQ(verb->Check().state(), v1::Observation::ABSENT);
}

TEST_F(StartRayHeadTest, EndsWithItsOperation) {
  execution_.questions_until_cancel = 0;
  EXPECT_TRUE(absl::IsCancelled(Make()->Apply(execution_)));
  EXPECT_THAT(Starts(), IsEmpty());
}

class StartRayWorkerTest : public RayTest {
 protected:
  // Node ids are kept in the process as joined: each test has its own.
  StartRayWorkerTest()
      : id_(std::string("b") + ::testing::UnitTest::GetInstance()->current_test_info()->name()) {
    start_.set_container(kContainer);
    start_.set_address("192.168.0.15");
    start_.set_nic("enp67s0f0");
    start_.set_head_address("192.168.0.14");
    start_.set_head_port(6379);
    start_.add_chips(0);
    start_.add_chips(1);
    OnRayStart([this] { StartRaylet("w1"); });
    AnswerAsk(
        "@@{\"nodes\": [{\"id\": \"aa11\", \"address\": \"192.168.0.14\", \"npu\": 2.0}, "
        "{\"id\": \"" +
        id_ +
        "\", \"address\": \"192.168.0.15\", \"npu\": 2.0}], "
        "\"total\": 4.0, \"free\": 4.0}\n");
  }

  void StartRaylet(const std::string& stamp) {
    node_.Start(602, RayletArgv(id_), Stamped(stamp));
    node_.system().AddConnection(602, "192.168.0.14", 6379);
  }

  std::unique_ptr<Verb> Make() {
    v1::Subject subject;
    subject.set_task("ray-worker@node-b");
    subject.set_stamp("w1");
    return MakeStartRayWorker(start_, subject, node_.host()).value();
  }

  size_t Asks() { return node_.docker().Execs(EntryArgv({"python3", "-c"})).size(); }

  const std::string id_;
  v1::StartRayWorker start_;
};

TEST_F(StartRayWorkerTest, JoinsAndIsNamedByItsRayNode) {
  std::unique_ptr<Verb> verb = Make();
  EXPECT_EQ(verb->Check().state(), v1::Observation::ABSENT);
  ASSERT_TRUE(verb->Apply(execution_).ok());
  EXPECT_EQ(Starts()[0].argv, EntryArgv({"ray", "start", "--address=192.168.0.14:6379",
                                         "--node-ip-address=192.168.0.15",
                                         "--resources={\"NPU\": 2}", "--disable-usage-stats"}));
  EXPECT_EQ(verb->Check().state(), v1::Observation::PRESENT);
  EXPECT_EQ(verb->Check().token(), id_);
  EXPECT_EQ(Asks(), 1u);
}

TEST_F(StartRayWorkerTest, AFoundRayletIsAskedForOnce) {
  StartRaylet("w1");
  EXPECT_EQ(Make()->Check().state(), v1::Observation::PRESENT);
  EXPECT_EQ(Make()->Check().state(), v1::Observation::PRESENT);
  EXPECT_EQ(Asks(), 1u);
}

TEST_F(StartRayWorkerTest, AZombieThatTheHeadDoesNotListIsAbsent) {
  StartRaylet("w1");
  AnswerAsk("@@{\"nodes\": [{\"id\": \"aa11\"}], \"total\": 2.0, \"free\": 2.0}\n");
  const v1::Observation observation = Make()->Check();
  EXPECT_EQ(observation.state(), v1::Observation::ABSENT);
  EXPECT_EQ(observation.token(), id_);
}

TEST_F(StartRayWorkerTest, WithoutAConnectionItIsAbsent) {
  ASSERT_TRUE(Make()->Apply(execution_).ok());
  node_.system().RemoveConnections(602);
  const v1::Observation observation = Make()->Check();
  EXPECT_EQ(observation.state(), v1::Observation::ABSENT);
  EXPECT_THAT(observation.reason(), HasSubstr("192.168.0.14:6379"));
}

TEST_F(StartRayWorkerTest, IsUnknownWhileRayDoesNotAnswer) {
  StartRaylet("w1");
  node_.docker().OnExec(EntryArgv({"python3", "-c"}), "", "ConnectionError: no GCS\n", 1);
  const v1::Observation observation = Make()->Check();
  EXPECT_EQ(observation.state(), v1::Observation::UNKNOWN);
  EXPECT_THAT(observation.reason(), HasSubstr("ConnectionError"));
}

TEST_F(StartRayWorkerTest, OneOfAnotherWantIsNamed) {
  StartRaylet("w0");
  EXPECT_EQ(Make()->Check().state(), v1::Observation::ABSENT);
  EXPECT_EQ(Make()->Check().token(), id_);
  ASSERT_TRUE(Make()->Apply(execution_).ok());
  EXPECT_EQ(node_.docker().Execs(EntryArgv({"ray", "stop"})).size(), 1u);
}

TEST_F(StartRayWorkerTest, ANodeThatIsNeverListedFailsAtItsDeadline) {
  AnswerAsk("@@{\"nodes\": [], \"total\": 0, \"free\": 0}\n");
  const v1::Failure failure = ToFailure(Make()->Apply(execution_));
  EXPECT_EQ(failure.class_(), v1::Failure::TRANSIENT);
  EXPECT_EQ(failure.signature(), "RAW-01");
}

TEST_F(StartRayWorkerTest, StopsByForce) {
  StartRaylet("w1");
  ASSERT_TRUE(Make()->Stop(execution_).ok());
  EXPECT_EQ(Make()->Check().state(), v1::Observation::ABSENT);
  ASSERT_TRUE(Make()->Stop(execution_).ok());
}

// Before 2.49 raylet's argv names no node; its agents' environment does.
TEST_F(StartRayWorkerTest, OlderRayNamesItsNodeInTheAgents) {
  node_.Start(602, RayletArgv(""), Stamped("w1"));
  node_.system().AddConnection(602, "192.168.0.14", 6379);
  EXPECT_EQ(Make()->Check().state(), v1::Observation::UNKNOWN);
  std::map<std::string, std::string> environment = Stamped("w1");
  environment["RAY_NODE_ID"] = id_;
  node_.Start(603, {"ray::DashboardAgent"}, environment);
  EXPECT_EQ(Make()->Check().token(), id_);
}

TEST(RayAnswerTest, IsFoundAmongOtherLines) {
  const std::optional<RayCluster> cluster = ParseCluster(
      "2026 INFO Connecting to existing Ray cluster\r\n@@{\"nodes\": [{\"id\": \"a\", \"address\": "
      "\"192.168.0.15\", \"npu\": 8.0}], \"total\": 16.0, \"free\": 0}\nbye\n");
  ASSERT_TRUE(cluster.has_value());
  EXPECT_EQ(cluster->nodes[0].address, "192.168.0.15");
  EXPECT_EQ(cluster->npu_total, 16);
  EXPECT_EQ(cluster->npu_free, 0);
  for (const char* garbage : {"", "@@", "@@[]", "@@{\"nodes\": 3}", "@@{\"nodes\": [", "\xff@@"}) {
    EXPECT_EQ(ParseCluster(garbage), std::nullopt) << garbage;
  }
}

TEST(RayArgvTest, TakesBothSpellings) {
  EXPECT_EQ(ArgumentOf({"raylet", "--node_id=a"}, "node-id"), "a");
  EXPECT_EQ(ArgumentOf({"raylet", "--node-id", "b"}, "node-id"), "b");
  EXPECT_EQ(ArgumentOf({"raylet", "--node-id"}, "node-id"), "");
}

}  // namespace
}  // namespace npufleet::verbs
