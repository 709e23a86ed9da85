// SPDX-License-Identifier: Apache-2.0
#include "agent/verbs/start_engine/last_words.h"

#include <algorithm>
#include <iterator>
#include <string>
#include <utility>

#include "agent/host/line_splitter.h"
#include "agent/verbs/start_engine/engine_log.h"
#include "agent/verbs/start_engine/startup_faults.h"

namespace npufleet::verbs {
namespace {

// What remains of a rank or an engine that was killed, by whomever, and what its peers say of it.
constexpr const char* kFromOutside[] = {"RUN-01", "RUN-02", "RUN-03", "RUN-14", "RUN-15",
                                        "SRV-24", "NET-06", "NET-08", "NET-09", "NET-11",
                                        "NET-13", "NET-14", "NET-15", "RAW-05", "PRE-02"};

}  // namespace

std::optional<v1::Failure> LastWords(host::Host& host, std::string_view container) {
  const absl::StatusOr<std::string> log = EndOfNewestEngineLog(host, container);
  if (!log.ok() || log->empty()) return std::nullopt;
  StartupFaults faults;
  host::LineSplitter lines([&faults](std::string_view line) { faults.Read(line); });
  lines.Add(*log);
  lines.Finish();
  v1::Failure cause = faults.Cause("");
  if (cause.signature().empty()) return std::nullopt;
  if (std::find(std::begin(kFromOutside), std::end(kFromOutside), cause.signature()) !=
      std::end(kFromOutside)) {
    cause.clear_signature();
  }
  return cause;
}

}  // namespace npufleet::verbs
