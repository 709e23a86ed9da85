// SPDX-License-Identifier: Apache-2.0
//
// An event log that was replayed -> text for people and for programs. Pure, as render.h.
#ifndef CONTROLLER_CTL_RENDER_REPLAY_H_
#define CONTROLLER_CTL_RENDER_REPLAY_H_

#include <string>

#include "controller/ctl/render.h"
#include "controller/store/event_log.h"
#include "controller/store/replay.h"
#include "nlohmann/json_fwd.hpp"

namespace npufleet::ctl {

// A row for each event, note and command in the order in which they came; then how it ended.
std::string RenderReplay(const store::EventLog& log, const store::Replay& replay, const View& view);

// The same as one object, its members in the order of the table.
nlohmann::ordered_json ReplayToJson(const store::EventLog& log, const store::Replay& replay);
std::string WriteJson(const nlohmann::ordered_json& json);
std::string WriteYaml(const nlohmann::ordered_json& json);

}  // namespace npufleet::ctl

#endif  // CONTROLLER_CTL_RENDER_REPLAY_H_
