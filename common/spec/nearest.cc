// SPDX-License-Identifier: Apache-2.0
#include "common/spec/nearest.h"

#include <algorithm>

#include "absl/strings/ascii.h"

namespace npufleet::spec {
namespace {

std::string Folded(std::string_view name) {
  std::string folded;
  for (char c : name) {
    if (c != '_' && c != '-') folded.push_back(absl::ascii_tolower(c));
  }
  return folded;
}

}  // namespace

int EditDistance(std::string_view a, std::string_view b) {
  std::string from = Folded(a);
  std::string to = Folded(b);
  std::vector<std::vector<int>> distance(from.size() + 1, std::vector<int>(to.size() + 1));
  for (size_t i = 0; i <= from.size(); ++i) {
    for (size_t j = 0; j <= to.size(); ++j) {
      if (i == 0 || j == 0) {
        distance[i][j] = static_cast<int>(i + j);
        continue;
      }
      int substitution = distance[i - 1][j - 1] + (from[i - 1] == to[j - 1] ? 0 : 1);
      distance[i][j] = std::min({substitution, distance[i - 1][j] + 1, distance[i][j - 1] + 1});
      if (i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1]) {
        distance[i][j] = std::min(distance[i][j], distance[i - 2][j - 2] + 1);
      }
    }
  }
  return distance[from.size()][to.size()];
}

std::string Nearest(std::string_view name, const std::vector<std::string>& candidates) {
  constexpr size_t kLongestName = 100;  // no field is longer; bounds the work on foreign input
  if (name.size() > kLongestName) return "";
  std::string best;
  int best_distance = static_cast<int>(std::max<size_t>(1, name.size() / 3)) + 1;
  for (const std::string& candidate : candidates) {
    int distance = EditDistance(name, candidate);
    if (distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  return best;
}

}  // namespace npufleet::spec
