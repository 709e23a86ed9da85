// SPDX-License-Identifier: Apache-2.0
//
// One pass over what an event has touched: which tasks are current, why the others are not, and
// what is to be started. Used by Step only.
#ifndef CONTROLLER_CORE_EVALUATION_H_
#define CONTROLLER_CORE_EVALUATION_H_

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "controller/core/state.h"
#include "controller/core/step.h"

namespace npufleet::core {

class Evaluation {
 public:
  Evaluation(State& state, absl::Time now, StepResult& result)
      : state_(state), now_(now), result_(result) {}

  // Marks a task to be looked at; what depends on it follows by itself when it becomes current or
  // ceases to be. Whoever changes its token marks its dependents.
  void Touch(int task) { dirty_.insert(task); }
  void TouchAll();
  void TouchNode(const std::string& node);
  // Also those that wait for a lock, a stop or a reboot.
  void TouchBlocked();

  // All nodes are reachable, and have reported, on which something runs that this task stands on.
  bool GroundReported(const Task& task, std::string* why) const;

  // Reboots that an operator or a failure asked for.
  void ConsiderReboots();

  // Looks at all that is touched, in the order of the graph, until nothing more follows.
  void Run();

  void Note(std::string_view kind, const Task& task, std::string_view message);
  void Cancel(Task& task);
  // Forgets what failed before: an operator or a new want gives it a fresh start.
  static void Forgive(Task& task);
  // The failure becomes final: only an operator, a new want or the world itself moves the task on.
  void GiveUp(Task& task, const Failure& failure, std::string_view why);
  std::vector<int> RunningAbove(int i) const;
  // What has failed under the server that answers all the same, or what the new revision needs and
  // cannot get; null: nothing.
  const Task* BrokenUnderServer() const;
  // Its Stop has failed for what only a reboot ends, or has been given up.
  bool EndsWithTheBoot(const Task& task) const;

 private:
  void Evaluate(int i);
  void EvaluateRetired(int i);
  bool DependenciesCurrent(const Task& task, const Task** missing) const;
  void CheckNow(Task& task, const std::string& stamp);
  void ConsiderApply(int i);
  void WaitOutUnknown(Task& task);
  // False when it died by itself too often. True otherwise; it is counted.
  bool MayRecover(Task& task, const std::string& stamp);
  // True when nothing that runs on top of `i` is left; otherwise stops what can be stopped now.
  bool ClearAbove(int i);
  bool PreparesDone(const Task** missing) const;
  // What could be looked at for the present revision, and was not yet; null: nothing.
  const Task* NotLookedAt() const;
  // No Apply could help, or none is tried any more.
  bool CannotBeDone(const Task& task) const;
  static const Failure& WhyOf(const Task& broken);
  bool AcquireLocks(Task& task);
  void Start(Task& task, Action action);
  bool ConsiderReboot(Node& node);
  // What stands on something that ends with another node's reboot would only be stopped for it.
  const Node* NodeUnderThatReboots(int i) const;
  static std::string CannotBeStopped(const Task& task);
  static std::string WhatWasGivenUp(const Task& task);
  std::string AwaitedReboot(const Node& node) const;
  // Its reboot would end what answers.
  bool HoldsWhatAnswers(const Node& node) const;
  bool StopIsDue(const Task& task) const;
  // Tells the one whose node did not come back from its reboot in time, and waits no longer.
  void ForgetLateReboot(Node& node);
  bool NodeIsQuiet(const Node& node, std::string* busy) const;
  bool ReachableAndReported(const std::string& node, std::string* why) const;
  void Block(int i, std::string reason);
  void Wake(absl::Time at, int i) { state_.wakes.insert({at, i}); }

  State& state_;
  const absl::Time now_;
  StepResult& result_;
  std::set<int> dirty_;
  bool moved_ = false;  // something that what is blocked may have waited for
};

}  // namespace npufleet::core

#endif  // CONTROLLER_CORE_EVALUATION_H_
