// SPDX-License-Identifier: Apache-2.0
#include "tests/simulation/truth.h"

#include <optional>

#include "absl/strings/str_cat.h"
#include "tests/simulation/fault.h"

namespace npufleet::simulation {
namespace {

using core::Sight;
using Result = core::OperationEnded::Result;

bool IsOnlySeen(const std::string& stage) {
  return stage == "preflight" || stage == "npu" || stage == "fabric" || stage == "reach";
}

bool RestartsDocker(const std::string& stage) {
  return stage == "docker" || stage == "runtime" || stage == "driver";
}

core::OperationEnded Failed(const core::StartOperation& start, core::FailureClass failure_class,
                            const std::string& symptom, const std::string& redo = "") {
  core::OperationEnded ended;
  ended.operation = start.operation;
  ended.result = Result::kFailed;
  ended.failure.failure_class = failure_class;
  ended.failure.symptom = symptom;
  ended.failure.redo_stage = redo;
  return ended;
}

}  // namespace

std::string StageOf(const std::string& task) { return task.substr(0, task.find('@')); }
std::string NodeOf(const std::string& task) { return task.substr(task.find('@') + 1); }

bool IsRunning(const std::string& stage) {
  return stage == "container" || stage == "ray-head" || stage == "ray-worker" || stage == "serve";
}

const Thing* Truth::Find(const std::string& task) const {
  auto machine = machines.find(NodeOf(task));
  if (machine == machines.end()) return nullptr;
  auto found = machine->second.things.find(task);
  return found == machine->second.things.end() ? nullptr : &found->second;
}

bool Truth::Stands(const Thing& thing) const {
  for (const auto& [task, token] : thing.on) {
    const Thing* below = Find(task);
    if (below == nullptr || below->token != token || !Stands(*below)) return false;
  }
  return true;
}

bool Truth::Answers() const {
  for (const auto& [name, machine] : machines) {
    for (const auto& [task, thing] : machine.things) {
      if (StageOf(task) == "serve" && !thing.frozen && Stands(thing)) return true;
    }
  }
  return false;
}

bool Truth::Serves(const core::Graph& graph, absl::Time now, std::string* why) const {
  std::map<std::string, const core::TaskPlan*> wanted;
  for (const core::TaskPlan& plan : graph.tasks) {
    wanted[plan.id] = &plan;
    if (plan.stage == "probe") continue;
    if (!Holds(plan, now, why)) return false;
    if (IsOnlySeen(plan.stage)) continue;
    const Thing* thing = Find(plan.id);
    // Another Docker than wanted is taken as found by who comes upon it.
    const bool found = plan.stage == "docker" || plan.stage == "runtime";
    if (thing == nullptr || thing->torn ||
        (thing->want != plan.want && !thing->drifted && !(found && foreign_docker_is_fine))) {
      *why = absl::StrCat(plan.id, " is not what is wanted");
      return false;
    }
  }
  for (const auto& [name, machine] : machines) {
    for (const auto& [task, thing] : machine.things) {
      if (IsRunning(StageOf(task)) && wanted.count(task) == 0) {
        *why = absl::StrCat(task, " still runs");
        return false;
      }
    }
  }
  if (!Answers()) *why = "no tokens";
  return Answers();
}

// --- What really is there ------------------------------------------------------------------------

std::string Truth::TrueToken(const std::string& task) const {
  const Thing* thing = Find(task);
  if (thing == nullptr) return "";  // what is only seen has one token for ever
  return thing->token.substr(0, thing->token.find('+'));
}

std::string Truth::ChipFault(const Machine& machine, absl::Time now) const {
  return now < machine.chip.until ? machine.chip.fault : "";
}

bool Truth::ServerIsUp() const {
  for (const auto& [name, machine] : machines) {
    for (const auto& [task, thing] : machine.things) {
      if (StageOf(task) == "serve") return true;
    }
  }
  return false;
}

core::Observation Truth::LookAtChips(const Machine& machine, absl::Time now) const {
  const std::string fault = ChipFault(machine, now);
  const std::string code = absl::StrCat("chip 3: code of class ", fault);
  const core::Failure hardware = {.failure_class = core::FailureClass::kHardware, .symptom = code};
  if (fault.empty()) return {.sight = Sight::kPresent, .token = "chips"};
  if (fault == "gone" || fault == "replace")
    return {.sight = Sight::kAbsent, .reason = code, .failure = hardware};
  if (fault == "go-on" || fault == "restart" || ServerIsUp())
    return {.sight = Sight::kPresent, .token = "chips", .reason = code};
  if (machine.chip.reset_boot == machine.boot)
    return {.sight = Sight::kAbsent, .reason = code, .reboot_needed = true};
  return {.sight = Sight::kAbsent, .reason = code};
}

void Truth::Looked(const core::TaskPlan& plan, const core::Observation& seen) {
  if (!plan.condition || seen.sight != Sight::kPresent) return;
  std::string made_for = plan.want;
  for (const std::string& need : plan.needs) absl::StrAppend(&made_for, "|", TrueToken(need));
  machines.at(plan.node).met[plan.id].insert(made_for);
}

bool Truth::Holds(const core::TaskPlan& plan, absl::Time now, std::string* why) const {
  const Machine& machine = machines.at(plan.node);
  const auto no = [&](const std::string& what) {
    if (why != nullptr) *why = absl::StrCat(plan.id, what);
    return false;
  };
  if (plan.condition) {
    std::string made_for = plan.want;
    for (const std::string& need : plan.needs) absl::StrAppend(&made_for, "|", TrueToken(need));
    auto met = machine.met.find(plan.id);
    const bool is_met = met != machine.met.end() && met->second.count(made_for) > 0;
    return is_met || no(" was never met for what is below it");
  }
  if (plan.stage == "npu") {
    return LookAtChips(machine, now).sight == Sight::kPresent || no(" has a chip of no use");
  }
  if (plan.stage == "probe") return true;
  const Thing* thing = Find(plan.id);
  if (!machine.up || thing == nullptr) return no(" is not there");
  if (thing->torn) return no(" is torn");
  const bool works = plan.stage == "docker" || plan.stage == "runtime";
  if (thing->want != plan.want && !thing->drifted && !works) return no(" is another than wanted");
  if (plan.stage == "driver" && thing->boot == machine.boot) return no(" is not in effect yet");
  if (!plan.running) return true;
  if (!Stands(*thing)) return no(" has lost what it stands on");
  for (const std::string& need : plan.needs) {
    auto made = thing->made_of.find(need);
    if (made == thing->made_of.end() || made->second != TrueToken(need))
      return no(absl::StrCat(" was made for another ", need));
  }
  return true;
}

core::Observation Truth::Look(const core::TaskPlan& plan, const std::string& stamp,
                              absl::Time now) const {
  const Machine& machine = machines.at(plan.node);
  if (auto blind = machine.blind.find(plan.id);
      blind != machine.blind.end() && now < blind->second) {
    return {.sight = Sight::kUnknown, .reason = "-8005"};
  }
  const auto unmet = machine.unmet.find(plan.id);
  const bool is_unmet = unmet != machine.unmet.end() && now < unmet->second.until;
  std::optional<core::Failure> refusal;
  if (is_unmet && unmet->second.refused) {
    refusal = {.failure_class = core::FailureClass::kNeedsOperator,
               .symptom = plan.condition ? "a port has no address" : "a tool is missing"};
  }
  if (is_unmet && plan.condition)
    return {.sight = Sight::kAbsent, .reason = "not met", .failure = refusal};
  if (plan.stage == "npu") return LookAtChips(machine, now);
  if (plan.stage == "preflight") return {.sight = Sight::kPresent, .token = "os"};
  if (IsOnlySeen(plan.stage)) return {.sight = Sight::kPresent, .token = "rails"};
  if (plan.stage == "probe") {
    if (Answers()) return {.sight = Sight::kPresent, .token = "tokens"};
    return {.sight = Sight::kAbsent,
            .reason = "no tokens",
            .failure = core::Failure{.failure_class = core::FailureClass::kRedo,
                                     .redo_stage = "serve",
                                     .symptom = "no tokens"}};
  }
  if ((plan.stage == "image" || plan.stage == "container") &&
      machine.things.count(absl::StrCat("docker@", plan.node)) == 0) {
    return {.sight = Sight::kUnknown, .reason = "Docker is silent"};
  }
  const Thing* thing = Find(plan.id);
  if (thing == nullptr) return {.sight = Sight::kAbsent, .reason = "not there"};
  if (plan.running) {
    if (thing->stamp != stamp)
      return {.sight = Sight::kAbsent, .token = thing->token, .reason = "made for another want"};
    if (plan.stage == "ray-worker" && !Stands(*thing))
      return {.sight = Sight::kAbsent, .token = thing->token, .reason = "the head lists it dead"};
    return {.sight = Sight::kPresent, .token = thing->token};
  }
  if (thing->torn) return {.sight = Sight::kAbsent, .reason = "torn"};
  const bool works = plan.stage == "docker" || plan.stage == "runtime";
  if (thing->want != plan.want && !thing->drifted && !works) {
    return {.sight = Sight::kAbsent,
            .token = thing->token,
            .reason = "another version",
            .failure = refusal};
  }
  if (plan.stage == "driver" && thing->boot == machine.boot)
    return {.sight = Sight::kAbsent, .reason = "installed", .reboot_needed = true};
  if (thing->drifted || thing->want != plan.want)
    return {.sight = Sight::kDrifted, .token = thing->token, .reason = "changed by hand"};
  return {.sight = Sight::kPresent, .token = thing->token};
}

core::OperationEnded Truth::Apply(const core::TaskPlan& plan, const core::StartOperation& start,
                                  absl::Time now) {
  using core::FailureClass;
  Machine& machine = machines.at(plan.node);
  core::OperationEnded ended;
  ended.operation = start.operation;
  ended.result = Result::kSucceeded;
  const auto fresh = [&] { return absl::StrCat("t", ++tokens_); };
  if (plan.stage == "npu" && Look(plan, start.stamp, now).sight == Sight::kAbsent) {
    if (machine.chip.fault == "reset") machine.chip = {};
    if (machine.chip.fault == "reset-fails") machine.chip.reset_boot = machine.boot;
    ended.observation = Look(plan, start.stamp, now);
    if (ended.observation.reboot_needed) return ended;
  }
  if (plan.stage == "probe" || IsOnlySeen(plan.stage)) {
    ended.observation = Look(plan, start.stamp, now);
    if (ended.observation.sight == Sight::kPresent) return ended;
    return plan.stage == "probe" ? Failed(start, FailureClass::kRedo, "no tokens", "serve")
                                 : Failed(start, FailureClass::kTransient, "not seen");
  }
  if (plan.stage == "serve") {
    for (const auto& [name, other] : machines) {
      const std::string fault = ChipFault(other, now);
      const bool is_used = Find(absl::StrCat("container@", name)) != nullptr;
      if (is_used && !fault.empty() && fault != "go-on" && fault != "restart")
        return Failed(start, FailureClass::kTransient, "a chip does not answer");
    }
  }
  if (plan.running) {
    Thing made{.want = plan.want, .stamp = start.stamp, .boot = machine.boot, .since = now};
    for (const std::string& need : plan.needs) {
      made.made_of[need] = TrueToken(need);
      if (!IsRunning(StageOf(need))) continue;
      const Thing* below = Find(need);
      if (below == nullptr || !Stands(*below))
        return Failed(start, FailureClass::kTransient, "what it stands on is gone");
      made.on[need] = below->token;
    }
    if (Find(plan.id) != nullptr) {
      TakeDownAbove(plan.id, plan.id, now);
      machine.things.erase(plan.id);
    }
    made.token = fresh();
    machine.things[plan.id] = made;
  } else {
    if ((plan.stage == "image" || plan.stage == "runtime") &&
        machine.things.count(absl::StrCat("docker@", plan.node)) == 0)
      return Failed(start, FailureClass::kTransient, "Docker is silent");
    const std::string container = absl::StrCat("container@", plan.node);
    if (RestartsDocker(plan.stage) && Find(container) != nullptr) {
      collateral_.push_back(absl::StrCat(container, " with ", plan.id));
      Kill(container, now);
    }
    const bool is_prefetch = plan.stage == "installers";  // of constant token
    machine.things[plan.id] = {
        .token = is_prefetch ? "fetched" : absl::StrCat("v", plan.want.substr(0, 8)),
        .want = plan.want,
        .boot = machine.boot,
        .since = now};
  }
  ended.observation = Look(plan, start.stamp, now);
  // Success is what the second Check has seen.
  if (ended.observation.sight == Sight::kUnknown)
    return Failed(start, FailureClass::kTransient, "its result cannot be seen");
  return ended;
}

void Truth::TakeDownAbove(const std::string& task, const std::string& cause, absl::Time now) {
  std::vector<std::string> above;
  for (const auto& [name, machine] : machines) {
    for (const auto& [other, thing] : machine.things) {
      if (thing.on.count(task) > 0 && Stands(thing)) above.push_back(other);
    }
  }
  for (const std::string& other : above)
    collateral_.push_back(absl::StrCat(other, " with ", cause));
  Kill(task, now);
}

core::OperationEnded Truth::Stop(const std::string& task, absl::Time now) {
  core::OperationEnded ended;
  Thing* thing = Find(task);
  if (thing != nullptr && (thing->busy || thing->stuck)) {
    ended.result = core::OperationEnded::Result::kFailed;
    ended.failure.symptom = thing->stuck ? "it outlives its SIGKILL" : "device busy";
    ended.failure.signature = "SIM-02";
    ended.failure.failure_class =
        thing->stuck ? core::FailureClass::kReboot : core::FailureClass::kTransient;
    thing->busy = false;
    return ended;
  }
  if (thing != nullptr) TakeDownAbove(task, absl::StrCat("stop of ", task), now);
  ended.result = core::OperationEnded::Result::kSucceeded;
  ended.observation = {.sight = core::Sight::kAbsent, .reason = "stopped"};
  return ended;
}

void Truth::Kill(const std::string& task, absl::Time now) {
  if (Find(task) == nullptr) return;
  Machine& machine = machines.at(NodeOf(task));
  machine.things.erase(task);
  machine.broken[task] = now;
  std::vector<std::string> above;
  for (const auto& [name, other_machine] : machines) {
    for (const auto& [other, thing] : other_machine.things) {
      if (thing.on.count(task) > 0) above.push_back(other);
    }
  }
  for (const std::string& other : above) {
    Thing* thing = Find(other);
    if (thing == nullptr) continue;
    machines.at(NodeOf(other)).broken[other] = now;
    const bool elsewhere = NodeOf(other) != NodeOf(task);
    // Across the network some notice, and some stay: a raylet without its head, a server that
    // waits for a rank.
    if (elsewhere && Spread(seed_, absl::StrCat(other, thing->token)) % 2 == 0) {
      if (StageOf(other) == "serve") thing->frozen = true;
    } else {
      Kill(other, now);
    }
  }
}

void Truth::LosePower(Machine& machine, absl::Time now) {
  std::vector<std::string> lost;
  for (const auto& [task, thing] : machine.things) {
    if (IsRunning(StageOf(task))) lost.push_back(task);
  }
  for (const std::string& task : lost) Kill(task, now);
  if (machine.chip.fault == "reset" || machine.chip.reset_boot == machine.boot) machine.chip = {};
  machine.up = false;
}

}  // namespace npufleet::simulation
