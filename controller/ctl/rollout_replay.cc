// SPDX-License-Identifier: Apache-2.0
#include "controller/ctl/commands.h"
#include "controller/ctl/render_replay.h"
#include "controller/ctl/text.h"
#include "controller/store/event_log.h"
#include "controller/store/replay.h"
#include "nlohmann/json.hpp"

namespace npufleet::ctl {

ExitCode ReplayRollout(Context& context, const std::string& file) {
  absl::StatusOr<std::string> text = ReadInput(context, file);
  absl::StatusOr<store::EventLog> log =
      text.ok() ? store::EventLogFromText(*text, file == "-" ? "stdin" : file) : text.status();
  if (!log.ok()) {
    context.terminal.err << Printable(std::string(log.status().message())) << "\n" << std::flush;
    return ExitCode::kUsage;
  }
  const store::Replay replay = store::ReplayLog(*log);
  switch (context.output) {
    case Output::kTable:
      context.terminal.out << RenderReplay(*log, replay, context.Now());
      break;
    case Output::kJson:
      context.terminal.out << WriteJson(ReplayToJson(*log, replay));
      break;
    case Output::kYaml:
      context.terminal.out << WriteYaml(ReplayToJson(*log, replay));
      break;
  }
  context.terminal.out << std::flush;
  return ExitCode::kDone;
}

}  // namespace npufleet::ctl
