// SPDX-License-Identifier: Apache-2.0
//
// What really is on the machines, whoever knows of it: what is installed, what runs and on what it
// was started. The core is judged by it, and nothing in it is the core's own word.
#ifndef TESTS_SIMULATION_TRUTH_H_
#define TESTS_SIMULATION_TRUTH_H_

#include <map>
#include <set>
#include <string>
#include <vector>

#include "controller/core/command.h"
#include "controller/core/event.h"
#include "controller/core/graph.h"

namespace npufleet::simulation {

std::string StageOf(const std::string& task);
std::string NodeOf(const std::string& task);
// Containers, Ray and the server.
bool IsRunning(const std::string& stage);

struct Thing {
  std::string token;
  std::string want;
  std::string stamp;                      // what runs carries it
  std::map<std::string, std::string> on;  // running tasks that it was started on -> their tokens
  std::map<std::string, std::string> made_of;  // running: all that it needs -> true tokens of then
  int boot = 0;                                // in which it was made
  bool torn = false;
  bool drifted = false;  // changed by hand: it works, and is another
  bool busy = false;     // cannot be stopped this time
  bool stuck = false;    // cannot be stopped
  bool frozen = false;   // a server that answers /health and nothing else
  absl::Time since;
};

// What a chip of a machine has: by the field's class of its fault code, or "gone".
struct Chip {
  std::string fault;   // "", "gone", "go-on", "restart", "reset", "reset-fails", "replace"
  absl::Time until;    // somebody has mended it by then; a reset or a boot may end it before
  int reset_boot = 0;  // in which a reset did not help
};

// A condition that is not met.
struct Unmet {
  absl::Time until;
  bool refused = false;  // its Check knows that no Apply could help
};

struct Machine {
  std::string name;
  Chip chip;
  std::map<std::string, Unmet> unmet;                // by task
  std::map<std::string, std::set<std::string>> met;  // conditions: for what they were seen met
  int boot = 1;
  bool up = true;
  std::map<std::string, Thing> things;       // by task
  std::map<std::string, absl::Time> blind;   // by task: until when nothing can be seen
  std::map<std::string, absl::Time> broken;  // by task: when it last stopped being there
};

class Truth {
 public:
  explicit Truth(uint64_t seed) : seed_(seed) {}

  std::map<std::string, Machine> machines;
  bool foreign_docker_is_fine = false;

  // What a Check says.
  core::Observation Look(const core::TaskPlan& plan, const std::string& stamp,
                         absl::Time now) const;
  // What the verb does when nothing goes wrong, and what its second Check then sees.
  core::OperationEnded Apply(const core::TaskPlan& plan, const core::StartOperation& start,
                             absl::Time now);
  core::OperationEnded Stop(const std::string& task, absl::Time now);

  void Kill(const std::string& task, absl::Time now);  // and what cannot live without it
  void LosePower(Machine& machine, absl::Time now);

  // What a Check has found.
  void Looked(const core::TaskPlan& plan, const core::Observation& seen);
  // It is there as `plan` wants it and made of what is below it now; for a condition: it was met
  // for what is below it now. Whatever any Check has said.
  bool Holds(const core::TaskPlan& plan, absl::Time now, std::string* why = nullptr) const;

  // A completion gets tokens.
  bool Answers() const;
  // It answers, with exactly what `graph` wants, and nothing else runs.
  bool Serves(const core::Graph& graph, absl::Time now, std::string* why) const;

  // What went down with something else than its own Stop or death since the last call.
  std::vector<std::string> TakeCollateral() { return std::move(collateral_); }

 private:
  const Thing* Find(const std::string& task) const;
  Thing* Find(const std::string& task) {
    return const_cast<Thing*>(static_cast<const Truth*>(this)->Find(task));
  }
  // The token that is really there, without what was changed by hand.
  std::string TrueToken(const std::string& task) const;
  std::string ChipFault(const Machine& machine, absl::Time now) const;
  bool ServerIsUp() const;
  core::Observation LookAtChips(const Machine& machine, absl::Time now) const;
  // Everything that it was started on is still that.
  bool Stands(const Thing& thing) const;
  void TakeDownAbove(const std::string& task, const std::string& cause, absl::Time now);

  const uint64_t seed_;
  int tokens_ = 0;
  std::vector<std::string> collateral_;
};

}  // namespace npufleet::simulation

#endif  // TESTS_SIMULATION_TRUTH_H_
