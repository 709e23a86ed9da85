// SPDX-License-Identifier: Apache-2.0
#include "controller/runtime/dry_run.h"

#include <deque>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/spec/driver_version.h"
#include "common/time_conversion.h"
#include "controller/core/step.h"
#include "controller/runtime/wire.h"
#include "controller/stages/commands.h"
#include "controller/stages/stage.h"

namespace npufleet::runtime {
namespace {

constexpr char kPlanned[] = "planned:";
constexpr char kFetched[] = "fetched";  // what fetch_installers always says
constexpr int kMostSteps = 10'000;

class DryPerformer {
 public:
  explicit DryPerformer(DryRunInput input) : input_(std::move(input)) {}

  v1::Plan Run() {
    core::State& state = input_.state;
    serving_ = core::IsServing(state);
    Step(core::SpecApplied{input_.plan.graph});
    for (const DryRunInput::Node& node : input_.nodes) {
      if (node.connected) {
        Step(core::NodeConnected{node.name, node.boot_id, node.hosts_controller});
      } else {
        plan_.add_blocked(absl::StrCat(node.name, ": ", node.reason));
      }
    }
    while (true) {
      if (plan_.steps_size() > kMostSteps) {
        plan_.add_blocked("no end of it is foreseen: what is done is undone again");
        break;
      }
      if (!checks_.empty()) {
        LookAtAll();
      } else if (!starts_.empty()) {
        const core::StartOperation start = starts_.front();
        starts_.pop_front();
        Pretend(start);
      } else if (!under_way_.empty()) {
        const core::StartOperation start = under_way_.begin()->second;
        input_.now = under_way_.begin()->first;
        under_way_.erase(under_way_.begin());
        End(start);
      } else {
        break;
      }
    }
    SayOutage();
    for (const core::Task& task : state.tasks) {
      if (task.current && planned_.count(task.plan.id) == 0) {
        plan_.add_current(task.plan.id);
        const std::string why = WhyKept(task);
        if (!why.empty()) plan_.add_notes(absl::StrCat(task.plan.id, " is left as it is: ", why));
      }
      if (!task.current) plan_.add_blocked(absl::StrCat(task.plan.id, ": ", task.reason));
    }
    if (input_.commands) AddSkipped(static_cast<int>(state.tasks.size()), "");
    return std::move(plan_);
  }

 private:
  template <typename What>
  void Step(What what) {
    const core::StepResult result = core::Step(input_.state, {input_.now, std::move(what)});
    FollowOutage();
    for (const core::Command& command : result.commands) {
      if (const auto* check = std::get_if<core::CheckTask>(&command)) checks_.push_back(*check);
      if (const auto* start = std::get_if<core::StartOperation>(&command))
        starts_.push_back(*start);
    }
  }

  // One call a node for all that is to be looked at now and was not only pretended.
  void LookAtAll() {
    std::vector<core::CheckTask> checks;
    checks.swap(checks_);
    std::map<std::string, v1::CheckRequest> requests;
    std::map<std::string, v1::Observation> seen;
    for (const core::CheckTask& check : checks) {
      if (Predict(check)) continue;
      *requests[check.node].add_subjects() = SubjectOf(
          check.task, check.node, input_.plan.verbs[check.task], check.stamp, check.inputs);
    }
    for (const auto& [node, request] : requests) {
      absl::StatusOr<v1::CheckReply> reply = input_.check(node, request);
      if (!reply.ok()) {
        plan_.add_blocked(absl::StrCat(node, ": ", std::string(reply.status().message())));
        continue;
      }
      for (const v1::TaskObservation& one : reply->observations())
        seen[one.task()] = one.observation();
    }
    for (const core::CheckTask& check : checks) {
      const std::optional<core::Observation> predicted = Predict(check);
      const auto found = seen.find(check.task);
      Step(core::Observed{
          check.task, check.stamp,
          predicted ? *predicted : Judge(check, found == seen.end() ? nullptr : &found->second)});
    }
  }

