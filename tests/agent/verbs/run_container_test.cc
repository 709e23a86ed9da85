// SPDX-License-Identifier: Apache-2.0
#include "agent/verbs/run_container/run_container.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/verbs/container_exec.h"
#include "common/failure.h"
#include "tests/fakes/fake_execution.h"
#include "tests/fakes/fake_host.h"

namespace npufleet::verbs {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr char kImage[] = "quay.io/ascend/vllm-ascend:v0.8.4rc2-openeuler";

// Section 3.3 of the runbook.
v1::Subject RunbookSubject() {
  v1::Subject subject;
  subject.set_task("container@node-a");
  subject.set_stamp("s1");
  v1::RunContainer& run = *subject.mutable_verb()->mutable_run_container();
  run.set_name("vllm-server-qwen3-235b");
  run.set_image(kImage);
  run.set_privileged(true);
  run.set_network("host");
  run.set_shm_size("500g");
  for (int chip = 0; chip < 8; ++chip) run.add_devices("/dev/davinci" + std::to_string(chip));
  for (const char* device : {"/dev/davinci_manager", "/dev/hisi_hdc", "/dev/devmm_svm"}) {
    run.add_devices(device);
  }
  for (const char* volume : {"/usr/local/dcmi:/usr/local/dcmi", "/data2:/data2"}) {
    run.add_volumes(volume);
  }
  run.add_command("/bin/bash");
  return subject;
}

class RunContainerTest : public ::testing::Test {
 protected:
  RunContainerTest() {
    host::DockerImage image;
    image.id = "sha256:aa";
    image.tags = {kImage};
    image.architecture = "arm64";
    node_.docker().AddImage(image);
    node_.docker().OnExec({"true"}, "");
  }

  std::unique_ptr<Verb> Make(const v1::Subject& subject) {
    return MakeRunContainer(subject.verb().run_container(), subject, node_.host()).value();
  }

  void AddOurs(const std::string& stamp) {
    host::DockerContainer container;
    container.name = "vllm-server-qwen3-235b";
    container.image_id = "sha256:aa";
    container.labels = {{kTaskLabel, "container@node-a"}, {kStampLabel, stamp}};
    node_.docker().AddContainer(container);
  }

  void AddForeign() {
    host::DockerContainer container;
    container.name = "vllm-server-qwen3-235b";
    container.image_id = "sha256:bb";
    node_.docker().AddContainer(container);
  }

