// SPDX-License-Identifier: Apache-2.0
//
// What a fault of the script does.
#include <algorithm>
#include <map>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "tests/simulation/coverage.h"
#include "tests/simulation/deployment.h"
#include "tests/simulation/world.h"

namespace npufleet::simulation {

void World::Do(const Fault& fault) {
  static const std::map<std::string, int>* const kOperators = new std::map<std::string, int>{
      {"pause", 0}, {"resume", 0}, {"cancel", 0}, {"retry", 0},      {"restart", 0},
      {"spec", 0},  {"undo", 0},   {"delete", 0}, {"node-reboot", 0}};
  if (kOperators->count(fault.what) == 0) {
    Remark(absl::StrCat("!! ", fault.what, " ", fault.target, " ", fault.amount));
    DoToWorld(fault);
  } else if (controller_up_) {
    Remark(absl::StrCat("!! ", fault.what, " ", fault.target));
    DoAsOperator(fault);
  } else {
    schedule_.At(absl::Seconds(1), [this, fault] { Do(fault); });  // an operator tries again
  }
}

void World::DoToWorld(const Fault& fault) {
  const std::string& what = fault.what;
  const absl::Time now = schedule_.now();
  const absl::Duration lasts = absl::Milliseconds(fault.amount);
  if (absl::StartsWith(what, "verb-")) {
    agents_->Arm({what, fault.target, lasts});
    if (what != "verb-hang") excused_ = true;
    return;
  }
  if (what == "trap") {
    const std::vector<std::string> parts = absl::StrSplit(fault.target, ':');
    if (parts.size() != 3) return;
    if (parts[1] != "hang") excused_ = true;
    return agents_->Set({parts[0], parts[1], parts[2], lasts});
  }
  if (what == "controller-crash") return ControllerDies(lasts);
  if (absl::StartsWith(what, "controller-crash-")) {
    crash_at_commit_ = what == "controller-crash-before-commit" ? "before" : "after";
    crash_lasts_ = lasts;
    return;
  }
  if (what == "freeze") {
    for (auto& [name, machine] : truth_.machines) {
      for (auto& [task, thing] : machine.things) {
        if (StageOf(task) == "serve") thing.frozen = true;
      }
    }
    excused_ = true;
    return;
  }
  const std::string node = NodeOf(fault.target);
  auto machine = truth_.machines.find(node);
  if (machine == truth_.machines.end()) return;
  if (what == "cut") return agents_->Cut(node, lasts);
  if (what == "lose") return agents_->Lose(node);
  if (what == "late") return agents_->Delay(node, lasts);
  if (what == "twice") return agents_->Repeat(node);
  if (what == "agent-crash") return agents_->Crash(node, lasts);
  if (what == "power-cut") {
    excused_ = true;
    return agents_->PowerCut(node, lasts);
  }
  if (what == "chip") {
    const std::string& kind = machine->second.chip.fault = StageOf(fault.target);
    machine->second.chip.reset_boot = 0;
    machine->second.chip.until = now + lasts;
    Coverage::Hit("chip", kind);
    if (kind == "go-on") return;
    excused_ = true;
    // Some servers die of it at once, and some are told so by their operators first.
    if (kind == "gone" || kind == "restart" || fault.amount % 2 == 1) {
      truth_.Kill("serve@node-0", now);
      agents_->Notice("serve@node-0");
    }
    return;
  }
  if (what == "unmet" || what == "refused") {
    machine->second.unmet[fault.target] = {now + lasts, what == "refused"};
    Coverage::Hit(what, StageOf(fault.target));
    return;
  }
  if (what == "blind") {
    Coverage::Hit(what, StageOf(fault.target));
    machine->second.blind[fault.target] = now + lasts;
    return;
  }
  auto thing = machine->second.things.find(fault.target);
  if (thing == machine->second.things.end()) return;
  Coverage::Hit(what, StageOf(fault.target));
  if (what == "damage") {
    thing->second.torn = true;
    machine->second.broken[fault.target] = now;
  } else if (what == "drift") {
    thing->second.drifted = true;
    thing->second.token += "+";
  } else if (what == "busy") {
    thing->second.busy = true;
  } else if (what == "stuck") {
    excused_ = true;
    thing->second.stuck = true;
  } else if (what == "kill") {
    excused_ = true;
    truth_.Kill(fault.target, now);
    for (const auto& [name, other] : truth_.machines) agents_->Notice(absl::StrCat("@", name));
  }
}

void World::DoAsOperator(const Fault& fault) {
  const std::string& what = fault.what;
  if (what == "pause") {
    Tell(core::PauseRequested());
  } else if (what == "resume") {
    Tell(core::ResumeRequested());
  } else if (what == "cancel") {
    Tell(core::CancelRequested());
  } else if (what == "retry") {
    Tell(core::RetryRequested());
  } else if (what == "restart") {
    excused_ = true;
    Tell(core::RestartRequested{fault.target.empty() ? "container" : fault.target, ""});
  } else if (what == "node-reboot") {
    excused_ = true;
    Tell(core::RebootRequested{fault.target});
  } else if (what == "delete") {
    if (!graph().tasks.empty()) Delete();
  } else if (what == "spec") {
    ChangeSpec(fault.target);
  } else if (what == "undo") {
    for (auto at = revisions_.rbegin(); at != revisions_.rend(); ++at) {
      if (at->second.served && at->first < state_.revision)
        return Apply(v1::Deployment(at->second.deployment));
    }
  }
}

void World::ChangeSpec(const std::string& what) {
  const uint64_t number = state_.revision + 1;
  v1::Deployment changed = revisions_.at(state_.revision).deployment;
  v1::DeploymentSpec& spec = *changed.mutable_spec();
  if (what == "image") spec.mutable_image()->set_name(absl::StrCat("vllm:", number));
  if (what == "engine") spec.mutable_engine()->set_block_size(static_cast<uint32_t>(number));
  if (what == "driver") spec.mutable_driver()->set_version(absl::StrCat("25.", number));
  if (what == "model") spec.mutable_model()->set_path(absl::StrCat("/data/", number));
  if (what == "docker") spec.mutable_docker()->mutable_binary()->set_version(absl::StrCat(number));
  if (what == "ray") spec.mutable_ray()->set_port(static_cast<uint32_t>(6379 + number));
  if (what == "fewer" && spec.nodes_size() > 1) spec.mutable_nodes()->RemoveLast();
  if (what == "more") *spec.mutable_nodes() = MakeDeployment(script_.nodes).spec().nodes();
  Apply(changed);
}

}  // namespace npufleet::simulation
