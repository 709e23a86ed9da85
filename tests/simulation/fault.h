// SPDX-License-Identifier: Apache-2.0
//
// What goes wrong in one run, and when: a list that can be written to a file, read again and cut
// down to what still fails.
//
//   # text
//   seed 17                              durations and latencies
//   nodes 2
//   fault 12345 power-cut node-1 20000   milliseconds since the start
//   fault #57 controller-crash - 500     after so many steps of the core
#ifndef TESTS_SIMULATION_FAULT_H_
#define TESTS_SIMULATION_FAULT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace npufleet::simulation {

struct Fault {
  bool at_step = false;  // `when` counts steps of the core; otherwise milliseconds since the start
  int64_t when = 0;
  std::string what;    // a name of FaultNames()
  std::string target;  // a node, a task or a stage; empty: any
  int64_t amount = 0;  // mostly milliseconds: how long it lasts

  bool operator==(const Fault&) const = default;
};

struct Script {
  uint64_t seed = 1;
  int nodes = 2;
  std::vector<Fault> faults;

  bool operator==(const Script&) const = default;
};

std::string ToText(const Script& script);
// InvalidArgument names the line.
absl::StatusOr<Script> ScriptFromText(const std::string& text);

// The script of a seed: which faults, how many, when; in a third of them while it is first rolled
// out, and often several at once.
Script MakeScript(uint64_t seed);

const std::vector<std::string>& FaultNames();

// Spreads: the same seed and text, the same number.
uint64_t Spread(uint64_t seed, const std::string& text);

}  // namespace npufleet::simulation

#endif  // TESTS_SIMULATION_FAULT_H_