  fakes::FakeHost node_;
  fakes::FakeExecution execution_{node_.host()};
};

TEST_F(RunContainerTest, ADaemonThatIsDownRunsNoContainer) {
  AddOurs("s1");
  std::unique_ptr<Verb> verb = Make(RunbookSubject());
  node_.docker().SetDown(true);
  node_.system().OnSystemctl({"is-active"}, "activating\n", "", 3);
  EXPECT_EQ(verb->Check().state(), v1::Observation::UNKNOWN);
  EXPECT_FALSE(verb->Stop(execution_).ok());
  node_.system().OnSystemctl({"is-active"}, "inactive\n", "", 3);
  EXPECT_EQ(verb->Check().state(), v1::Observation::ABSENT);
  EXPECT_TRUE(verb->Stop(execution_).ok()) << "what does not run need not be stopped";
}

TEST_F(RunContainerTest, RunsWithTheRunbooksFlags) {
  std::unique_ptr<Verb> verb = Make(RunbookSubject());
  EXPECT_EQ(verb->Check().state(), v1::Observation::ABSENT);
  ASSERT_TRUE(verb->Apply(execution_).ok());
  ASSERT_EQ(node_.docker().Runs().size(), 1u);
  const host::ContainerSpec spec = node_.docker().Runs()[0];
  EXPECT_EQ(spec.image, kImage);
  EXPECT_TRUE(spec.privileged);
  EXPECT_EQ(spec.network, "host");
  EXPECT_EQ(spec.shm_size_bytes, 500ull << 30);
  EXPECT_EQ(spec.devices.size(), 11u);
  EXPECT_THAT(spec.command, ElementsAre("/bin/bash"));
  EXPECT_EQ(spec.labels.at(kStampLabel), "s1");
  const v1::Observation observation = verb->Check();
  EXPECT_EQ(observation.state(), v1::Observation::PRESENT);
  const host::DockerContainer container =
      node_.docker().InspectContainer("vllm-server-qwen3-235b").value();
  EXPECT_EQ(observation.token(), container.id + "@" + container.started_at);
  EXPECT_EQ(verb->Check().token(), observation.token());
}

TEST_F(RunContainerTest, LogsTheLineThatAPersonWouldType) {
  ASSERT_TRUE(Make(RunbookSubject())->Apply(execution_).ok());
  EXPECT_THAT(execution_.lines,
              Contains("docker run -itd --restart=no --name vllm-server-qwen3-235b --privileged "
                       "--network host --shm-size 500g --device=/dev/davinci0 "
                       "--device=/dev/davinci1 --device=/dev/davinci2 --device=/dev/davinci3 "
                       "--device=/dev/davinci4 --device=/dev/davinci5 --device=/dev/davinci6 "
                       "--device=/dev/davinci7 --device=/dev/davinci_manager "
                       "--device=/dev/hisi_hdc --device=/dev/devmm_svm "
                       "-v /usr/local/dcmi:/usr/local/dcmi -v /data2:/data2 "
                       "--label npufleet.stamp=s1 --label npufleet.task=container@node-a " +
                       std::string(kImage) + " /bin/bash"));
}

TEST_F(RunContainerTest, TakesTheImageIdOfItsDependency) {
  v1::Subject subject = RunbookSubject();
  (*subject.mutable_inputs())["image"] = "sha256:aa";
  ASSERT_TRUE(Make(subject)->Apply(execution_).ok());
  EXPECT_EQ(node_.docker().Runs()[0].image, "sha256:aa");
}

TEST_F(RunContainerTest, AForeignContainerIsNeverTouched) {
  AddForeign();
  std::unique_ptr<Verb> verb = Make(RunbookSubject());
  const v1::Observation observation = verb->Check();
  EXPECT_EQ(observation.state(), v1::Observation::ABSENT);
  EXPECT_EQ(observation.failure().class_(), v1::Failure::NEEDS_OPERATOR);
  EXPECT_THAT(observation.failure().symptom(), HasSubstr("foreign container vllm-server-qwen3"));
  EXPECT_EQ(ToFailure(verb->Apply(execution_)).class_(), v1::Failure::NEEDS_OPERATOR);
  EXPECT_FALSE(verb->Stop(execution_).ok());
  EXPECT_THAT(node_.docker().Changes(), IsEmpty());
}

TEST_F(RunContainerTest, ReplacesOneThatWasMadeForAnotherWant) {
  AddOurs("s0");
  std::unique_ptr<Verb> verb = Make(RunbookSubject());
  EXPECT_EQ(verb->Check().state(), v1::Observation::ABSENT);
  EXPECT_THAT(verb->Check().token(), HasSubstr("@"));
  ASSERT_TRUE(verb->Apply(execution_).ok());
  EXPECT_THAT(node_.docker().Changes(),
              ElementsAre("stop vllm-server-qwen3-235b", "remove vllm-server-qwen3-235b",
                          "run vllm-server-qwen3-235b"));
  EXPECT_EQ(verb->Check().state(), v1::Observation::PRESENT);
}

TEST_F(RunContainerTest, OneOfAFormerNameStandsInItsPlaceAndIsReplaced) {
  AddOurs("s1");
  v1::Subject subject = RunbookSubject();
  subject.mutable_verb()->mutable_run_container()->set_name("renamed");
  std::unique_ptr<Verb> verb = Make(subject);
  const v1::Observation before = verb->Check();
  EXPECT_EQ(before.state(), v1::Observation::ABSENT);
  EXPECT_NE(before.token(), "") << "what stands on it is stopped first";
  EXPECT_THAT(before.reason(), HasSubstr("vllm-server-qwen3-235b runs in its place"));
  ASSERT_TRUE(verb->Apply(execution_).ok());
  EXPECT_EQ(verb->Check().state(), v1::Observation::PRESENT);
  EXPECT_EQ(node_.docker().ListContainers()->size(), 1u);
}

TEST_F(RunContainerTest, AStoppedOneHasNoToken) {
  AddOurs("s1");
  node_.docker().Kill("vllm-server-qwen3-235b", 137, true);
  const v1::Observation observation = Make(RunbookSubject())->Check();
  EXPECT_EQ(observation.state(), v1::Observation::ABSENT);
  EXPECT_EQ(observation.token(), "");
  EXPECT_THAT(observation.reason(), HasSubstr("want of memory"));
  ASSERT_TRUE(Make(RunbookSubject())->Apply(execution_).ok());
  EXPECT_THAT(node_.docker().Changes(),
              ElementsAre("remove vllm-server-qwen3-235b", "run vllm-server-qwen3-235b"));
}

TEST_F(RunContainerTest, CannotSeeWhileDockerDoesNotAnswer) {
  node_.docker().SetDown(true);
  node_.system().OnSystemctl({"is-active"}, "active\n");
  std::unique_ptr<Verb> verb = Make(RunbookSubject());
  EXPECT_EQ(verb->Check().state(), v1::Observation::UNKNOWN);
  EXPECT_EQ(ToFailure(verb->Apply(execution_)).class_(), v1::Failure::TRANSIENT);
}

TEST_F(RunContainerTest, AContainerWhoseCommandEndsIsAFailure) {
  node_.docker().OnExec({"true"},
                        [this](const host::ExecSpec&) -> absl::StatusOr<host::ExecResult> {
                          node_.docker().Kill("vllm-server-qwen3-235b", 0);
                          return host::ExecResult{};
                        });
  const v1::Failure failure = ToFailure(Make(RunbookSubject())->Apply(execution_));
  EXPECT_EQ(failure.signature(), "CTR-03");
  EXPECT_EQ(failure.class_(), v1::Failure::CONFIG);
}

TEST_F(RunContainerTest, TheDaemonsMessageIsClassified) {
  node_.docker().FailNextRun(absl::FailedPreconditionError(
      "error gathering device information while adding custom device \"/dev/davinci0\": no such "
      "file or directory"));
  const v1::Failure failure = ToFailure(Make(RunbookSubject())->Apply(execution_));
  EXPECT_EQ(failure.signature(), "CTR-02");
  EXPECT_EQ(failure.redo_stage(), "driver");
}

TEST_F(RunContainerTest, StopsAndRemoves) {
  AddOurs("s0");
  std::unique_ptr<Verb> verb = Make(RunbookSubject());
  ASSERT_TRUE(verb->Stop(execution_).ok());
  EXPECT_EQ(verb->Check().state(), v1::Observation::ABSENT);
  ASSERT_TRUE(verb->Stop(execution_).ok());
  EXPECT_THAT(node_.docker().Changes(),
              ElementsAre("stop vllm-server-qwen3-235b", "remove vllm-server-qwen3-235b"));
}

TEST_F(RunContainerTest, StartsNothingOnceCancelled) {
  execution_.questions_until_cancel = 0;
  EXPECT_TRUE(absl::IsCancelled(Make(RunbookSubject())->Apply(execution_)));
  EXPECT_THAT(node_.docker().Runs(), IsEmpty());
}

// The agent may have died between docker run and its report.
TEST_F(RunContainerTest, ASecondApplyStartsAFreshOne) {
  std::unique_ptr<Verb> verb = Make(RunbookSubject());
  ASSERT_TRUE(verb->Apply(execution_).ok());
  const std::string first = verb->Check().token();
  ASSERT_TRUE(verb->Apply(execution_).ok());
  EXPECT_EQ(verb->Check().state(), v1::Observation::PRESENT);
  EXPECT_NE(verb->Check().token(), first);
}

TEST_F(RunContainerTest, RefusesASizeThatIsNone) {
  v1::Subject subject = RunbookSubject();
  for (const char* size : {"lots", "-1g", "500x", "0"}) {
    subject.mutable_verb()->mutable_run_container()->set_shm_size(size);
    const absl::Status status =
        MakeRunContainer(subject.verb().run_container(), subject, node_.host()).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << size;
    EXPECT_THAT(std::string(status.message()), HasSubstr(size));
  }
  subject.mutable_verb()->mutable_run_container()->set_shm_size("1.5m");
  EXPECT_EQ(ToContainerSpec(subject.verb().run_container(), subject)->shm_size_bytes, 1572864u);
}

TEST(ShellLineTest, QuotesWhatNeedsIt) {
  EXPECT_EQ(ShellLine({"a", "", "b c", "d'e", "--x=1"}), "a '' 'b c' 'd'\\''e' --x=1");
}

}  // namespace
}  // namespace npufleet::verbs
