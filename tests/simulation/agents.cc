// SPDX-License-Identifier: Apache-2.0
#include "tests/simulation/agents.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/simulation/coverage.h"
#include "tests/simulation/fault.h"

namespace npufleet::simulation {
namespace {

using core::Sight;
using Result = core::OperationEnded::Result;

constexpr absl::Duration kTick = absl::Seconds(2);
constexpr absl::Duration kCheckPeriod = absl::Seconds(6);
constexpr absl::Duration kSilence = absl::Seconds(6);
constexpr absl::Duration kRetransmission = absl::Milliseconds(250);

absl::Duration LongestOf(const std::string& stage) {
  if (stage == "model") return absl::Seconds(20);
  if (stage == "serve") return absl::Seconds(10);
  return absl::Seconds(3);
}

std::string NameOf(core::Action action) {
  return action == core::Action::kStop     ? "stop"
         : action == core::Action::kReboot ? "reboot"
                                           : "apply";
}

bool LivesInContainer(const std::string& stage) { return IsRunning(stage); }

}  // namespace

Agents::Agents(Schedule& schedule, Truth& truth, uint64_t seed, Listener& listener)
    : schedule_(schedule), truth_(truth), seed_(seed), listener_(listener) {
  for (const auto& [name, machine] : truth_.machines) {
    agents_[name];
    ConnectSoon(name);
    schedule_.At(kTick, [this, name = name] { Tick(name); });
  }
}

std::string Agents::BootId(const std::string& node) const {
  return absl::StrCat(node, "-boot-", truth_.machines.at(node).boot);
}

// --- Connections -------------------------------------------------------------------------------

bool Agents::Reachable(const std::string& node) const {
  const Agent& agent = agents_.at(node);
  return controller_up_ && truth_.machines.at(node).up && agent.up && agent.cable;
}

void Agents::ConnectSoon(const std::string& node) {
  schedule_.At(schedule_.Within(absl::Milliseconds(800)), [this, node] { Connect(node); });
}

void Agents::Connect(const std::string& node) {
  Agent& agent = agents_.at(node);
  if (agent.connected || !Reachable(node)) return;
  agent.connected = true;
  ++agent.connection;
  agent.entries.clear();
  agent.stream_clear = schedule_.now();
  agent.sent = agent.delivered = 0;
  listener_.Connected(node, BootId(node));
  std::vector<std::string> asked;
  for (const auto& [operation, what] : agent.asked) asked.push_back(operation);
  for (const std::string& operation : asked) Ask(node, operation);
}

void Agents::Disconnect(const std::string& node, const std::string& reason) {
  Agent& agent = agents_.at(node);
  if (!agent.connected) return;
  agent.connected = false;
  ++agent.connection;
  agent.entries.clear();
  listener_.Lost(node, reason);
  ConnectSoon(node);
}

void Agents::Send(const std::string& node, bool in_order, const std::string& label,
                  std::function<void()> what) {
  Agent& agent = agents_.at(node);
  absl::Duration latency = schedule_.Within(absl::Milliseconds(40));
  if (schedule_.now() < agent.late_until) {
    latency += schedule_.Within(agent.late_by);
    Coverage::Hit("late", label);
  }
  if (in_order) {
    agent.stream_clear = std::max(agent.stream_clear, schedule_.now() + latency);
    latency = agent.stream_clear - schedule_.now();
  }
  const std::optional<uint64_t> turn = in_order ? std::optional(agent.sent++) : std::nullopt;
  schedule_.At(latency, [this, node, turn, connection = agent.connection, label,
                         what = std::move(what)] { Deliver(node, turn, connection, label, what); });
}

void Agents::Deliver(const std::string& node, std::optional<uint64_t> turn, uint64_t connection,
                     const std::string& label, std::function<void()> what) {
  Agent& agent = agents_.at(node);
  if (agent.connection != connection || !agent.connected) return Coverage::Hit("lost", label);
  // What was cut off is sent again, and what is behind it on the stream waits.
  if (!agent.cable || (turn && *turn != agent.delivered)) {
    schedule_.At(kRetransmission, [this, node, turn, connection, label, what = std::move(what)] {
      Deliver(node, turn, connection, label, what);
    });
    return;
  }
  if (turn) ++agent.delivered;
  if (agent.repeats > 0) {
    --agent.repeats;
    Coverage::Hit("twice", label);
    if (turn) {
      what();  // nothing on a stream comes after what was sent behind it
    } else {
      schedule_.At(schedule_.Within(absl::Seconds(3)), [this, node, connection, label, what] {
        Deliver(node, std::nullopt, connection, label, what);
      });
    }
  }
  what();
}

void Agents::ControllerGone() {
  controller_up_ = false;
  for (auto& [name, agent] : agents_) {
    CountCut("controller-crash", name);
    agent.connected = false;
    ++agent.connection;
    agent.entries.clear();
    agent.asked.clear();
  }
}

void Agents::ControllerBack() {
  controller_up_ = true;
  for (auto& [name, agent] : agents_) ConnectSoon(name);
}

// --- Observing ---------------------------------------------------------------------------------

void Agents::Check(const std::string& node, Plan plan, const std::string& stamp) {
  if (!agents_.at(node).connected) return;
  const std::string label = absl::StrCat("check ", plan->stage);
  Send(node, true, label, [this, node, plan = std::move(plan), stamp] {
    if (!truth_.machines.at(node).up || !agents_.at(node).up) return;
    Entry entry;
    entry.plan = plan;
    entry.stamp = stamp;
    entry.generation = ++generations_;
    agents_.at(node).entries[plan->id] = std::move(entry);
    StartCheck(node, plan->id);
  });
}

void Agents::Forget(const std::string& node, const std::string& task) {
  agents_.at(node).entries.erase(task);
}

bool Agents::IsBusy(const Agent& agent, const std::string& task) const {
  for (const auto& [operation, asked] : agent.asked) {
    if (asked.start.task != task) continue;
    auto job = agent.journal.find(operation);
    if (job != agent.journal.end() && !job->second.ended) return true;
  }
  return false;
}

void Agents::StartCheck(const std::string& node, const std::string& task) {
  Agent& agent = agents_.at(node);
  Entry& entry = agent.entries.at(task);
  if (entry.answered && IsBusy(agent, task)) {
    entry.due = schedule_.now() + kCheckPeriod;
    return;
  }
  entry.checking = true;
  entry.again = false;
  std::optional<core::Observation> early;
  bool early_held = false;
  if (schedule_.Pick(2) == 0) early = LookAt(entry, &early_held);
  absl::Duration takes = schedule_.Within(absl::Milliseconds(120));
  if (const auto trap = Spring("check", entry.plan->stage)) {
    takes += trap->lasts;
    early.reset();  // what hangs has not seen anything yet
  }
  schedule_.At(takes, [this, node, task, generation = entry.generation,
                       connection = agent.connection, early, early_held] {
    Agent& there = agents_.at(node);
    auto found = there.entries.find(task);
    if (there.connection != connection || found == there.entries.end() ||
        found->second.generation != generation || !there.up || !truth_.machines.at(node).up) {
      return;
    }
    Entry& checked = found->second;
    bool held = early_held;
    const core::Observation seen = early ? *early : LookAt(checked, &held);
    if (!checked.answered || !(checked.last == seen)) {
      Send(node, true, absl::StrCat("report ", checked.plan->stage),
           [this, observed = core::Observed{task, checked.stamp, seen}, held] {
             listener_.Seen(observed, held);
           });
    }
    checked.answered = true;
    checked.last = seen;
    checked.checking = false;
    checked.due = schedule_.now() + kCheckPeriod;
    if (checked.again) StartCheck(node, task);
  });
}

core::Observation Agents::LookAt(const Entry& entry, bool* held) {
  const absl::Time now = schedule_.now();
  const core::Observation seen = truth_.Look(*entry.plan, entry.stamp, now);
  truth_.Looked(*entry.plan, seen);
  *held = truth_.Holds(*entry.plan, now);
  if (*held) held_[entry.plan->id] = now;
  return seen;
}

void Agents::MakeDue(const std::string& node, const std::string& task) {
  Agent& agent = agents_.at(node);
  auto found = agent.entries.find(task);
  if (found == agent.entries.end()) return;
  if (found->second.checking) {
    found->second.again = true;
  } else {
    StartCheck(node, task);
  }
}

void Agents::Notice(const std::string& task) {
  schedule_.At(schedule_.Within(absl::Milliseconds(50)), [this, node = NodeOf(task)] {
    if (!agents_.at(node).up || !truth_.machines.at(node).up) return;
    std::vector<std::string> due;
    for (const auto& [other, entry] : agents_.at(node).entries) {
      if (LivesInContainer(entry.plan->stage)) due.push_back(other);
    }
    for (const std::string& other : due) MakeDue(node, other);
  });
}

void Agents::Tick(const std::string& node) {
  schedule_.At(kTick, [this, node] { Tick(node); });
  Agent& agent = agents_.at(node);
  if (!agent.connected || !agent.up || !truth_.machines.at(node).up) return;
  for (auto& [task, entry] : agent.entries) {
    if (!entry.checking && entry.due <= schedule_.now()) StartCheck(node, task);
  }
}

// --- Operations --------------------------------------------------------------------------------

void Agents::Run(const core::StartOperation& start, Plan plan) {
  Agent& agent = agents_.at(start.node);
  if (!agent.asked.try_emplace(start.operation, Asked{start, std::move(plan)}).second) return;
  if (agent.connected) Ask(start.node, start.operation);
}

void Agents::Ask(const std::string& node, const std::string& operation) {
  const core::StartOperation& start = agents_.at(node).asked.at(operation).start;
  Send(node, false, absl::StrCat(NameOf(start.action), " ", StageOf(start.task)),
       [this, node, operation] {
         Agent& agent = agents_.at(node);
         auto asked = agent.asked.find(operation);
         if (asked == agent.asked.end() || !agent.up || !truth_.machines.at(node).up) return;
         Begin(node, asked->second);
       });
}

void Agents::Cancel(const std::string& node, const std::string& operation) {
  Agent& agent = agents_.at(node);
  auto asked = agent.asked.find(operation);
  if (asked == agent.asked.end()) return;
  asked->second.cancel = true;
  if (!agent.connected) return;
  Send(node, false, absl::StrCat("cancel ", StageOf(asked->second.start.task)),
       [this, node, operation] { CancelNow(node, operation); });
}

void Agents::CancelNow(const std::string& node, const std::string& operation) {
  Agent& agent = agents_.at(node);
  auto job = agent.journal.find(operation);
  if (job == agent.journal.end() || job->second.ended || !agent.up ||
      !truth_.machines.at(node).up || job->second.start.action == core::Action::kReboot) {
    return;
  }
  // What does not listen goes on to its end.
  if (Spring("cancel", job->second.plan->stage)) return;
  job->second.result = {};
  job->second.result.result = Result::kCancelled;
  Conclude(node, job->second);
}

void Agents::CheckAccepted(const std::string& node, const Job& job) {
  const core::StartOperation& start = job.start;
  for (const auto& [operation, other] : agents_.at(node).journal) {
    if (other.ended || operation == start.operation ||
        other.boot != truth_.machines.at(node).boot) {
      continue;
    }
    if (other.start.task == start.task)
      listener_.Violate(absl::StrCat(start.operation, " while ", operation, " is under way"));
    if (start.action != core::Action::kApply || other.start.action != core::Action::kApply)
      continue;
    for (const core::Lock& mine : job.plan->locks) {
      for (const core::Lock& held : other.plan->locks) {
        if (mine.name == held.name && (mine.exclusive || held.exclusive))
          listener_.Violate(
              absl::StrCat(start.operation, " against the lock ", mine.name, " of ", operation));
      }
    }
  }
}

// What the agent does with a StartOperation, the first time or again.
void Agents::Begin(const std::string& node, const Asked& asked) {
  Agent& agent = agents_.at(node);
  const core::StartOperation& start = asked.start;
  const std::string operation = start.operation;
  const auto refuse = [&](const std::string& why) {
    core::OperationEnded refused;
    refused.operation = operation;
    refused.result = Result::kRefused;
    refused.failure.symptom = why;
    // What is cut off on the way is asked for again.
    Send(node, false, absl::StrCat("refused ", StageOf(start.task)), [this, node, refused] {
      agents_.at(node).asked.erase(refused.operation);
      listener_.Ended(refused, false);
    });
  };
  auto known = agent.journal.find(operation);
  if (known != agent.journal.end()) {
    const Job& job = known->second;
    if (!(job.start == start) || (job.plan != nullptr && job.plan->want != asked.plan->want))
      return refuse("known with another body");
    if (job.ended) {
      Answer(node, job);
    } else if (asked.cancel) {
      Send(node, false, "cancel again", [this, node, operation] { CancelNow(node, operation); });
    }
    return;
  }
  if (start.boot_id != BootId(node)) return refuse("decided for another boot");
  const int boot = truth_.machines.at(node).boot;
  const bool cancel = asked.cancel;
  Job& job = agent.journal[operation];
  job.start = start;
  job.plan = asked.plan;
  job.boot = boot;
  ++accepted_;
  order_.push_back(absl::StrCat(start.action == core::Action::kStop     ? "stop "
                                : start.action == core::Action::kReboot ? "reboot "
                                                                        : "",
                                start.task.empty() ? node : start.task));
  CheckAccepted(node, job);
  if (start.action == core::Action::kReboot) {
    if (const auto trap = Spring("reboot", "-")) {
      // A lie ends as if it had begun to go down; what hangs says nothing at all, or late.
      job.result.result = trap->how == "lie" ? Result::kSucceeded : Result::kFailed;
      job.result.failure.symptom = "reboot: bad luck";
      if (trap->how != "hang") return Conclude(node, job);
      schedule_.At(trap->lasts, [this, node, operation] {
        Job& late = agents_.at(node).journal.at(operation);
        if (!late.ended && late.boot == truth_.machines.at(node).boot) Conclude(node, late);
      });
      return;
    }
    schedule_.At(absl::Milliseconds(100), [this, node, boot] {
      if (truth_.machines.at(node).boot != boot || !truth_.machines.at(node).up) return;
      PowerCut(node, schedule_.Within(absl::Seconds(15)));
    });
    return;
  }
  const absl::Duration longest = LongestOf(job.plan->stage);
  absl::Duration takes =
      absl::Milliseconds(50) +
      absl::Milliseconds(static_cast<int64_t>(
          Spread(seed_, operation) % static_cast<uint64_t>(absl::ToInt64Milliseconds(longest))));
  if (!mishaps_.empty() && mishaps_.front().what == "verb-hang" &&
      (mishaps_.front().stage.empty() || mishaps_.front().stage == job.plan->stage)) {
    takes += mishaps_.front().lasts;
    Coverage::Hit("verb-hang", absl::StrCat(NameOf(start.action), " ", job.plan->stage));
    mishaps_.pop_front();
  }
  if (const auto trap = Spring(absl::StrCat("hang-", NameOf(start.action)), job.plan->stage))
    takes += trap->lasts;
  schedule_.At(takes, [this, node, operation] { End(node, operation); });
  if (cancel)
    Send(node, false, "cancel again", [this, node, operation] { CancelNow(node, operation); });
}

void Agents::End(const std::string& node, const std::string& operation) {
  Job& job = agents_.at(node).journal.at(operation);
  const Machine& machine = truth_.machines.at(node);
  if (job.ended || job.boot != machine.boot || !machine.up) return;
  if (!agents_.at(node).up) {  // a supervisor has it, and the next agent hears of it
    schedule_.At(absl::Milliseconds(500), [this, node, operation] { End(node, operation); });
    return;
  }
  job.result = Carry(job);
  Conclude(node, job);
}

core::OperationEnded Agents::Carry(const Job& job) {
  using core::FailureClass;
  const absl::Time now = schedule_.now();
  const core::TaskPlan& plan = *job.plan;
  if (auto trapped = Trapped(job)) return *std::move(trapped);
  if (job.start.action == core::Action::kStop) return truth_.Stop(plan.id, now);
  core::OperationEnded ended;
  // The runner looks first: what is there already is not done again.
  const core::Observation first = truth_.Look(plan, job.start.stamp, now);
  if (!job.start.redo && (first.sight == Sight::kPresent || first.reboot_needed)) {
    ended.result = Result::kSucceeded;
    ended.observation = first;
    return ended;
  }
  if (mishaps_.empty() || (!mishaps_.front().stage.empty() && mishaps_.front().stage != plan.stage))
    return truth_.Apply(plan, job.start, now);
  const std::string what = mishaps_.front().what;
  mishaps_.pop_front();
  Coverage::Hit(what, absl::StrCat("apply ", plan.stage));
  if (what == "verb-lie") {
    // It ends as if it had done its work; the second Check finds that out.
    truth_.machines.at(plan.node).broken[plan.id] = now;
    ended.observation = truth_.Look(plan, job.start.stamp, now);
    const bool is_there = ended.observation.sight == core::Sight::kPresent;
    ended.result = is_there ? Result::kSucceeded : Result::kFailed;
    if (!is_there) {
      ended.failure.failure_class = FailureClass::kTransient;
      ended.failure.symptom = "ended with status 0, and is not there";
    }
    return ended;
  }
  if (what == "verb-done-but-failed") truth_.Apply(plan, job.start, now);
  ended.result = Result::kFailed;
  ended.failure.symptom = "bad luck";
  ended.failure.signature = "SIM-01";
  ended.failure.failure_class = what == "verb-redo"       ? FailureClass::kRedo
                                : what == "verb-reboot"   ? FailureClass::kReboot
                                : what == "verb-config"   ? FailureClass::kConfig
                                : what == "verb-hardware" ? FailureClass::kHardware
                                : what == "verb-operator" ? FailureClass::kNeedsOperator
                                                          : FailureClass::kTransient;
  ended.failure.redo_stage = plan.stage == "serve" ? "ray-head" : "container";
  if (!plan.running) ended.failure.redo_stage = plan.stage;
  return ended;
}

void Agents::Conclude(const std::string& node, Job& job) {
  job.ended = true;
  job.result.operation = job.start.operation;
  if (job.plan != nullptr) {
    truth_.Looked(*job.plan, job.result.observation);
    job.held = truth_.Holds(*job.plan, schedule_.now());
    if (job.held) held_[job.start.task] = schedule_.now();
  }
  if (agents_.at(node).connected) Answer(node, job);
  for (const std::string& torn : truth_.TakeCollateral())
    listener_.Violate(absl::StrCat(job.start.operation, " took down ", torn));
  MakeDue(node, job.start.task);
  if (job.plan != nullptr && LivesInContainer(job.plan->stage)) Notice(job.start.task);
}

void Agents::Answer(const std::string& node, const Job& job) {
  Send(node, false, absl::StrCat("end of ", NameOf(job.start.action), " ", StageOf(job.start.task)),
       [this, node, result = job.result, held = job.held] {
         agents_.at(node).asked.erase(result.operation);
         listener_.Ended(result, held);
       });
}

std::optional<Trap> Agents::Spring(const std::string& action, const std::string& stage) {
  for (auto trap = traps_.begin(); trap != traps_.end(); ++trap) {
    const bool fits = trap->action == action ||
                      (trap->how == "hang" && action == absl::StrCat("hang-", trap->action));
    if (!fits || (trap->stage != "-" && trap->stage != stage)) continue;
    // How long it takes is asked for by itself.
    if (trap->how == "hang" && (action == "apply" || action == "stop")) continue;
    Trap found = *trap;
    traps_.erase(trap);
    Coverage::Hit(absl::StrCat(found.action, ":", found.how), stage);
    return found;
  }
  return std::nullopt;
}

std::optional<core::OperationEnded> Agents::Trapped(const Job& job) {
  using core::FailureClass;
  const core::TaskPlan& plan = *job.plan;
  const bool is_stop = job.start.action == core::Action::kStop;
  const absl::Time now = schedule_.now();
  if (traps_.empty()) return std::nullopt;
  const auto trap = Spring(NameOf(job.start.action), plan.stage);
  if (!trap) return std::nullopt;
  core::OperationEnded ended;
  if (trap->how == "lie") {
    // It ends well and has done nothing; the Check at the end tells what is there.
    ended.observation = truth_.Look(plan, job.start.stamp, now);
    if (is_stop || ended.observation.sight == Sight::kPresent) {
      ended.result = Result::kSucceeded;
    } else {
      ended.failure.failure_class = FailureClass::kTransient;
      ended.failure.symptom = "ended with status 0, and is not there";
    }
    return ended;
  }
  if (trap->how == "done" && is_stop) truth_.Stop(plan.id, now);
  if (trap->how == "done" && !is_stop) truth_.Apply(plan, job.start, now);
  ended.failure.symptom = "bad luck";
  ended.failure.signature = "SIM-03";
  ended.failure.failure_class = trap->how == "redo"       ? FailureClass::kRedo
                                : trap->how == "reboot"   ? FailureClass::kReboot
                                : trap->how == "config"   ? FailureClass::kConfig
                                : trap->how == "hardware" ? FailureClass::kHardware
                                : trap->how == "operator" ? FailureClass::kNeedsOperator
                                                          : FailureClass::kTransient;
  ended.failure.redo_stage = plan.stage == "probe"   ? "serve"
                             : plan.stage == "serve" ? "ray-head"
                             : plan.running          ? "container"
                                                     : plan.stage;
  return ended;
}

// What is under way or waits there when `fault` comes.
void Agents::CountCut(const std::string& fault, const std::string& node) const {
  if (!Coverage::IsWanted()) return;
  for (const auto& [operation, job] : agents_.at(node).journal) {
    if (!job.ended)
      Coverage::Hit(fault, absl::StrCat(NameOf(job.start.action), " ", StageOf(job.start.task)));
  }
}

// --- What goes wrong ---------------------------------------------------------------------------

void Agents::PowerCut(const std::string& node, absl::Duration off) {
  Machine& machine = truth_.machines.at(node);
  if (!machine.up) return;
  CountCut("power-cut", node);
  truth_.LosePower(machine, schedule_.now());
  Agent& agent = agents_.at(node);
  const uint64_t power = ++agent.powers;
  for (auto& [operation, job] : agent.journal) {
    if (job.ended || job.plan == nullptr || IsRunning(job.plan->stage)) continue;
    auto thing = machine.things.find(job.start.task);
    if (thing != machine.things.end() && Spread(seed_, operation) % 2 == 0)
      thing->second.torn = true;
  }
  schedule_.At(schedule_.Within(kSilence), [this, node, connection = agent.connection] {
    if (agents_.at(node).connection == connection) Disconnect(node, "no sign of life");
  });
  if (node == "node-0") listener_.PowerLost(off);
  schedule_.At(off, [this, node, power] {
    Machine& back = truth_.machines.at(node);
    Agent& there = agents_.at(node);
    if (there.powers != power) return;
    back.up = true;
    there.up = true;
    ++back.boot;
    for (auto& [operation, job] : there.journal) {
      if (job.ended || job.boot == back.boot) continue;
      job.ended = true;
      job.result = {};
      job.result.operation = operation;
      job.result.result =
          job.start.action == core::Action::kReboot ? Result::kSucceeded : Result::kInterrupted;
    }
    Disconnect(node, "its agent closed the connection");
    ConnectSoon(node);
  });
}

void Agents::Cut(const std::string& node, absl::Duration off) {
  Agent& agent = agents_.at(node);
  if (!agent.cable) return;
  CountCut("cut", node);
  agent.cable = false;
  const uint64_t cut = ++agent.cuts;
  if (off > kSilence) {
    schedule_.At(kSilence, [this, node, cut, connection = agent.connection] {
      Agent& there = agents_.at(node);
      if (there.cuts == cut && there.connection == connection) Disconnect(node, "no sign of life");
    });
  }
  schedule_.At(off, [this, node] {
    agents_.at(node).cable = true;
    ConnectSoon(node);
  });
}

void Agents::Lose(const std::string& node) { Disconnect(node, "connection reset"); }

void Agents::Delay(const std::string& node, absl::Duration by) {
  Agent& agent = agents_.at(node);
  agent.late_until = schedule_.now() + absl::Seconds(10);
  agent.late_by = by;
}

void Agents::Crash(const std::string& node, absl::Duration off) {
  Agent& agent = agents_.at(node);
  if (!agent.up || !truth_.machines.at(node).up) return;
  CountCut("agent-crash", node);
  agent.up = false;
  Disconnect(node, "its agent closed the connection");
  schedule_.At(off, [this, node] {
    if (!truth_.machines.at(node).up) return;
    agents_.at(node).up = true;
    ConnectSoon(node);
  });
}

}  // namespace npufleet::simulation