  // What its agent would say after all that was pretended; nullopt: nothing of that concerns it.
  std::optional<core::Observation> Predict(const core::CheckTask& check) const {
    const auto found = pretended_.find(check.task);
    if (found == pretended_.end()) return std::nullopt;
    const Pretended& left = found->second;
    const core::Task* task = input_.state.Find(check.task);
    const bool runs = task != nullptr && task->plan.running;
    if (left.stamp == check.stamp || (runs && left.seen.sight == core::Sight::kAbsent))
      return left.seen;
    if (!runs) return std::nullopt;
    core::Observation another;
    another.sight = core::Sight::kAbsent;
    another.token = left.seen.token;
    another.reason = "what it stands on has changed";
    return another;
  }

  // What an agent has said (nullptr: nothing), in the light of what was pretended under it.
  core::Observation Judge(const core::CheckTask& check, const v1::Observation* said) {
    core::Observation observation;
    if (said != nullptr) {
      observation = FromWire(*said);
      const auto& facts = said->facts();
      if (const auto skipped = facts.find("skipped"); skipped != facts.end())
        skipped_[check.task] = skipped->second;
      if (const auto missing = facts.find("missing"); missing != facts.end())
        missing_[check.task] = missing->second;
    } else {
      observation.sight = core::Sight::kUnknown;
      observation.reason = "its node did not answer";
    }
    if (observation.reboot_needed && rebooted_.count(check.node) > 0) {
      // Its agent knows nothing of the reboot that was only pretended.
      observation.sight = core::Sight::kPresent;
      if (observation.token.empty()) observation.token = absl::StrCat(kPlanned, check.task);
      observation.reboot_needed = false;
      observation.failure.reset();
    }
    // What looks by way of something that is only planned (the pings of chips without a driver)
    // has nothing to tell of it yet; what stands on it would have no stamp.
    if (observation.sight == core::Sight::kPresent && observation.token.empty())
      observation.token = absl::StrCat(kPlanned, check.task);
    for (const auto& [need, token] : check.inputs) {
      // Docker is not there yet, so its images cannot be seen: they will have to be made.
      if (absl::StartsWith(token, kPlanned) && observation.sight != core::Sight::kPresent) {
        observation.sight = core::Sight::kAbsent;
        observation.reason = absl::StrCat("after ", need);
        observation.failure.reset();
        break;
      }
    }
    return observation;
  }

  void Pretend(const core::StartOperation& start) {
    v1::Plan::Step& step = *plan_.add_steps();
    const core::Task* task = input_.state.Find(start.task);
    step.set_task(start.task.empty() ? absl::StrCat("reboot@", start.node) : start.task);
    step.set_reboot(start.action == core::Action::kReboot);
    if (!step.reboot()) step.set_action(ToWire(start.action));
    step.set_reason(start.action == core::Action::kStop
                        ? "is stopped before what is under it changes"
                    : task != nullptr ? task->seen.reason
                                      : "what was installed is in effect from the next boot on");
    step.set_disturbs(serving_ && (task == nullptr || task->plan.disturbs));
    if (step.disturbs()) plan_.set_interrupts_service(true);
    if (input_.commands) AddCommands(start, task, step.reason());
    if (start.action != core::Action::kReboot) planned_[start.task] = true;
    // Side by side with what else is under way, as long as it took the last time.
    const absl::Duration took = TookLastTime(start);
    if (took > absl::ZeroDuration()) {
      *step.mutable_expected() = ToProtoDuration(took);
    } else if (outage_since_ < absl::InfiniteFuture() && (task == nullptr || HasWork(task->plan))) {
      plan_.add_never_run(step.task());
    }
    under_way_.emplace(input_.now + took, start);
  }

  // What only looks takes no time to speak of.
  static bool HasWork(const core::TaskPlan& plan) {
    return plan.running || plan.disturbs || plan.prepares;
  }

