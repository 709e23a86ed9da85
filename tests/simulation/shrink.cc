// SPDX-License-Identifier: Apache-2.0
#include "tests/simulation/shrink.h"

#include <algorithm>

namespace npufleet::simulation {

Script Shrink(const Script& failing, const std::function<bool(const Script&)>& fails) {
  Script best = failing;
  for (size_t chunk = std::max<size_t>(1, best.faults.size() / 2); chunk >= 1; chunk /= 2) {
    bool cut = true;
    while (cut) {
      cut = false;
      for (size_t at = 0; at < best.faults.size();) {
        Script shorter = best;
        const size_t end = std::min(at + chunk, best.faults.size());
        shorter.faults.erase(shorter.faults.begin() + static_cast<int64_t>(at),
                             shorter.faults.begin() + static_cast<int64_t>(end));
        if (fails(shorter)) {
          best = shorter;
          cut = true;
        } else {
          at = end;
        }
      }
    }
  }
  for (int nodes = 1; nodes < best.nodes; ++nodes) {
    Script smaller = best;
    smaller.nodes = nodes;
    if (fails(smaller)) best = smaller;
  }
  for (size_t i = 0; i < best.faults.size(); ++i) {
    Script shorter = best;
    while (shorter.faults[i].amount > 1) {
      shorter.faults[i].amount /= 2;
      if (!fails(shorter)) break;
      best = shorter;
    }
  }
  return best;
}

}  // namespace npufleet::simulation
