// SPDX-License-Identifier: Apache-2.0
//
// Debian's Abseil (20220623) is built with a string_view of its own, which does not convert to and
// from the standard one. Where both are one type, these do nothing.
#ifndef COMMON_STRING_VIEWS_H_
#define COMMON_STRING_VIEWS_H_

#include <string_view>

#include "absl/strings/string_view.h"

namespace npufleet {

inline absl::string_view Absl(std::string_view text) { return {text.data(), text.size()}; }
inline std::string_view Std(absl::string_view text) { return {text.data(), text.size()}; }

}  // namespace npufleet

#endif  // COMMON_STRING_VIEWS_H_
