// SPDX-License-Identifier: Apache-2.0
#include "agent/verbs/start_engine/last_words.h"

#include <string>
#include <utility>

#include "agent/host/line_splitter.h"
#include "agent/verbs/kernel_log.h"
#include "agent/verbs/start_engine/engine_log.h"
#include "agent/verbs/start_engine/startup_faults.h"

namespace npufleet::verbs {
namespace {

// What killed a rank comes before the last lines of those that outlive it, by seconds; what killed
// the server itself comes after its last.
constexpr absl::Duration kBeforeLastLine = absl::Seconds(30);

constexpr char kOutOfMemory[] = "PRE-02";

std::optional<v1::Failure> OfKernel(host::Host& host, std::string_view container) {
  const absl::StatusOr<absl::Time> written = NewestEngineLogWritten(host, container);
  if (!written.ok()) return std::nullopt;
  std::optional<v1::Failure> failure =
      KernelFailure(host, "serve", container, *written - kBeforeLastLine);
  // Of all that the kernel says only this is certainly what ended a process of the container.
  if (failure.has_value() && failure->signature() != kOutOfMemory) failure->clear_signature();
  return failure;
}

}  // namespace

std::optional<v1::Failure> LastWords(host::Host& host, std::string_view container) {
  const absl::StatusOr<std::string> log = EndOfNewestEngineLog(host, container);
  if (!log.ok() || log->empty()) return std::nullopt;
  StartupFaults faults;
  host::LineSplitter lines([&faults](std::string_view line) { faults.Read(line); });
  lines.Add(*log);
  lines.Finish();
  v1::Failure cause = faults.Cause("");
  if (faults.HasCause()) return cause;
  if (std::optional<v1::Failure> kernel = OfKernel(host, container)) {
    *kernel->mutable_log_tail() = cause.log_tail();
    return kernel;
  }
  if (cause.signature().empty()) return std::nullopt;
  // That a rank or the engine is gone is all that remains of one that was killed, by whomever.
  cause.clear_signature();
  return cause;
}

}  // namespace npufleet::verbs
