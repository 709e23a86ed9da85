// SPDX-License-Identifier: Apache-2.0
//
// "did you mean": the candidate that a person most likely meant.
#ifndef COMMON_SPEC_NEAREST_H_
#define COMMON_SPEC_NEAREST_H_

#include <string>
#include <string_view>
#include <vector>

namespace npufleet::spec {

// Insertions, deletions, substitutions and swaps of neighbours (optimal string alignment) that turn
// `a` into `b`. Case, '_' and '-' do not count.
int EditDistance(std::string_view a, std::string_view b);

// The candidate with the smallest distance, or an empty string when none is near: more than a third
// of the name would have to change. Of equally near ones the first.
std::string Nearest(std::string_view name, const std::vector<std::string>& candidates);

}  // namespace npufleet::spec

#endif  // COMMON_SPEC_NEAREST_H_
