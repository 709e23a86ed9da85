// SPDX-License-Identifier: Apache-2.0
//
// Which fault has hit what, over all runs of this program: shown with NPUFLEET_COVERAGE=1.
#ifndef TESTS_SIMULATION_COVERAGE_H_
#define TESTS_SIMULATION_COVERAGE_H_

#include <cstdint>
#include <cstdlib>
#include <map>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"

namespace npufleet::simulation {

class Coverage {
 public:
  static bool IsWanted() {
    static const bool wanted = std::getenv("NPUFLEET_COVERAGE") != nullptr;
    return wanted;
  }
  // `what` was hit by `fault`: "stop serve", "report npu", a stage.
  static void Hit(const std::string& fault, const std::string& what) {
    if (IsWanted()) ++Counts()[{fault, what}];
  }
  static std::string ToText() {
    std::string text;
    std::string fault;
    for (const auto& [key, count] : Counts()) {
      if (key.first != fault) absl::StrAppend(&text, text.empty() ? "" : "\n", key.first, ":");
      fault = key.first;
      absl::StrAppend(&text, " ", key.second, "=", count);
    }
    return absl::StrCat(text, "\n");
  }

 private:
  static std::map<std::pair<std::string, std::string>, int64_t>& Counts() {
    static auto* counts = new std::map<std::pair<std::string, std::string>, int64_t>;
    return *counts;
  }
};

}  // namespace npufleet::simulation

#endif  // TESTS_SIMULATION_COVERAGE_H_
