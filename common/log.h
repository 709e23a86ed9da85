// SPDX-License-Identifier: Apache-2.0
//
// Logging for the programs: spdlog behind one call, so that only log.cc includes it. Threadsafe.
// Lines go to stderr, in the format of the systemd journal when JOURNAL_STREAM is set.
#ifndef COMMON_LOG_H_
#define COMMON_LOG_H_

#include <string_view>

#include "absl/strings/str_cat.h"

namespace npufleet::log {

enum class Level { kDebug, kInfo, kWarning, kError };

// From "debug", "info", "warning", "error"; anything else is kInfo.
Level LevelFromName(std::string_view name);
void SetLevel(Level level);

void Write(Level level, std::string_view message);

template <typename... Args>
void Debug(const Args&... args) {
  Write(Level::kDebug, absl::StrCat(args...));
}
template <typename... Args>
void Info(const Args&... args) {
  Write(Level::kInfo, absl::StrCat(args...));
}
template <typename... Args>
void Warning(const Args&... args) {
  Write(Level::kWarning, absl::StrCat(args...));
}
template <typename... Args>
void Error(const Args&... args) {
  Write(Level::kError, absl::StrCat(args...));
}

}  // namespace npufleet::log

#endif  // COMMON_LOG_H_
