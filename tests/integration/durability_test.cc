// SPDX-License-Identifier: Apache-2.0
//
// Loss of power, at any moment: what was accepted is still known, and is done once.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <map>

#include "absl/strings/str_cat.h"
#include "agent/artifacts/fetch_tree.h"
#include "agent/operations/journal.h"
#include "agent/verbs/install_driver/driver_state.h"
#include "agent/verbs/mark.h"
#include "common/tls/keys.h"
#include "tests/integration/fleet.h"
#include "tests/integration/lossy_disk.h"

namespace npufleet::integration {
namespace {

using ::testing::Each;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;

TEST(LossyDiskTest, KeepsWhatWasSyncedAndNothingElse) {
  fakes::TemporaryFolder before, after;
  const LossyDisk disk(before.path());
  const host::Filesystem files(before.path());
  ASSERT_TRUE(files.Write("/a/b/synced", "1").ok());
  std::filesystem::create_directory(before.path() + "/a/lost");
  const auto appended = files.OpenToAppend("/a/b/appended");
  ASSERT_TRUE((*appended)->Append("kept").ok());
  ASSERT_TRUE((*appended)->Sync().ok());
  ASSERT_TRUE((*appended)->Append("lost").ok());
  ASSERT_TRUE(files.Write("/a/b/synced", "2").ok());
  disk.LosePower(after.path());
  const host::Filesystem left(after.path());
  EXPECT_EQ(left.Read("/a/b/synced").value(), "2");
  EXPECT_EQ(left.Read("/a/b/appended").value(), "kept");
  EXPECT_FALSE(left.Exists("/a/lost"));
}

TEST(DurabilityTest, AMarkIsThereAfterItWasWrittenAndGoneAfterItWasRemoved) {
  fakes::TemporaryFolder during, after;
  fakes::FakeHost node;
  const LossyDisk disk(node.root());
  const auto mark_after_power_loss = [&](const fakes::TemporaryFolder& target) {
    disk.LosePower(target.path());
    fakes::FakeHost booted;
    booted.host().filesystem = std::make_unique<host::Filesystem>(target.path());
    return verbs::ReadMark(booted.host(), "install_driver");
  };
  ASSERT_TRUE(verbs::WriteMark(node.host(), "install_driver", "driver 25.0.rc1").ok());
  EXPECT_EQ(mark_after_power_loss(during), "driver 25.0.rc1");
  ASSERT_TRUE(verbs::RemoveMark(node.host(), "install_driver").ok());
  EXPECT_EQ(mark_after_power_loss(after), std::nullopt);
}

// What a power cut leaves at each moment of `work`, one after another.
void AtEachPowerCut(LossyDisk& disk, const std::function<void()>& work,
                    const std::function<void(fakes::FakeHost& booted)>& judge) {
  int cuts = 0;
  bool judging = false;  // what is done there is on another disk, and calls fsync, too
  disk.AfterEachSync([&] {
    if (judging) return;
    judging = true;
    fakes::TemporaryFolder left;
    disk.LosePower(left.path() + "/disk");
    fakes::FakeHost booted;
    booted.system().SetBootId("the-boot-after");
    booted.host().filesystem = std::make_unique<host::Filesystem>(left.path() + "/disk");
    judge(booted);
    ++cuts;
    judging = false;
  });
  work();
  disk.AfterEachSync(nullptr);
  EXPECT_GT(cuts, 3);
}

TEST(DurabilityTest, WithoutTheMarkOfADriverItsNoteIsThere) {
  fakes::FakeHost node;
  LossyDisk disk(node.root());
  ASSERT_TRUE(verbs::WriteMark(node.host(), "install_driver", "driver 25.0.rc1").ok());
  ASSERT_TRUE(verbs::NoteInstalled(node.host(), "driver", "24.1.rc3", false).ok());
  bool is_unmarked = false;
  const auto work = [&] {
    ASSERT_TRUE(verbs::NoteInstalled(node.host(), "driver", "25.0.rc1", false).ok());
    ASSERT_TRUE(verbs::NoteInstalled(node.host(), "firmware", "7.7.0", true).ok());
    ASSERT_TRUE(verbs::RemoveMark(node.host(), "install_driver").ok());
  };
  AtEachPowerCut(disk, work, [&](fakes::FakeHost& booted) {
    ASSERT_TRUE(
        booted.files().Write("/usr/local/Ascend/driver/version.info", "Version=25.0.rc1\n").ok());
    const auto state = verbs::ReadPackageState(booted.host(), "/usr/local/Ascend", "driver");
    ASSERT_TRUE(state.ok()) << state.status();
    EXPECT_THAT(state->noted, ::testing::AnyOf("24.1.rc3", "25.0.rc1"));
    if (verbs::ReadMark(booted.host(), "install_driver")) return;
    is_unmarked = true;
    EXPECT_EQ(state->noted, "25.0.rc1");
    EXPECT_TRUE(state->in_effect);  // the boot is another
  });
  EXPECT_TRUE(is_unmarked);
}

// A model of two files of which the hub says the digest and one of which it says the length.
class FetchedModel {
 public:
  FetchedModel() {
    for (const char* name : {"a.safetensors", "b.safetensors", "sub/config.json"}) {
      const std::string content = absl::StrCat(name, std::string(3000, name[0]));
      content_[name] = content;
      const bool has_digest = name[0] != 's';
      files_.push_back({name, content.size(), has_digest ? tls::Sha256Hex(content) : "",
                        absl::StrCat("https://hub/", name)});
    }
  }
  absl::StatusOr<artifacts::Manifest> Fetch(fakes::FakeHost& node) const {
    for (const auto& [name, content] : content_)
      node.http().Serve(absl::StrCat("https://hub/", name), content);
    artifacts::FetchTreeOptions options;
    options.parallel_files = 1;
    return artifacts::FetchTree(node.host(), files_, "/data/model", options, {});
  }
  // Whatever has its own name is whole, and what a manifest vouches for is there.
  void ExpectNothingTorn(fakes::FakeHost& node) const {
    const auto manifest = artifacts::ReadManifest(node.files(), "/data/model");
    for (const auto& [name, content] : content_) {
      const auto found = node.files().Read(absl::StrCat("/data/model/", name));
      EXPECT_EQ(found.value_or(content), content) << name;
      if (!manifest.ok()) continue;
      EXPECT_TRUE(found.ok()) << name << " is in the manifest";
      EXPECT_NE(manifest->Find(name), nullptr) << name;
    }
  }

