// SPDX-License-Identifier: Apache-2.0
#ifndef TESTS_SIMULATION_SHRINK_H_
#define TESTS_SIMULATION_SHRINK_H_

#include <functional>

#include "tests/simulation/fault.h"

namespace npufleet::simulation {

// The shortest script that still fails that delta debugging finds: no fault of it can be left out,
// and none can be shorter by half.
Script Shrink(const Script& failing, const std::function<bool(const Script&)>& fails);

}  // namespace npufleet::simulation

#endif  // TESTS_SIMULATION_SHRINK_H_
