// SPDX-License-Identifier: Apache-2.0
#include "agent/verbs/start_engine/last_words.h"

#include <string>
#include <utility>

#include "agent/host/line_splitter.h"
#include "agent/verbs/start_engine/engine_log.h"
#include "agent/verbs/start_engine/startup_faults.h"

namespace npufleet::verbs {

std::optional<v1::Failure> LastWords(host::Host& host, std::string_view container) {
  const absl::StatusOr<std::string> log = EndOfNewestEngineLog(host, container);
  if (!log.ok() || log->empty()) return std::nullopt;
  StartupFaults faults;
  host::LineSplitter lines([&faults](std::string_view line) { faults.Read(line); });
  lines.Add(*log);
  lines.Finish();
  v1::Failure cause = faults.Cause("");
  if (cause.signature().empty()) return std::nullopt;
  // That a rank or the engine is gone is all that remains of one that was killed, by whomever.
  if (!faults.HasCause()) cause.clear_signature();
  return cause;
}

}  // namespace npufleet::verbs