  absl::Duration TookLastTime(const core::StartOperation& start) const {
    if (start.action == core::Action::kReboot) return input_.state.nodes.at(start.node).reboot_took;
    const core::Task* task = input_.state.Find(start.task);
    if (task == nullptr) return absl::ZeroDuration();
    return start.action == core::Action::kStop ? task->stop_took : task->apply_took;
  }

  void End(const core::StartOperation& start) {
    if (start.action == core::Action::kReboot) return EndReboot(start);
    core::OperationEnded ended;
    ended.operation = start.operation;
    ended.result = core::OperationEnded::Result::kSucceeded;
    ended.observation =
        start.action == core::Action::kStop
            ? Gone("was stopped before what is under it changes")
            : Made(start.task, absl::StrCat(kPlanned, start.operation), /*after_reboot=*/false);
    pretended_[start.task] = {start.stamp, ended.observation};
    Step(ended);
  }

  void EndReboot(const core::StartOperation& start) {
    rebooted_.insert(start.node);
    const core::Node& node = input_.state.nodes.at(start.node);
    for (const int i : node.tasks) {
      const core::Task& task = input_.state.tasks[i];
      const auto left = pretended_.find(task.plan.id);
      if (task.plan.running) {
        const bool stopped =
            left != pretended_.end() && left->second.seen.sight == core::Sight::kAbsent;
        if (!stopped) pretended_[task.plan.id].seen = Gone("ends with the reboot of its node");
      } else if (left != pretended_.end() && left->second.seen.reboot_needed) {
        left->second.seen = Made(task.plan.id, absl::StrCat(kPlanned, task.last_operation),
                                 /*after_reboot=*/true);
      }
    }
    Step(core::NodeConnected{start.node, absl::StrCat(kPlanned, start.operation),
                             node.hosts_controller});
  }

  static core::Observation Gone(std::string why) {
    core::Observation gone;
    gone.sight = core::Sight::kAbsent;
    gone.reason = std::move(why);
    return gone;
  }

  // What the Check at the end of its Apply would say.
  core::Observation Made(const std::string& id, std::string token, bool after_reboot) const {
    core::Observation made;
    const core::Task* task = input_.state.Find(id);
    if (!after_reboot && task != nullptr && stages::Reboots(task->plan.stage)) {
      // Whether an install really needs it is known only afterwards.
      made.sight = core::Sight::kAbsent;
      made.reason = "in effect from the next boot on";
      made.reboot_needed = true;
      return made;
    }
    made.sight = core::Sight::kPresent;
    made.token = std::move(token);
    // What stands on it is there already, or not, whatever was fetched: its own Check says so.
    const auto verb = input_.plan.verbs.find(id);
    if (verb != input_.plan.verbs.end() && verb->second.has_fetch_installers())
      made.token = kFetched;
    return made;
  }

  // It begins with the first start or stop of something that runs, and ends with the last probe.
  void FollowOutage() {
    const bool serves = core::IsServing(input_.state);
    if (serving_ && !serves && outage_since_ == absl::InfiniteFuture()) outage_since_ = input_.now;
    if (serves) served_at_ = input_.now;
  }

  void SayOutage() {
    if (outage_since_ == absl::InfiniteFuture() || served_at_ < outage_since_) return;
    *plan_.mutable_outage() = ToProtoDuration(served_at_ - outage_since_);
  }

