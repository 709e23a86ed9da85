// SPDX-License-Identifier: Apache-2.0
#include "agent/operations/observer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "absl/synchronization/notification.h"
#include "tests/agent/operations/fake_verb.h"
#include "tests/fakes/fake_host.h"

namespace npufleet::operations {
namespace {

class ObserverTest : public testing::Test {
 protected:
  std::vector<v1::Subject> Subjects(const std::string& stage, int count) {
    std::vector<v1::Subject> subjects;
    for (int i = 0; i < count; ++i)
      subjects.push_back(SubjectOf(absl::StrCat(stage, "-", i, "@node-a")));
    return subjects;
  }

  // Until each of the tasks has been answered.
  bool AwaitAnswers(const std::vector<v1::Subject>& subjects) {
    const auto all = [&]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
      for (const v1::Subject& subject : subjects) {
        if (answered_.count(subject.task()) == 0) return false;
      }
      return true;
    };
    absl::MutexLock lock(&mutex_);
    return mutex_.AwaitWithTimeout(absl::Condition(&all), absl::Seconds(60));
  }

  fakes::FakeHost node_;
  FakeVerbs verbs_;
  NpuTools tools_;
  Observer observer_{node_.host(), verbs_.factory(), tools_, {}};
  absl::Mutex mutex_;
  std::set<std::string> answered_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<Observer::View> view_ = observer_.Open([this](Observer::Seen seen) {
    absl::MutexLock lock(&mutex_);
    for (const v1::TaskObservation& one : seen.observations) answered_.insert(one.task());
  });
};

TEST_F(ObserverTest, ChecksThatWaitForDockerdHoldNoOthersUp) {
  const std::vector<v1::Subject> waiting = Subjects("container", 20);
  const std::vector<v1::Subject> others = Subjects("model", 20);
  absl::Notification ready;
  for (const v1::Subject& subject : waiting) {
    verbs_[subject.task()].check = [&ready] {
      ready.WaitForNotification();
      return Present("container");
    };
  }
  view_->Check(waiting);
  view_->Check(others);
  EXPECT_TRUE(AwaitAnswers(others));
  ready.Notify();
  EXPECT_TRUE(AwaitAnswers(waiting));
  view_.reset();
}

// A controller that connects again and again while an engine hangs leaves a probe each time.
TEST_F(ObserverTest, WhatNobodyWaitsForHoldsNoOthersUp) {
  const std::vector<v1::Subject> slow = Subjects("probe", 1);
  const std::vector<v1::Subject> others = Subjects("model", 4);
  struct Probes {
    absl::Mutex mutex;
    int under_way = 0;
    int abandoned = 0;
  };
  const auto probes = std::make_shared<Probes>();  // the last Check may end after this test
  FakeScript& script = verbs_[slow[0].task()];
  script.check = [probes] {
    absl::MutexLock lock(&probes->mutex);
    // Its own number: the next one may begin before this one has seen that it is abandoned.
    const int mine = ++probes->under_way;
    const auto ended = [&] { return probes->abandoned >= mine; };
    probes->mutex.Await(absl::Condition(&ended));
    return Present("tokens");
  };
  script.abandon = [probes] {
    absl::MutexLock lock(&probes->mutex);
    ++probes->abandoned;
  };
  for (int i = 1; i <= 10; ++i) {
    view_->Check(slow);
    const auto begun = [&] { return probes->under_way == i; };
    absl::MutexLock lock(&probes->mutex);
    probes->mutex.Await(absl::Condition(&begun));
  }
  view_->Check(others);
  EXPECT_TRUE(AwaitAnswers(others));
  view_->Forget({slow[0].task()});
  view_.reset();
}

TEST_F(ObserverTest, WhatNobodyWaitsForIsNotBegun) {
  const std::vector<v1::Subject> queued = Subjects("npu", 2);
  absl::Notification begun, ready;
  for (const v1::Subject& subject : queued) verbs_[subject.task()].uses_npu_tools = true;
  verbs_[queued[0].task()].check = [&] {
    begun.Notify();
    ready.WaitForNotification();
    return Present("chips");
  };
  view_->Check({queued[0]});
  begun.WaitForNotification();                             // it has the one thread
  for (int i = 0; i < 10; ++i) view_->Check({queued[1]});  // each takes the place of the one before
  ready.Notify();
  EXPECT_TRUE(AwaitAnswers(queued));
  EXPECT_EQ(verbs_[queued[1].task()].checks, 1);
  view_.reset();
}

}  // namespace
}  // namespace npufleet::operations
