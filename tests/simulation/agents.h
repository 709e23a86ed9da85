// SPDX-License-Identifier: Apache-2.0
//
// The agents and the network between them and the controller: what is observed and reported when,
// journals, connections. What they find and do is Truth's.
#ifndef TESTS_SIMULATION_AGENTS_H_
#define TESTS_SIMULATION_AGENTS_H_

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "controller/core/command.h"
#include "controller/core/event.h"
#include "tests/simulation/schedule.h"
#include "tests/simulation/truth.h"

namespace npufleet::simulation {

using Plan = std::shared_ptr<const core::TaskPlan>;

// The controller, as its agents' clients speak to it.
class Listener {
 public:
  virtual ~Listener() = default;
  virtual void Connected(const std::string& node, const std::string& boot_id) = 0;
  virtual void Lost(const std::string& node, const std::string& reason) = 0;
  // `held`: whether it truly was as wanted when that was looked at.
  virtual void Seen(const core::Observed& seen, bool held) = 0;
  virtual void Ended(const core::OperationEnded& ended, bool held) = 0;
  // The machine that the controller runs on has lost its power for `off`.
  virtual void PowerLost(absl::Duration off) = 0;
  virtual void Violate(const std::string& what) = 0;
};

// How the next operation that ends goes wrong.
struct Mishap {
  std::string what;   // a verb-… of FaultNames()
  std::string stage;  // empty: any
  absl::Duration lasts;
};

// Goes wrong by itself, whatever else is armed: "stop:lie:serve" as ACTION:HOW:STAGE.
struct Trap {
  std::string action;  // apply, stop, reboot, cancel, check
  std::string how;     // a class, hang, lie, done (and said to have failed)
  std::string stage;   // "-": any
  absl::Duration lasts;
};

class Agents {
 public:
  Agents(Schedule& schedule, Truth& truth, uint64_t seed, Listener& listener);

  // --- What the controller asks. ---
  void Check(const std::string& node, Plan plan, const std::string& stamp);
  void Run(const core::StartOperation& start, Plan plan);  // repeated until it is answered
  void Cancel(const std::string& node, const std::string& operation);
  void Forget(const std::string& node, const std::string& task);
  void ControllerGone();
  void ControllerBack();
  bool IsConnected(const std::string& node) const { return agents_.at(node).connected; }
  std::string BootId(const std::string& node) const;

  // --- What goes wrong. ---
  void PowerCut(const std::string& node, absl::Duration off);
  void Cut(const std::string& node, absl::Duration off);
  void Lose(const std::string& node);  // what is on its way, and the connection
  void Delay(const std::string& node, absl::Duration by);
  void Repeat(const std::string& node) { ++agents_.at(node).repeats; }
  void Crash(const std::string& node, absl::Duration off);
  void Arm(Mishap mishap) { mishaps_.push_back(std::move(mishap)); }
  void Set(Trap trap) { traps_.push_back(std::move(trap)); }
  void Disarm() {
    mishaps_.clear();
    traps_.clear();
  }
  // When a look has last found `task` to be as wanted, told or not.
  absl::Time LastHeld(const std::string& task) const {
    auto found = held_.find(task);
    return found == held_.end() ? absl::InfinitePast() : found->second;
  }
  // A Check of it is under way, and may hang: nobody can know what it will say.
  bool IsLooking(const std::string& task) const {
    const Agent& agent = agents_.at(NodeOf(task));
    auto found = agent.entries.find(task);
    return found != agent.entries.end() && found->second.checking;
  }
  // Something of the machine has changed and Docker said so.
  void Notice(const std::string& task);

  int accepted() const { return accepted_; }
  const std::vector<std::string>& order() const { return order_; }

 private:
  struct Entry {  // of the agent's observer
    Plan plan;
    std::string stamp;
    uint64_t generation = 0;
    bool answered = false;
    bool checking = false;
    bool again = false;
    absl::Time due;
    core::Observation last;
  };
  struct Job {
    core::StartOperation start;
    Plan plan;
    int boot = 0;
    bool ended = false;
    core::OperationEnded result;
    bool held = false;  // at its end
  };
  struct Asked {  // of the controller's client
    core::StartOperation start;
    Plan plan;
    bool cancel = false;
  };
  struct Agent {
    bool up = true;
    bool cable = true;
    bool connected = false;  // as the controller sees it
    uint64_t connection = 0;
    uint64_t cuts = 0;
    uint64_t powers = 0;
    std::map<std::string, Entry> entries;
    std::map<std::string, Job> journal;
    std::map<std::string, Asked> asked;
    absl::Time late_until;
    absl::Duration late_by;
    int repeats = 0;
    absl::Time stream_clear;  // observations keep their order
    uint64_t sent = 0;        // on the stream of this connection, both ways
    uint64_t delivered = 0;   // of these
  };

  bool Reachable(const std::string& node) const;
  void Connect(const std::string& node);
  void ConnectSoon(const std::string& node);
  void Disconnect(const std::string& node, const std::string& reason);
  void Tick(const std::string& node);
  // Over the present connection; nothing arrives over one that is gone.
  // `label` names the message, for the counts: "apply serve", "report npu".
  void Send(const std::string& node, bool in_order, const std::string& label,
            std::function<void()> what);
  void Deliver(const std::string& node, std::optional<uint64_t> turn, uint64_t connection,
               const std::string& label, std::function<void()> what);
  void Answer(const std::string& node, const Job& job);
  // Takes the first trap that fits.
  std::optional<Trap> Spring(const std::string& action, const std::string& stage);
  std::optional<core::OperationEnded> Trapped(const Job& job);
  void CountCut(const std::string& fault, const std::string& node) const;
  core::Observation LookAt(const Entry& entry, bool* held);
  void Ask(const std::string& node, const std::string& operation);
  void Begin(const std::string& node, const Asked& asked);
  void End(const std::string& node, const std::string& operation);
  void Conclude(const std::string& node, Job& job);
  void CancelNow(const std::string& node, const std::string& operation);
  core::OperationEnded Carry(const Job& job);
  void CheckAccepted(const std::string& node, const Job& job);
  void StartCheck(const std::string& node, const std::string& task);
  void MakeDue(const std::string& node, const std::string& task);
  bool IsBusy(const Agent& agent, const std::string& task) const;

  Schedule& schedule_;
  Truth& truth_;
  const uint64_t seed_;
  Listener& listener_;
  std::map<std::string, Agent> agents_;
  std::deque<Mishap> mishaps_;
  std::deque<Trap> traps_;
  std::map<std::string, absl::Time> held_;
  bool controller_up_ = true;
  uint64_t generations_ = 0;
  int accepted_ = 0;
  std::vector<std::string> order_;  // of what was accepted: "stop serve@node-0"
};

}  // namespace npufleet::simulation

#endif  // TESTS_SIMULATION_AGENTS_H_
