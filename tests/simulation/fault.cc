// SPDX-License-Identifier: Apache-2.0
#include "tests/simulation/fault.h"

#include <algorithm>
#include <random>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "controller/stages/stage.h"

namespace npufleet::simulation {
namespace {

class Dice {
 public:
  explicit Dice(uint64_t seed) : random_(seed) {}
  int Pick(int n) { return static_cast<int>(random_() % static_cast<uint64_t>(n)); }
  template <typename Value>
  const Value& Of(const std::vector<Value>& values) {
    return values[Pick(static_cast<int>(values.size()))];
  }

 private:
  std::mt19937_64 random_;
};

struct Kind {
  std::string name;
  enum class Target {
    kNone,
    kNode,
    kRunning,
    kVerb,
    kInstalled,
    kPrepared,
    kSeen,
    kSpec,
    kChip,
    kCondition,
    kRefusal,  // a condition, or an install that its node has no tools for
    kTrap
  };
  Target target = Target::kNone;
  int longest = 0;  // milliseconds
  int weight = 1;
};

const std::vector<Kind>& Kinds() {
  using Target = Kind::Target;
  static const auto* kinds = new std::vector<Kind>{
      // Of the world.
      {"power-cut", Target::kNode, 30'000, 3},
      {"kill", Target::kRunning, 0, 5},
      {"freeze", Target::kNone, 0, 2},
      {"busy", Target::kRunning, 0, 2},   // its next Stop fails
      {"stuck", Target::kRunning, 0, 1},  // only a boot ends it
      {"damage", Target::kPrepared, 0, 1},
      {"drift", Target::kInstalled, 0, 2},
      {"blind", Target::kSeen, 60'000, 2},
      {"chip", Target::kChip, 120'000, 4},  // a fault code of that class, or it is gone
      {"unmet", Target::kCondition, 60'000, 2},
      {"refused", Target::kRefusal, 60'000, 2},  // and no Apply could help
      // Of the network.
      {"cut", Target::kNode, 40'000, 4},
      {"lose", Target::kNode, 0, 2},
      {"late", Target::kNode, 8'000, 3},
      {"twice", Target::kNode, 0, 2},
      // Of our own programs.
      {"agent-crash", Target::kNode, 5'000, 4},
      {"controller-crash", Target::kNone, 5'000, 2},
      {"controller-crash-before-commit", Target::kNone, 5'000, 2},
      {"controller-crash-after-commit", Target::kNone, 5'000, 3},
      // Of verbs: the next that is done.
      {"verb-transient", Target::kVerb, 0, 3},
      {"verb-redo", Target::kVerb, 0, 2},
      {"verb-reboot", Target::kVerb, 0, 1},
      {"verb-config", Target::kVerb, 0, 1},
      {"verb-hardware", Target::kVerb, 0, 1},
      {"verb-operator", Target::kVerb, 0, 1},
      {"verb-hang", Target::kVerb, 90'000, 2},
      {"verb-lie", Target::kVerb, 0, 2},
      {"verb-done-but-failed", Target::kVerb, 0, 2},
      {"trap", Target::kTrap, 90'000, 9},  // of any action of any stage: ACTION:HOW:STAGE
      // Of operators.
      {"pause", Target::kNone, 0, 1},
      {"resume", Target::kNone, 0, 1},
      {"cancel", Target::kNone, 0, 1},
      {"retry", Target::kNone, 0, 2},
      {"restart", Target::kVerb, 0, 3},
      {"spec", Target::kSpec, 0, 4},
      {"undo", Target::kNone, 0, 2},
      {"delete", Target::kNone, 0, 1},
      {"node-reboot", Target::kNode, 0, 2},
  };
  return *kinds;
}

const std::vector<std::string>& Stages() {
  static const auto* stages =
      new std::vector<std::string>{"packages", "driver",    "docker",   "runtime",    "image",
                                   "model",    "container", "ray-head", "ray-worker", "serve"};
  return *stages;
}

std::string AnyStage(Dice& dice) { return std::string(dice.Of(stages::Catalogue()).name); }

std::string AnyTrap(Dice& dice) {
  const auto how = dice.Of<std::string>(
      {"transient", "redo", "reboot", "config", "hardware", "operator", "hang", "lie", "done"});
  switch (dice.Pick(8)) {
    case 0:
    case 1:
    case 2:
      return absl::StrCat("apply:", how, ":", AnyStage(dice));
    case 3:
    case 4:
      return absl::StrCat("stop:", how, ":",
                          dice.Of<std::string>({"container", "ray-head", "ray-worker", "serve"}));
    case 5:
      return absl::StrCat("reboot:", dice.Of<std::string>({"transient", "lie", "hang"}), ":-");
    case 6:
      return absl::StrCat("cancel:lie:", dice.Pick(2) == 0 ? "-" : AnyStage(dice));
    default:
      return absl::StrCat("check:hang:", AnyStage(dice));
  }
}

std::string TargetOf(const Kind& kind, int nodes, Dice& dice) {
  using Target = Kind::Target;
  const std::string node = absl::StrCat("node-", dice.Pick(nodes));
  const int other = dice.Pick(4);
  switch (kind.target) {
    case Target::kNone:
      return "";
    case Target::kNode:
      return node;
    case Target::kRunning:
      if (other == 0) return "serve@node-0";
      if (other == 1) return absl::StrCat("container@", node);
      return node == "node-0" ? "ray-head@node-0" : absl::StrCat("ray-worker@", node);
    case Target::kVerb:
      return other == 0 ? "" : dice.Of(Stages());
    case Target::kInstalled:
      return absl::StrCat(dice.Of<std::string>({"docker", "runtime", "driver"}), "@", node);
    case Target::kPrepared:
      return absl::StrCat(dice.Of<std::string>({"packages", "image", "model"}), "@", node);
    case Target::kSeen:
      return absl::StrCat(AnyStage(dice), "@", node);
    case Target::kChip:
      return absl::StrCat(
          dice.Of<std::string>({"gone", "go-on", "restart", "reset", "reset-fails", "replace"}),
          "@", node);
    case Target::kCondition:
      return absl::StrCat(dice.Of<std::string>({"preflight", "fabric", "reach"}), "@", node);
    case Target::kRefusal:
      return absl::StrCat(
          dice.Of<std::string>({"preflight", "fabric", "reach", "driver", "docker"}), "@", node);
    case Target::kTrap:
      return AnyTrap(dice);
    case Target::kSpec:
      return dice.Of<std::string>(
          {"image", "engine", "driver", "model", "docker", "ray", "fewer", "more", "same"});
  }
  return "";
}

}  // namespace

const std::vector<std::string>& FaultNames() {
  static const auto* names = [] {
    auto* made = new std::vector<std::string>;
    for (const Kind& kind : Kinds()) made->push_back(kind.name);
    return made;
  }();
  return *names;
}

uint64_t Spread(uint64_t seed, const std::string& text) {
  uint64_t hash = 1469598103934665603ull ^ (seed * 0x9e3779b97f4a7c15ull);
  for (const unsigned char c : text) hash = (hash ^ c) * 1099511628211ull;
  hash ^= hash >> 32;
  return hash * 0x9e3779b97f4a7c15ull >> 16;
}

// What makes the core walk into `trap`.
Fault BaitOf(const Fault& trap, Dice& dice) {
  const std::vector<std::string> parts = absl::StrSplit(trap.target, ':');
  Fault bait = trap;
  bait.when += trap.at_step ? 1 + dice.Pick(20) : 1 + dice.Pick(3'000);
  bait.amount = 0;
  if (parts[0] == "reboot") {
    bait.what = "node-reboot";
    bait.target = "node-0";
  } else if (parts[0] == "cancel") {
    bait.what = dice.Pick(2) == 0 ? "cancel" : "spec";
    bait.target = bait.what == "spec" ? dice.Of<std::string>({"image", "model", "fewer"}) : "";
  } else {
    bait.what = "restart";
    bait.target = parts[2] == "-" ? "container" : parts[2];
  }
  return bait;
}

Script MakeScript(uint64_t seed) {
  Dice dice(seed);
  Script script;
  script.seed = seed;
  script.nodes = dice.Of<int>({1, 2, 2, 2, 3, 4});
  int weights = 0;
  for (const Kind& kind : Kinds()) weights += kind.weight;
  const int count = 1 + dice.Pick(5) + (dice.Pick(3) == 0 ? dice.Pick(12) : 0);
  int64_t when = dice.Pick(3) == 0 ? dice.Pick(40'000) : 60'000 + dice.Pick(20'000);
  for (int i = 0; i < count; ++i) {
    int weight = dice.Pick(weights);
    const Kind* kind = &Kinds().front();
    while (weight >= kind->weight) weight -= (kind++)->weight;
    Fault fault;
    fault.what = kind->name;
    fault.target = TargetOf(*kind, script.nodes, dice);
    if (kind->longest > 0) fault.amount = 1 + dice.Pick(kind->longest);
    fault.at_step = dice.Pick(6) == 0;
    fault.when = fault.at_step ? 1 + dice.Pick(150 * script.nodes) : when;
    script.faults.push_back(fault);
    if (fault.what == "trap" && dice.Pick(3) > 0) script.faults.push_back(BaitOf(fault, dice));
    when += dice.Pick(2) == 0 ? dice.Pick(2'000) : dice.Pick(30'000);
  }
  return script;
}

std::string ToText(const Script& script) {
  std::string text = absl::StrCat("seed ", script.seed, "\nnodes ", script.nodes, "\n");
  for (const Fault& fault : script.faults) {
    absl::StrAppend(&text, "fault ", fault.at_step ? "#" : "", fault.when, " ", fault.what, " ",
                    fault.target.empty() ? "-" : fault.target, " ", fault.amount, "\n");
  }
  return text;
}

absl::StatusOr<Script> ScriptFromText(const std::string& text) {
  Script script;
  int number = 0;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    ++number;
    const auto wrong = [&](const std::string& why) {
      return absl::InvalidArgumentError(absl::StrCat("line ", number, ": ", why, ": ", line));
    };
    line = absl::StripAsciiWhitespace(line);
    if (line.empty() || line[0] == '#') continue;
    const std::vector<std::string> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
    if (words.size() == 2 && words[0] == "seed") {
      if (!absl::SimpleAtoi(words[1], &script.seed)) return wrong("not a number");
    } else if (words.size() == 2 && words[0] == "nodes") {
      if (!absl::SimpleAtoi(words[1], &script.nodes) || script.nodes < 1 || script.nodes > 100)
        return wrong("not a number of nodes");
    } else if (words.size() == 5 && words[0] == "fault") {
      Fault fault;
      absl::string_view when = words[1];
      fault.at_step = absl::ConsumePrefix(&when, "#");
      fault.what = words[2];
      fault.target = words[3] == "-" ? "" : words[3];
      if (!absl::SimpleAtoi(when, &fault.when) || !absl::SimpleAtoi(words[4], &fault.amount))
        return wrong("not a number");
      const std::vector<std::string>& names = FaultNames();
      if (std::find(names.begin(), names.end(), fault.what) == names.end())
        return wrong("no such fault");
      script.faults.push_back(fault);
    } else {
      return wrong("not understood");
    }
  }
  return script;
}

}  // namespace npufleet::simulation
