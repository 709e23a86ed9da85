// SPDX-License-Identifier: Apache-2.0
//
// Words of a shell line, as a person would type them. Pure.
#ifndef CONTROLLER_STAGES_SHELL_LINE_H_
#define CONTROLLER_STAGES_SHELL_LINE_H_

#include <string>
#include <string_view>
#include <vector>

namespace npufleet::stages {

inline constexpr char kMask[] = "********";

// In quotes only where the shell needs them.
std::string Quoted(std::string_view word);

// NAME=VALUE, with the value masked when the name says that it is a secret (TOKEN, SECRET,
// PASSWORD, ACCESS_KEY …), and as a URL is (a proxy may hold a password).
std::string Assignment(std::string_view name, std::string_view value);

// `words` with the values of options that name a secret (--api-key X, --token=X) masked, and URLs,
// too; quoted, and joined.
std::string ShellLine(const std::vector<std::string>& words);

// A URL with its user and password masked, and without a query that signs.
std::string MaskedUrl(std::string_view url);

}  // namespace npufleet::stages

#endif  // CONTROLLER_STAGES_SHELL_LINE_H_