 private:
  std::map<std::string, std::string> content_;
  std::vector<artifacts::HubFile> files_;
};

TEST(DurabilityTest, AFileOfAModelIsWholeOrNotThereWhereverThePowerGoes) {
  fakes::FakeHost node;
  LossyDisk disk(node.root());
  const FetchedModel model;
  const auto work = [&] { ASSERT_TRUE(model.Fetch(node).ok()); };
  AtEachPowerCut(disk, work, [&](fakes::FakeHost& booted) {
    model.ExpectNothingTorn(booted);
    const auto again = model.Fetch(booted);
    ASSERT_TRUE(again.ok()) << again.status();
    model.ExpectNothingTorn(booted);
  });
}

TEST(DurabilityTest, AnArtifactIsWholeOrNotThereWhereverThePowerGoes) {
  const std::string content(5000, 'd');
  fakes::FakeHost node;
  LossyDisk disk(node.root());
  artifacts::FileRequest request;
  request.url = "https://files/driver.run";
  request.sha256 = tls::Sha256Hex(content);
  const auto fetch = [&](fakes::FakeHost& on) {
    on.http().Serve(request.url, content);
    return artifacts::FetchFile(on.host(), request, "/var/cache/driver.run", {});
  };
  const auto work = [&] { ASSERT_TRUE(fetch(node).ok()); };
  AtEachPowerCut(disk, work, [&](fakes::FakeHost& booted) {
    EXPECT_EQ(booted.files().Read("/var/cache/driver.run").value_or(content), content);
    ASSERT_TRUE(fetch(booted).ok());
    EXPECT_EQ(booted.files().Read("/var/cache/driver.run").value(), content);
  });
}

TEST(DurabilityTest, TheJournalKnowsEachOperationFromTheMomentItIsAccepted) {
  fakes::TemporaryFolder folder;
  const LossyDisk disk(folder.path());
  ASSERT_TRUE(host::Filesystem("/").MakeFolders(folder.path() + "/agent/state", 0700).ok());
  const auto journal = operations::Journal::Open(folder.path() + "/agent/state/journal.db").value();
  constexpr int kOperations = 40;
  for (int i = 1; i <= kOperations; ++i) {
    operations::JournalEntry entry;
    entry.operation.set_id(absl::StrCat("7/tiny/1/driver@node-a/", i));
    entry.operation.set_state(v1::Operation::ACCEPTED);
    entry.request.set_id(entry.operation.id());
    entry.request.set_epoch(static_cast<uint64_t>(i));
    v1::OperationEvent event;
    event.set_sequence(1);
    event.set_log_line(std::string(2000, 'x'));
    ASSERT_TRUE(journal->Accept(entry, event).ok());
    const auto state_after_power_loss = [&]() {
      fakes::TemporaryFolder left;
      disk.LosePower(left.path());
      const auto found = operations::Journal::Open(left.path() + "/agent/state/journal.db").value();
      EXPECT_EQ(found->Epoch().value(), static_cast<uint64_t>(i));
      EXPECT_THAT(found->List(0, 1000)->operations, SizeIs(i));
      return found->Find(entry.operation.id()).value().value().operation.state();
    };
    EXPECT_EQ(state_after_power_loss(), v1::Operation::ACCEPTED);
    entry.operation.set_state(v1::Operation::SUCCEEDED);
    event.set_sequence(2);
    *event.mutable_operation() = entry.operation;
    ASSERT_TRUE(journal->Update(entry, {event}).ok());
    EXPECT_EQ(state_after_power_loss(), v1::Operation::SUCCEEDED);
  }
}

std::vector<v1::Operation> OperationsOf(const std::vector<v1::Operation>& journal,
                                        const std::string& task) {
  std::vector<v1::Operation> found;
  for (const v1::Operation& operation : journal) {
    if (operation.task() == task) found.push_back(operation);
  }
  return found;
}

TEST(DurabilityTest, ANodeThatLosesItsPowerInTheMiddleOfAnOperationKnowsItAsInterrupted) {
  fakes::TemporaryFolder folder, left;
  const LossyDisk disk(folder.path());
  Fleet fleet(1);
  fleet.MoveAgent(0, folder.path() + "/state");
  fleet.StartController();
  VerbWatch::Gate& gate = fleet.verbs().Hold("image@node-a");
  ASSERT_TRUE(fleet.Apply(MakeDeployment(1)).ok());
  ASSERT_TRUE(gate.entered.WaitForNotificationWithTimeout(kLimit));
  fleet.AwaitRollout([](const v1::Rollout& rollout) {
    return TaskOf(rollout, "npu@node-a").state() == v1::Task::CURRENT;
  });
  disk.LosePower(left.path() + "/disk");
  fleet.StopAgent(0);
  gate.open.Notify();
  fleet.machine(0).PowerCycle();
  fleet.MoveAgent(0, left.path() + "/disk/state");
  EXPECT_EQ(fleet.AwaitPhase(v1::Rollout::SERVING).phase(), v1::Rollout::SERVING);
  const std::vector<v1::Operation> journal = fleet.Journal(0);
  const std::vector<v1::Operation> image = OperationsOf(journal, "image@node-a");
  ASSERT_THAT(image, SizeIs(2));
  EXPECT_EQ(image[0].state(), v1::Operation::INTERRUPTED);
  EXPECT_EQ(image[1].state(), v1::Operation::SUCCEEDED);
  // What had succeeded before is known as that.
  const std::vector<v1::Operation> driver = OperationsOf(journal, "driver@node-a");
  ASSERT_THAT(driver, SizeIs(1));
  EXPECT_EQ(driver[0].state(), v1::Operation::SUCCEEDED);
  EXPECT_EQ(fleet.machine(0).DriverRuns(), 1);
}

class ControllerPowerLossTest : public ::testing::TestWithParam<const char*> {};

TEST_P(ControllerPowerLossTest, TheAcceptedRolloutGoesOnAndNothingRunsTwice) {
  const std::string task = GetParam();
  fakes::TemporaryFolder folder, left;
  const LossyDisk disk(folder.path());
  Fleet fleet(1, folder.path() + "/controller");
  fleet.StartController();
  VerbWatch::Gate& gate = fleet.verbs().Hold(task);
  v1::ApplyDeploymentReply reply;
  ASSERT_TRUE(fleet.Apply(MakeDeployment(1), &reply).ok());
  ASSERT_TRUE(gate.entered.WaitForNotificationWithTimeout(kLimit));
  disk.LosePower(left.path() + "/disk");
  fleet.StopController();
  fleet.MoveController(left.path() + "/disk/controller");
  gate.open.Notify();
  fleet.StartController();
  const v1::Rollout rollout = fleet.AwaitPhase(v1::Rollout::SERVING);
  EXPECT_EQ(rollout.phase(), v1::Rollout::SERVING) << Describe(rollout);
  EXPECT_EQ(rollout.revision(), reply.rollout().revision());
  EXPECT_EQ(fleet.verbs().Applies(task), 1);
  EXPECT_EQ(fleet.machine(0).DriverRuns(), 1);
  for (const v1::Operation& operation : fleet.Journal(0)) {
    EXPECT_THAT(OperationsOf(fleet.Journal(0), operation.task()), SizeIs(1)) << operation.task();
  }
}

INSTANTIATE_TEST_SUITE_P(
    Stages, ControllerPowerLossTest,
    ::testing::Values("docker@node-a", "driver@node-a", "serve@node-a"), [](const auto& name) {
      return std::string(name.param).substr(0, std::string(name.param).find('@'));
    });

TEST(DurabilityTest, TheStoreHoldsEachAcknowledgedChangeWhereverThePowerGoes) {
  fakes::TemporaryFolder folder;
  const LossyDisk disk(folder.path());
  Fleet fleet(1, folder.path() + "/controller");
  fleet.StartController();
  ASSERT_TRUE(fleet.Apply(MakeDeployment(1)).ok());
  fleet.AwaitPhase(v1::Rollout::SERVING);
  for (const auto verb : {v1::ControlRolloutRequest::PAUSE, v1::ControlRolloutRequest::RESUME,
                          v1::ControlRolloutRequest::PAUSE}) {
    ASSERT_TRUE(fleet.Control(verb).ok());
    const v1::ListEventsReply told = fleet.Events(0, 1000);
    fakes::TemporaryFolder left;
    disk.LosePower(left.path() + "/disk");
    const auto store =
        store::RolloutStore::Open(left.path() + "/disk/controller/npufleet.db").value();
    const auto states = store->LoadAll(1).value();
    ASSERT_THAT(states, SizeIs(1));
    EXPECT_EQ(states[0].paused, verb == v1::ControlRolloutRequest::PAUSE);
    v1::ListEventsRequest all;
    all.set_page_size(1000);
    const v1::ListEventsReply kept = store->ListEvents(all).value();
    ASSERT_GE(kept.events_size(), told.events_size());
    for (int i = 0; i < told.events_size(); ++i)
      EXPECT_EQ(kept.events(i).message(), told.events(i).message());
  }
}

}  // namespace
}  // namespace npufleet::integration
