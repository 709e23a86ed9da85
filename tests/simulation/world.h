// SPDX-License-Identifier: Apache-2.0
//
// A fleet that exists only in memory: nodes with boots, installed things and running things, agents
// with journals, a network, and a clock that is turned by hand. One thread, one seed. It is the
// truth by which the core is judged.
#ifndef TESTS_SIMULATION_WORLD_H_
#define TESTS_SIMULATION_WORLD_H_

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <queue>
#include <random>
#include <string>
#include <vector>

#include "controller/core/step.h"
#include "controller/stages/plan.h"

namespace npufleet::simulation {

struct Faults {
  double per_second = 0.05;  // of the world: reboots, cuts, deaths
  double operation = 0.1;    // that an operation fails
  double crash = 0.01;       // of the controller, per step
  double operators = 0.005;  // a command of an operator, per step
  bool enabled = true;
};

class World {
 public:
  World(uint64_t seed, int nodes, Faults faults);

  // Moves on by one event. False when nothing is left to happen.
  bool Turn();
  void StopFaults();
  void Apply(const v1::Deployment& deployment);

  bool Serving() const;  // in truth: everything runs, made for one another
  const core::State& state() const { return state_; }
  absl::Time now() const { return now_; }
  int operations_started() const { return operations_started_; }
  const std::vector<std::string>& violations() const { return violations_; }
  // What happened, newest last.
  const std::vector<std::string>& history() const { return history_; }
  void RestartController();  // loads what was committed

 private:
  struct Thing {
    std::string token;
    std::string stamp;
    std::string want;
    int boot = 0;
  };
  struct Job {
    core::StartOperation start;
    int boot = 0;
    bool ended = false;
    core::OperationEnded result;
  };
  struct Machine {
    std::string name;
    int boot = 1;
    bool up = true;
    bool cable = true;
    bool connected = false;               // as the controller sees it
    std::map<std::string, Thing> things;  // by task
    std::map<std::string, Job> journal;   // by operation
    uint64_t epoch_of_connection = 0;
  };

  double Chance() { return std::uniform_real_distribution<double>(0, 1)(random_); }
  int Pick(int n) { return std::uniform_int_distribution<int>(0, n - 1)(random_); }
  void At(absl::Duration after, std::function<void()> what);
  void Tell(core::Event event);
  void Perform(const core::Command& command);
  void Begin(Machine& machine, const core::StartOperation& start);
  void End(Machine& machine, const std::string& operation);
  void Report(Machine& machine, const std::string& task, const std::string& stamp);
  core::Observation Look(const Machine& machine, const std::string& task,
                         const std::string& stamp) const;
  bool Alive(const std::string& task) const;
  void Kill(const std::string& task);  // and what cannot live without it
  void LoseNode(Machine& machine);
  void FindNode(Machine& machine);
  void Reboot(Machine& machine);
  void Misfortune();
  void Operator();
  void Violate(std::string what);
  void CheckStart(const core::StartOperation& start);
  const core::TaskPlan* PlanOfTask(const std::string& task) const;
  std::string BootId(const Machine& machine) const;
  bool IsUp(const Machine& machine) const { return machine.up && machine.cable; }

  std::mt19937_64 random_;
  Faults faults_;
  absl::Time now_ = absl::FromUnixSeconds(1'700'000'000);
  struct Due {
    absl::Time at;
    uint64_t order;
    std::function<void()> what;
    bool operator<(const Due& other) const {
      return at != other.at ? at > other.at : order > other.order;
    }
  };
  std::priority_queue<Due> due_;
  uint64_t order_ = 0;
  uint64_t tokens_ = 0;

  v1::Deployment deployment_;
  stages::DeploymentPlan plan_;
  core::State state_;
  // What the store holds: the text of each row, written by core::StepResult's word alone.
  std::map<std::string, std::string> task_rows_;
  std::map<std::string, int> positions_;
  std::map<std::string, std::string> node_rows_;
  core::State rollout_row_;
  std::map<std::string, Machine> machines_;
  uint64_t controller_life_ = 0;
  bool asked_for_change_ = true;  // since it last served: an operator or a misfortune
  int operations_started_ = 0;
  std::vector<std::string> violations_;
  std::vector<std::string> history_;
};

}  // namespace npufleet::simulation

#endif  // TESTS_SIMULATION_WORLD_H_
