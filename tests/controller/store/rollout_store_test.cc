// SPDX-License-Identifier: Apache-2.0
#include "controller/store/rollout_store.h"

#include <stdlib.h>

#include <filesystem>

#include "controller/store/task_row.h"
#include "gtest/gtest.h"

namespace npufleet::store {
namespace {

class RolloutStoreTest : public testing::Test {
 protected:
  RolloutStoreTest() {
    char pattern[] = "/tmp/rollout-store-XXXXXX";
    folder_ = mkdtemp(pattern);
    path_ = folder_ + "/npufleet.db";
    state_.deployment = "qwen";
    state_.epoch = 7;
    core::Graph graph;
    graph.revision = 1;
    graph.tasks = {{.id = "driver@a",
                    .stage = "driver",
                    .node = "a",
                    .want = "d",
                    .locks = {{"package manager", true}}},
                   {.id = "serve@a",
                    .stage = "serve",
                    .node = "a",
                    .needs = {"driver@a"},
                    .want = "s",
                    .running = true,
                    .disturbs = true}};
    applied_ = Step(core::SpecApplied{graph});
  }
  ~RolloutStoreTest() override { std::filesystem::remove_all(folder_); }

  template <typename What>
  core::StepResult Step(What what) {
    now_ += absl::Seconds(1);
    return core::Step(state_, {now_, std::move(what)});
  }

