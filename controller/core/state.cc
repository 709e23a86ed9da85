// SPDX-License-Identifier: Apache-2.0
#include "controller/core/state.h"

#include <algorithm>
#include <cstdio>

#include "absl/strings/str_cat.h"

namespace npufleet::core {
namespace {

// Two independent 64-bit FNV-1a lanes: stamps are compared, not defended against forgery.
class Digest {
 public:
  void Add(std::string_view text) {
    for (const unsigned char c : text) Byte(c);
    Byte(0);  // "ab","c" and "a","bc" differ
  }
  std::string Hex() const {
    char text[33];
    std::snprintf(text, sizeof(text), "%016llx%016llx", static_cast<unsigned long long>(a_),
                  static_cast<unsigned long long>(b_));
    return text;
  }

 private:
  void Byte(unsigned char c) {
    a_ = (a_ ^ c) * 1099511628211ull;
    b_ = (b_ ^ (c + 0x9eull)) * 1099511628211ull + 0x7f4a7c15ull;
  }
  uint64_t a_ = 1469598103934665603ull;
  uint64_t b_ = 0x84222325cbf29ce4ull;
};

bool IsBusy(const Task& task) { return task.operation.has_value() || !task.checking.empty(); }

}  // namespace

const Task* State::Find(std::string_view id) const {
  auto found = index.find(std::string(id));
  return found == index.end() ? nullptr : &tasks[found->second];
}

absl::Time State::NextWake() const {
  return wakes.empty() ? absl::InfiniteFuture() : wakes.begin()->first;
}

void Reindex(State& state) {
  state.index.clear();
  state.operations.clear();
  state.wakes.clear();
  state.blocked.clear();
  for (auto& [name, node] : state.nodes) {
    node.tasks.clear();
    if (node.reboot) state.operations[node.reboot->operation] = -1;
  }
  state.not_current = 0;
  for (int i = 0; i < static_cast<int>(state.tasks.size()); ++i) {
    Task& task = state.tasks[i];
    task.needs.clear();
    task.dependents.clear();
    task.former_dependents.clear();
    state.index[task.plan.id] = i;
    if (!task.current) ++state.not_current;
    state.nodes[task.plan.node].name = task.plan.node;
    state.nodes[task.plan.node].tasks.push_back(i);
    if (task.operation) state.operations[task.operation->operation] = i;
  }
  for (int i = 0; i < static_cast<int>(state.tasks.size()); ++i) {
    for (const std::string& need : state.tasks[i].plan.needs) {
      auto found = state.index.find(need);
      if (found == state.index.end()) continue;  // of a retired task: what it needed is gone
      state.tasks[i].needs.push_back(found->second);
      state.tasks[found->second].dependents.push_back(i);
    }
    for (const std::string& need : state.tasks[i].former_needs) {
      auto found = state.index.find(need);
      if (found != state.index.end()) state.tasks[found->second].former_dependents.push_back(i);
    }
  }
}

std::vector<Command> Outstanding(const State& state) {
  std::vector<Command> commands;
  for (const Task& task : state.tasks) {
    if (!task.operation) continue;
    commands.push_back(*task.operation);
    if (task.cancelling)
      commands.push_back(CancelOperation{task.operation->operation, task.plan.node});
  }
  for (const auto& [name, node] : state.nodes) {
    if (node.reboot && !node.tasks.empty()) commands.push_back(*node.reboot);
  }
  return commands;
}

const Failure* CauseOfDeath(const Task& task) {
  const bool died = !task.alive && task.attempts == 0 && !task.lost_stamp.empty();
  return died && task.failure ? &*task.failure : nullptr;
}

std::string StampOf(const State& state, const Task& task) {
  Digest digest;
  digest.Add(task.plan.want);
  for (const int need : task.needs) {
    const Task& other = state.tasks[need];
    if (other.token.empty()) return "";
    digest.Add(other.plan.id);
    digest.Add(other.token);
  }
  return digest.Hex();
}

bool StandsOn(const Task& above, const Task& below) {
  return std::find(above.new_needs.begin(), above.new_needs.end(), below.plan.id) ==
         above.new_needs.end();
}

std::set<int> WhatAnswers(const State& state) {
  std::set<int> found;
  std::vector<int> stack;
  bool probed = false;
  for (int i = 0; i < static_cast<int>(state.tasks.size()); ++i) {
    const Task& task = state.tasks[i];
    if (task.retired || task.plan.stage != "probe") continue;
    probed = task.seen.sight == Sight::kPresent;
    found.insert(i);
    stack.push_back(i);
  }
  if (!probed) return {};
  while (!stack.empty()) {
    const Task& task = state.tasks[stack.back()];
    stack.pop_back();
    if (task.plan.running && (!task.alive || task.seen.sight == Sight::kUnseen)) return {};
    if (task.plan.running && (task.operation || task.stop_failed)) return {};
    for (const int need : task.needs) {
      if (StandsOn(task, state.tasks[need]) && found.insert(need).second) stack.push_back(need);
    }
  }
  return found;
}

bool IsServing(const State& state) { return !WhatAnswers(state).empty(); }

bool WantsSomething(const State& state) {
  return std::any_of(state.tasks.begin(), state.tasks.end(),
                     [](const Task& task) { return !task.retired; });
}

Phase PhaseOf(const State& state) {
  if (state.tasks.empty() && state.revision > 0) return Phase::kDeleted;
  if (state.cancelled) return Phase::kCancelled;
  if (state.paused) return Phase::kPaused;
  bool all_current = true;
  bool busy = false;
  bool failed = false;
  bool will_retry = false;
  for (int i = 0; i < static_cast<int>(state.tasks.size()); ++i) {
    const Task& task = state.tasks[i];
    if (!task.current) all_current = false;
    // A routine Check of what is current is no progress to speak of.
    if (!task.current && IsBusy(task)) busy = true;
    if (task.given_up && !task.current) failed = true;
    // What waits for something else is not tried again before that has moved.
    const bool waits = state.blocked.count(i) > 0 ||
                       std::any_of(task.needs.begin(), task.needs.end(),
                                   [&](int need) { return !state.tasks[need].current; });
    if (!task.given_up && !waits && task.retry_at > task.ended_at && task.attempts > 0)
      will_retry = true;
  }
  for (const auto& [name, node] : state.nodes) {
    busy = busy || (node.reboot.has_value() && !node.tasks.empty());
  }
  if (all_current && WantsSomething(state)) return Phase::kServing;
  if (busy) return Phase::kProgressing;
  if (failed) return Phase::kFailed;
  return will_retry ? Phase::kProgressing : Phase::kWaiting;
}

std::string ReasonOf(const State& state) {
  // The first that is not current explains the rest; one that has given up explains it best.
  const Task* first = nullptr;
  for (const Task& task : state.tasks) {
    if (task.current) continue;
    if (task.given_up) {
      first = &task;
      break;
    }
    if (first == nullptr) first = &task;
  }
  return first == nullptr ? "" : absl::StrCat(first->plan.id, ": ", first->reason);
}

}  // namespace npufleet::core
