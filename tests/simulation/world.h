// SPDX-License-Identifier: Apache-2.0
//
// One run: the real core and its store over a simulated fleet, one thread, one script of faults.
// After every step the invariants; at the end convergence, stillness, and nothing run for nothing.
#ifndef TESTS_SIMULATION_WORLD_H_
#define TESTS_SIMULATION_WORLD_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "controller/core/step.h"
#include "controller/stages/plan.h"
#include "controller/store/event_log.h"
#include "controller/store/rollout_store.h"
#include "tests/simulation/agents.h"
#include "tests/simulation/fault.h"
#include "tests/simulation/schedule.h"
#include "tests/simulation/truth.h"

namespace npufleet::simulation {

// What is stored of it, as it comes back.
core::Task Durable(core::Task task);

class World : private Listener {
 public:
  // `keep_history`: what happened is written down, line by line, and the core's events are logged.
  explicit World(const Script& script, bool keep_history = false);

  // To the end: faults, then peace. Stops at the first violation.
  void Run();
  // False when it does not serve by then, or something is violated.
  bool RunUntilServing(absl::Duration limit);
  void RunFor(absl::Duration time);
  void Do(const Fault& fault);
  void RestartController(absl::Duration down);

  const core::State& state() const { return state_; }
  const std::vector<std::string>& violations() const { return violations_; }
  const std::vector<std::string>& history() const { return history_; }
  // What the core was given; the faults and what was violated as remarks.
  const store::EventLog& log() const { return log_; }
  int64_t steps() const { return steps_; }
  int accepted() const { return agents_->accepted(); }
  // Operations that agents took, in that order: "stop serve@node-0", "reboot node-1".
  const std::vector<std::string>& order() const { return agents_->order(); }

 private:
  // Listener.
  void Connected(const std::string& node, const std::string& boot_id) override;
  void Lost(const std::string& node, const std::string& reason) override;
  void Seen(const core::Observed& seen, bool held) override;
  void Ended(const core::OperationEnded& ended, bool held) override;
  void PowerLost(absl::Duration off) override;
  void Violate(const std::string& what) override;

  // --- The controller (world.cc). ---
  bool Turn();  // false: nothing is left to happen
  void Tell(decltype(core::Event::what) what);
  void Step(core::Event event);
  void Commit(const core::StepResult& result, absl::Time time);
  void Perform(const core::Command& command, bool again = false);
  void Apply(const v1::Deployment& deployment);
  void Delete();
  // `committed`: what is in memory is what is stored.
  void ControllerDies(absl::Duration down, bool committed = true);
  void ControllerStarts();
  void CompareWithStore(const core::State& loaded);
  core::State Load();
  core::Task Stored(const core::Task& task);
  const core::Graph& graph() const { return revisions_.at(state_.revision).graph; }
  Plan PlanOf(const std::string& task, uint64_t revision) const;
  bool IsServing() const {
    return controller_up_ && core::PhaseOf(state_) == core::Phase::kServing;
  }

  // --- Faults and operators (faults.cc). ---
  void DoToWorld(const Fault& fault);
  void DoAsOperator(const Fault& fault);
  void ChangeSpec(const std::string& what);

  // --- Invariants (invariants.cc). ---
  void CheckStart(const core::StartOperation& start);
  void CheckApply(const core::StartOperation& start, const core::Task& task);
  void CheckItCanBeDone(const core::StartOperation& start);
  void CheckBelow(const core::StartOperation& start, const core::Task& task);
  void Mourn(const core::Observed& seen);
  void CheckAfterStep();
  void CheckPeace();

  void Say(const std::string& line);
  // What is no event of the core is said to who reads its log, too.
  void Remark(const std::string& line);

  const Script script_;
  const bool keep_history_;
  Schedule schedule_;
  Truth truth_;
  std::unique_ptr<Agents> agents_;
  absl::Time started_;

  core::State state_;
  bool controller_up_ = true;
  bool memory_is_stored_ = true;
  uint64_t life_ = 0;
  std::string crash_at_commit_;  // "before", "after"; empty: no
  absl::Duration crash_lasts_;
  int64_t steps_ = 0;
  size_t next_step_fault_ = 0;
  std::vector<Fault> step_faults_;

  struct Revision {
    v1::Deployment deployment;
    core::Graph graph;                  // without tasks: deleted
    std::map<std::string, Plan> plans;  // by task
    bool served = false;
  };
  std::map<uint64_t, Revision> revisions_;

  // What is stored: by the word of StepResult alone. In one of 32 seeds it is SQLite that has it.
  std::map<std::string, core::Task> stored_tasks_;
  std::map<std::string, core::Node> stored_nodes_;
  core::State stored_rollout_;
  std::unique_ptr<store::RolloutStore> store_;

  bool knew_it_answers_ = false;  // before the present step
  // Since it last served, something was lost, or an operator asked for what disturbs.
  bool excused_ = true;
  // What the core was told of a task since its node came: whether it truly was as wanted then.
  struct Told {
    bool held = false;
    int64_t step = 0;  // of the core, in which it was told
    std::string reason;
  };
  std::map<std::string, Told> told_;
  // What died by itself -> what is below it and had something said of it, and the step of the core
  // after which that is to be heard of again. A report that is on its way meanwhile looks like one
  // that was asked for.
  std::map<std::string, std::map<std::string, int64_t>> to_look_at_;
  std::map<std::string, core::Sight> last_sight_;  // by task: as it was last reported
  std::vector<std::string> violations_;
  std::vector<std::string> history_;
  store::EventLog log_;
};

}  // namespace npufleet::simulation

#endif  // TESTS_SIMULATION_WORLD_H_