  std::string folder_;
  std::string path_;
  absl::Time now_ = absl::FromUnixSeconds(1'700'000'000);
  core::State state_;
  core::StepResult applied_;
};

TEST_F(RolloutStoreTest, WhatIsLoadedIsWhatWasCommitted) {
  auto store = RolloutStore::Open(path_);
  ASSERT_TRUE(store.ok()) << store.status();
  NewRevision revision{.revision = 1, .author = "admin"};
  revision.deployment.mutable_metadata()->set_name("qwen");
  ASSERT_TRUE((*store)->Commit(state_, applied_, now_, &revision).ok());
  const core::StepResult connected = Step(core::NodeConnected{"a", "boot-1", true});
  ASSERT_TRUE((*store)->Commit(state_, connected, now_, nullptr).ok());
  core::Observation absent{.sight = core::Sight::kAbsent, .reason = "\xff not UTF-8"};
  const core::StepResult started =
      Step(core::Observed{"driver@a", core::StampOf(state_, *state_.Find("driver@a")), absent});
  ASSERT_TRUE(state_.Find("driver@a")->operation.has_value());
  ASSERT_TRUE((*store)->Commit(state_, started, now_, nullptr).ok());

  auto again = RolloutStore::Open(path_);
  ASSERT_TRUE(again.ok());
  auto loaded = (*again)->LoadAll(7);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  ASSERT_EQ(loaded->size(), 1u);
  core::State& other = loaded->front();
  core::Reindex(other);
  EXPECT_EQ(other.revision, 1u);
  ASSERT_EQ(other.tasks.size(), 2u);
  for (int i = 0; i < 2; ++i) EXPECT_EQ(TaskToJson(other.tasks[i]), TaskToJson(state_.tasks[i]));
  EXPECT_EQ(NodeToJson(other.nodes.at("a")), NodeToJson(state_.nodes.at("a")));
  EXPECT_EQ(*other.tasks[0].operation, *state_.tasks[0].operation);
}

TEST_F(RolloutStoreTest, HistoryIsReadByPages) {
  auto store = RolloutStore::Open(path_);
  ASSERT_TRUE(store.ok());
  core::StepResult many;
  for (int i = 0; i < 5; ++i) many.notes.push_back({"Kind", "t", "n", std::to_string(i)});
  ASSERT_TRUE((*store)->Commit(state_, many, now_, nullptr).ok());
  v1::ListEventsRequest request;
  request.set_page_size(2);
  auto first = (*store)->ListEvents(request);
  ASSERT_TRUE(first.ok()) << first.status();
  ASSERT_EQ(first->events_size(), 2);
  EXPECT_EQ(first->events(0).message(), "0");
  request.set_after(first->next());
  auto second = (*store)->ListEvents(request);
  ASSERT_EQ(second->events_size(), 2);
  EXPECT_EQ(second->events(0).message(), "2");
}

TEST_F(RolloutStoreTest, OnlyTheNewestEventsAreKept) {
  auto store = RolloutStore::Open(path_);
  ASSERT_TRUE(store.ok()) << store.status();
  core::StepResult flapping;
  flapping.notes.assign(kKeptEvents, {"NodeConnected", "", "a", "a is connected again"});
  ASSERT_TRUE((*store)->Commit(state_, flapping, now_, nullptr).ok());
  core::StepResult newest;
  newest.notes = {{"NodeLost", "", "a", "no sign of life"}, {"Incident", "", "", "a"}};
  ASSERT_TRUE((*store)->Commit(state_, newest, now_, nullptr).ok());
  v1::ListEventsRequest request;
  request.set_rollout("qwen");
  request.set_page_size(1);
  EXPECT_EQ((*store)->ListEvents(request)->events(0).id(), 3u);
  request.set_after(kKeptEvents);
  EXPECT_EQ((*store)->ListEvents(request)->events(0).kind(), "NodeLost");
}

TEST_F(RolloutStoreTest, EventsOfARolloutThatNeverWasAreNotFound) {
  auto store = RolloutStore::Open(path_);
  ASSERT_TRUE(store.ok());
  core::StepResult one;
  one.notes.push_back({"Kind", "t", "n", "of a rollout that is no more"});
  ASSERT_TRUE((*store)->Commit(state_, one, now_, nullptr).ok());  // a note, and no rollout
  v1::ListEventsRequest request;
  request.set_page_size(2);
  request.set_rollout("qwen");
  const auto noted = (*store)->ListEvents(request);
  ASSERT_TRUE(noted.ok()) << noted.status();
  EXPECT_EQ(noted->events_size(), 1);
  request.set_after(noted->next());
  const auto later = (*store)->ListEvents(request);
  ASSERT_TRUE(later.ok()) << later.status();
  EXPECT_EQ(later->events_size(), 0);

  request.set_rollout("another");
  EXPECT_EQ((*store)->ListEvents(request).status().code(), absl::StatusCode::kNotFound);
  state_.deployment = "another";
  core::StepResult silent;
  silent.rollout_changed = true;
  ASSERT_TRUE((*store)->Commit(state_, silent, now_, nullptr).ok());  // a rollout, and no event
  const auto none = (*store)->ListEvents(request);
  ASSERT_TRUE(none.ok()) << none.status();
  EXPECT_EQ(none->events_size(), 0);
}

TEST_F(RolloutStoreTest, ARevisionIsKeptWithItsAuthor) {
  auto store = RolloutStore::Open(path_);
  ASSERT_TRUE(store.ok());
  NewRevision revision{.revision = 1, .author = "li"};
  revision.deployment.mutable_metadata()->set_name("qwen");
  ASSERT_TRUE((*store)->Commit(state_, applied_, now_, &revision).ok());
  EXPECT_FALSE((*store)->ListRevisions("qwen")->revisions(0).served());
  state_.revision = 1;
  state_.serving_since = now_ + absl::Minutes(1);
  ASSERT_TRUE((*store)->Commit(state_, {}, now_ + absl::Minutes(1), nullptr).ok());
  auto revisions = (*store)->ListRevisions("qwen");
  ASSERT_TRUE(revisions.ok());
  ASSERT_EQ(revisions->revisions_size(), 1);
  EXPECT_EQ(revisions->revisions(0).author(), "li");
  EXPECT_TRUE(revisions->revisions(0).served());
  EXPECT_EQ((*store)->LoadRevision("qwen", 1)->metadata().name(), "qwen");
  EXPECT_EQ((*store)->LoadRevision("qwen", 2).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(RolloutStoreTest, AnotherProgramsFileIsRefused) {
  ASSERT_TRUE(RolloutStore::Open(path_).ok());
  {
    auto database = sqlite::Database::Open(path_);
    ASSERT_TRUE(database->Execute("PRAGMA user_version = 99").ok());
  }
  EXPECT_EQ(RolloutStore::Open(path_).status().code(), absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace npufleet::store
