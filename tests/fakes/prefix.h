// SPDX-License-Identifier: Apache-2.0
//
// Looking up scripts by a prefix of an argv.
#ifndef TESTS_FAKES_PREFIX_H_
#define TESTS_FAKES_PREFIX_H_

#include <algorithm>
#include <map>
#include <string>
#include <vector>

namespace npufleet::fakes {

// Whether `name` is the program `script`: the same, or a path that ends in it.
inline bool IsProgram(const std::string& script, const std::string& name) {
  if (script == name) return true;
  const size_t slash = name.rfind('/');
  return script.find('/') == std::string::npos && slash != std::string::npos &&
         name.substr(slash + 1) == script;
}

inline bool HasPrefix(const std::vector<std::string>& argv,
                      const std::vector<std::string>& prefix) {
  if (prefix.empty()) return true;
  if (argv.size() < prefix.size() || !IsProgram(prefix[0], argv[0])) return false;
  return std::equal(prefix.begin() + 1, prefix.end(), argv.begin() + 1);
}

// The value of the longest prefix of `argv`, or nullptr.
template <typename Value>
const Value* FindLongest(const std::map<std::vector<std::string>, Value>& scripts,
                         const std::vector<std::string>& argv) {
  const Value* found = nullptr;
  size_t length = 0;
  for (const auto& [prefix, value] : scripts) {
    if (HasPrefix(argv, prefix) && (found == nullptr || prefix.size() >= length)) {
      found = &value;
      length = prefix.size();
    }
  }
  return found;
}

}  // namespace npufleet::fakes

#endif  // TESTS_FAKES_PREFIX_H_
