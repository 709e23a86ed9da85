// SPDX-License-Identifier: Apache-2.0
#include "controller/ctl/render_replay.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "controller/ctl/text.h"
#include "nlohmann/json.hpp"
#include "yaml-cpp/yaml.h"

namespace npufleet::ctl {
namespace {

using Json = nlohmann::ordered_json;

std::string Seconds(absl::Duration after) {
  return absl::StrFormat("%.3f", absl::ToDoubleSeconds(after));
}

std::string Counted(size_t count, const std::string& what) {
  return absl::StrCat(count, " ", what, count == 1 ? "" : "s");
}

Style StyleOf(const store::Account& account) {
  if (account.what != "Remark") return Style::kBold;
  return absl::StartsWith(account.detail, "VIOLATED") ? Style::kRed : Style::kYellow;
}

// A row for each command; Checks that come together, of which a new spec has dozens, are one.
void AddCommands(const std::vector<core::Command>& commands, const std::string& prefix, Style style,
                 Table& table) {
  std::vector<std::string> checks;
  const auto add_checks = [&] {
    if (checks.empty()) return;
    const bool one = checks.size() == 1;
    table.Add({{},
               {prefix + "check", style},
               {one ? checks.front() : Counted(checks.size(), "task")},
               {one ? "" : absl::StrJoin(checks, ", ")}});
    checks.clear();
  };
  for (const core::Command& command : commands) {
    const store::Account account = store::Tell(command);
    if (account.what == "check") {
      checks.push_back(Printable(account.subject));
      continue;
    }
    add_checks();
    table.Add({{},
               {prefix + account.what, style},
               {Printable(account.subject)},
               {Printable(account.detail)}});
  }
  add_checks();
}

void AddEntry(const store::ReplayedEntry& entry, const std::string& time, Table& table) {
  const Style style = StyleOf(entry.account);
  const bool remark = entry.account.what == "Remark";
  table.Add({{time, Style::kDim},
             {entry.account.what, style},
             {Printable(entry.account.subject)},
             {Printable(entry.account.detail), remark ? style : Style::kPlain}});
  for (const core::Note& note : entry.notes) {
    table.Add({{},
               {"  " + note.kind},
               {Printable(note.task.empty() ? note.node : note.task)},
               {Printable(note.message)}});
  }
  AddCommands(entry.commands, "  > ", Style::kCyan, table);
  if (!entry.recorded) return;
  if (entry.recorded->empty()) table.Add({{}, {"  != nothing", Style::kRed}, {}, {}});
  AddCommands(*entry.recorded, "  != ", Style::kRed, table);
}

std::string Ending(const store::Replay& replay, const View& view) {
  std::string text =
      absl::StrCat(Styled("at the end ", Style::kDim, view.colour),
                   Styled(store::NameOf(replay.phase), Style::kBold, view.colour),
                   replay.reason.empty() ? "" : ": ", Printable(replay.reason), "\n");
  Table open({"TASK", "WHY IT IS NOT CURRENT"});
  for (const store::OpenTask& task : replay.open)
    open.Add({{Printable(task.id)}, {Printable(task.reason)}});
  if (!replay.open.empty()) absl::StrAppend(&text, "\n", open.Render(view.colour));
  if (replay.otherwise > 0) {
    absl::StrAppend(&text, "\n", Styled("note: ", Style::kYellow, view.colour),
                    Counted(replay.otherwise, "event"),
                    " had another outcome in the log, which stands behind !=: it was written by "
                    "another version\n");
  }
  return text;
}

Json NoteToJson(const core::Note& note) {
  Json json;
  json["kind"] = note.kind;
  if (!note.task.empty()) json["task"] = note.task;
  if (!note.node.empty()) json["node"] = note.node;
  json["message"] = note.message;
  return json;
}

Json CommandsToJson(const std::vector<core::Command>& commands) {
  Json list = Json::array();
  for (const core::Command& command : commands) list.push_back(Json(store::CommandToJson(command)));
  return list;
}

Json EntryToJson(const store::ReplayedEntry& entry, absl::Time time) {
  Json json;
  json["time"] = absl::FormatTime("%Y-%m-%dT%H:%M:%E*SZ", time, absl::UTCTimeZone());
  json["seconds"] = absl::ToDoubleSeconds(entry.after);
  json["kind"] = entry.account.what;
  if (!entry.account.subject.empty()) json["subject"] = entry.account.subject;
  if (!entry.account.detail.empty()) json["detail"] = entry.account.detail;
  json["notes"] = Json::array();
  for (const core::Note& note : entry.notes) json["notes"].push_back(NoteToJson(note));
  json["commands"] = CommandsToJson(entry.commands);
  if (entry.recorded) json["recorded"] = CommandsToJson(*entry.recorded);
  return json;
}

void Emit(const Json& json, YAML::Emitter& out) {
  if (json.is_object()) {
    out << (json.empty() ? YAML::Flow : YAML::Block) << YAML::BeginMap;
    for (const auto& [name, value] : json.items()) {
      out << YAML::Key << name << YAML::Value;
      Emit(value, out);
    }
    out << YAML::EndMap;
  } else if (json.is_array()) {
    out << (json.empty() ? YAML::Flow : YAML::Block) << YAML::BeginSeq;
    for (const Json& item : json) Emit(item, out);
    out << YAML::EndSeq;
  } else if (json.is_string()) {
    out << YAML::DoubleQuoted << json.get<std::string>();  // "no" and "1" stay text
  } else if (json.is_boolean()) {
    out << json.get<bool>();
  } else {
    out << json.dump();  // a number
  }
}

}  // namespace

std::string RenderReplay(const store::EventLog& log, const store::Replay& replay,
                         const View& view) {
  const absl::Duration lasts =
      replay.entries.empty() ? absl::ZeroDuration() : replay.entries.back().after;
  std::string text = absl::StrCat(
      Styled(Printable(log.rollout), Style::kBold, view.colour), "  epoch ", log.epoch, "  ",
      Counted(replay.entries.size(), "line"), " in ", ShortDuration(lasts), "\n");
  for (const std::string& remark : log.remarks)
    absl::StrAppend(&text, "  ", Printable(remark), "\n");
  size_t width = 0;
  for (const store::ReplayedEntry& entry : replay.entries)
    width = std::max(width, Seconds(entry.after).size());
  Table table({"SECONDS", "WHAT", "SUBJECT", "DETAIL"});
  for (const store::ReplayedEntry& entry : replay.entries) {
    const std::string time = Seconds(entry.after);
    AddEntry(entry, std::string(width - time.size(), ' ') + time, table);
  }
  return absl::StrCat(text, "\n", table.Render(view.colour), "\n", Ending(replay, view));
}

nlohmann::ordered_json ReplayToJson(const store::EventLog& log, const store::Replay& replay) {
  Json json;
  json["rollout"] = log.rollout;
  json["epoch"] = log.epoch;
  json["remarks"] = log.remarks;
  json["entries"] = Json::array();
  for (size_t i = 0; i < replay.entries.size(); ++i)
    json["entries"].push_back(EntryToJson(replay.entries[i], store::TimeOf(log.entries[i])));
  json["phase"] = absl::AsciiStrToUpper(store::NameOf(replay.phase));
  json["reason"] = replay.reason;
  json["open"] = Json::array();
  for (const store::OpenTask& task : replay.open)
    json["open"].push_back({{"task", task.id}, {"reason", task.reason}});
  json["otherwise"] = replay.otherwise;
  return json;
}

std::string WriteJson(const nlohmann::ordered_json& json) {
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string WriteYaml(const nlohmann::ordered_json& json) {
  YAML::Emitter out;
  Emit(json, out);
  return absl::StrCat(out.c_str(), "\n");
}

}  // namespace npufleet::ctl
