// SPDX-License-Identifier: Apache-2.0
//
// Event logs of unknown origin: what is read can be written, read again and replayed.
#include "absl/strings/match.h"
#include "controller/store/event_log.h"
#include "controller/store/replay.h"
#include "tests/fuzz/require.h"

using namespace npufleet;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const absl::StatusOr<store::EventLog> log = store::EventLogFromText(text, "f");
  if (!log.ok()) {
    Require(log.status().code() == absl::StatusCode::kInvalidArgument);
    Require(absl::StartsWith(log.status().message(), "f:"));
    return 0;
  }
  const std::string written = store::EventLogToText(*log);
  const absl::StatusOr<store::EventLog> again = store::EventLogFromText(written, "f");
  Require(again.ok());
  Require(store::EventLogToText(*again) == written);
  const store::Replay replay = store::ReplayLog(*log);
  Require(replay.entries.size() == log->entries.size());
  // What a writer loses is nothing that a replay needs.
  Require(store::ReplayLog(*again).state.tasks == replay.state.tasks);
  return 0;
}
