// SPDX-License-Identifier: Apache-2.0
#include "common/log.h"

#include <cstdlib>

#include "spdlog/sinks/stdout_color_sinks.h"
#include "spdlog/spdlog.h"

namespace npufleet::log {
namespace {

spdlog::logger& Logger() {
  static spdlog::logger* logger = [] {
    auto* created =
        new spdlog::logger("npufleet", std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
    // The journal adds the time itself.
    created->set_pattern(
        std::getenv("JOURNAL_STREAM") != nullptr ? "%l %v" : "%Y-%m-%dT%H:%M:%S.%e %^%L%$ %v");
    created->flush_on(spdlog::level::info);
    return created;
  }();
  return *logger;
}

spdlog::level::level_enum ToSpdlog(Level level) {
  switch (level) {
    case Level::kDebug:
      return spdlog::level::debug;
    case Level::kInfo:
      return spdlog::level::info;
    case Level::kWarning:
      return spdlog::level::warn;
    case Level::kError:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

}  // namespace

Level LevelFromName(std::string_view name) {
  if (name == "debug") return Level::kDebug;
  if (name == "warning") return Level::kWarning;
  if (name == "error") return Level::kError;
  return Level::kInfo;
}

void SetLevel(Level level) { Logger().set_level(ToSpdlog(level)); }

void Write(Level level, std::string_view message) { Logger().log(ToSpdlog(level), "{}", message); }

}  // namespace npufleet::log