  void AddCommands(const core::StartOperation& start, const core::Task* task,
                   const std::string& reason) {
    if (task != nullptr) AddSkipped(input_.state.index.at(start.task), start.node);
    v1::Plan::Commands& part = *plan_.add_commands();
    part.set_node(start.node);
    part.set_reason(reason);
    std::vector<std::string> lines;
    if (task == nullptr) {
      part.set_task(absl::StrCat("reboot@", start.node));
      v1::Verb reboot;
      reboot.mutable_reboot_node();
      lines = stages::ApplyCommands(reboot, {});
    } else if (start.action == core::Action::kStop) {
      part.set_task(absl::StrCat("stop ", start.task));
      lines = stages::StopCommands(input_.plan.verbs[start.task]);
    } else {
      part.set_task(start.task);
      told_.insert(start.task);
      const core::Task* preflight = input_.state.Find(stages::TaskId("preflight", start.node));
      const v1::Verb& container = input_.plan.verbs[stages::TaskId("container", start.node)];
      lines = stages::ApplyCommands(input_.plan.verbs[start.task],
                                    {.os = preflight == nullptr ? "" : preflight->token,
                                     .standing = task->seen.token,
                                     .image = container.run_container().image(),
                                     .missing = missing_[start.task]});
    }
    for (std::string& line : lines) part.add_lines(std::move(line));
  }

  // Why a task is current although what the spec names first is not there; else empty.
  std::string WhyKept(const core::Task& task) const {
    if (auto found = skipped_.find(task.plan.id); found != skipped_.end()) return found->second;
    if (task.seen.sight == core::Sight::kDrifted) return task.seen.reason;
    const auto verb = input_.plan.verbs.find(task.plan.id);
    if (verb == input_.plan.verbs.end() || !verb->second.has_install_driver()) return "";
    // "24.1.rc3/7.5": driver and firmware.
    const std::string driver = task.seen.token.substr(0, task.seen.token.find('/'));
    const v1::InstallDriver& want = verb->second.install_driver();
    for (const std::string& accepted : want.accepted_versions()) {
      if (driver == want.version() || !spec::AcceptsDriverVersion(accepted, driver)) continue;
      return absl::StrCat("driver.acceptedVersions has ", accepted, ", so ", want.version(),
                          " is not installed");
    }
    return "";
  }

  // What stands before `end` in the graph and needs nothing, on `node` or (when empty) on all.
  void AddSkipped(int end, const std::string& node) {
    for (int i = 0; i < end; ++i) {
      const core::Task& task = input_.state.tasks[i];
      if (!node.empty() && task.plan.node != node) continue;
      if (task.retired || planned_.count(task.plan.id) > 0) continue;
      if (!node.empty() && !task.current) continue;  // its turn may come yet
      if (!told_.insert(task.plan.id).second) continue;
      v1::Plan::Commands& part = *plan_.add_commands();
      part.set_task(task.plan.id);
      part.set_node(task.plan.node);
      part.set_skipped(true);
      const std::string why = WhyKept(task);
      part.set_reason(!task.current ? task.reason
                      : why.empty() ? absl::StrCat("as wanted (", ShownToken(task), ")")
                                    : absl::StrCat("left as it is (", task.token, "): ", why));
    }
  }

  // "fetched" alone does not say of what.
  static std::string ShownToken(const core::Task& task) {
    return task.token == kFetched ? "no install needs another file" : task.token;
  }

  // What an operation that was only pretended has left behind.
  struct Pretended {
    std::string stamp;
    core::Observation seen;
  };

  DryRunInput input_;
  v1::Plan plan_;
  std::set<std::string> told_;                  // tasks that the commands name
  std::map<std::string, std::string> skipped_;  // tasks that have nothing to do here, with why
  std::map<std::string, std::string> missing_;  // tasks that are to fetch files, with which
  bool serving_ = false;
  std::set<std::string> rebooted_;  // nodes, pretended
  std::vector<core::CheckTask> checks_;
  std::deque<core::StartOperation> starts_;
  std::multimap<absl::Time, core::StartOperation> under_way_;  // by when they end
  absl::Time outage_since_ = absl::InfiniteFuture();
  absl::Time served_at_ = absl::InfinitePast();
  std::map<std::string, bool> planned_;
  std::map<std::string, Pretended> pretended_;  // by task: its agent is not asked
};

}  // namespace

v1::Plan DryRun(DryRunInput input) { return DryPerformer(std::move(input)).Run(); }

}  // namespace npufleet::runtime
