// SPDX-License-Identifier: Apache-2.0
#include "agent/operations/step_files.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "agent/host/filesystem.h"
#include "common/status_macros.h"
#include "common/string_views.h"
#include "nlohmann/json.hpp"

namespace npufleet::operations {
namespace {

using nlohmann::json;

const host::Filesystem& RealFiles() {
  static const auto* filesystem = new host::Filesystem("/");
  return *filesystem;
}

std::string Dump(const json& value) {
  return value.dump(2, ' ', false, json::error_handler_t::replace);
}

const char* NameOf(StepExit::Outcome outcome) {
  switch (outcome) {
    case StepExit::Outcome::kExited:
      return "exited";
    case StepExit::Outcome::kDeadline:
      return "killed at the deadline";
    case StepExit::Outcome::kCancelled:
      return "cancelled";
    case StepExit::Outcome::kNotStarted:
      return "not started";
  }
  return "";
}

std::string StringOf(const json& object, const char* name) {
  auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

double NumberOf(const json& object, const char* name) {
  auto found = object.find(name);
  return found != object.end() && found->is_number() ? found->get<double>() : 0;
}

}  // namespace

absl::Status StepFiles::WriteCommand(const StepCommand& command) const {
  json value = {{"argv", command.argv},
                {"stdin", command.stdin_text},
                {"working_directory", command.working_directory},
                {"max_output_bytes", command.max_output_bytes}};
  if (command.deadline < absl::InfiniteDuration()) {
    value["deadline_seconds"] = absl::ToDoubleSeconds(command.deadline);
  }
  return RealFiles().Write(folder_ + "/command.json", Dump(value), 0600);
}

absl::StatusOr<StepCommand> StepFiles::ReadCommand() const {
  const std::string path = folder_ + "/command.json";
  ASSIGN_OR_RETURN(std::string text, RealFiles().Read(path));
  json value = json::parse(text, nullptr, false);
  auto argv = value.is_object() ? value.find("argv") : value.end();
  if (!value.is_object() || argv == value.end() || !argv->is_array() || argv->empty()) {
    return absl::DataLossError(absl::StrCat(path, " holds no command"));
  }
  StepCommand command;
  for (const json& word : *argv) {
    if (!word.is_string()) return absl::DataLossError(absl::StrCat(path, ": argv is not text"));
    command.argv.push_back(word.get<std::string>());
  }
  command.stdin_text = StringOf(value, "stdin");
  command.working_directory = StringOf(value, "working_directory");
  command.max_output_bytes = static_cast<size_t>(NumberOf(value, "max_output_bytes"));
  if (value.contains("deadline_seconds")) {
    command.deadline = absl::Seconds(NumberOf(value, "deadline_seconds"));
  }
  return command;
}

absl::Status StepFiles::WriteExit(const StepExit& ended) const {
  json value = {{"outcome", NameOf(ended.outcome)},
                {"exit_code", ended.exit_code},
                {"truncated", ended.truncated},
                {"message", ended.message},
                {"ended", absl::FormatTime(ended.end_time, absl::UTCTimeZone())}};
  return RealFiles().Write(folder_ + "/exit.json", Dump(value), 0600);
}

std::optional<StepExit> StepFiles::ReadExit() const {
  absl::StatusOr<std::string> text = RealFiles().Read(folder_ + "/exit.json");
  if (!text.ok()) return std::nullopt;
  json value = json::parse(*text, nullptr, false);
  if (!value.is_object()) return std::nullopt;
  StepExit ended;
  const std::string outcome = StringOf(value, "outcome");
  for (auto known : {StepExit::Outcome::kDeadline, StepExit::Outcome::kCancelled,
                     StepExit::Outcome::kNotStarted}) {
    if (outcome == NameOf(known)) ended.outcome = known;
  }
  ended.exit_code = static_cast<int>(NumberOf(value, "exit_code"));
  auto truncated = value.find("truncated");
  ended.truncated = truncated != value.end() && truncated->is_boolean() && truncated->get<bool>();
  ended.message = StringOf(value, "message");
  std::string ignored;
  absl::ParseTime(absl::RFC3339_full, StringOf(value, "ended"), &ended.end_time, &ignored);
  return ended;
}

absl::Status StepFiles::WriteSession(const Session& session) const {
  return RealFiles().Write(folder_ + "/session",
                           absl::StrCat(session.id, " ", session.start_ticks, "\n"), 0600);
}

std::optional<StepFiles::Session> StepFiles::ReadSession() const {
  absl::StatusOr<std::string> text = RealFiles().Read(folder_ + "/session");
  if (!text.ok()) return std::nullopt;
  std::vector<std::string> words = absl::StrSplit(*text, absl::ByAnyChar(" \n"), absl::SkipEmpty());
  Session session;
  if (words.size() != 2 || !absl::SimpleAtoi(words[0], &session.id) ||
      !absl::SimpleAtoi(words[1], &session.start_ticks)) {
    return std::nullopt;
  }
  return session;
}

absl::Status StepFiles::RequestCancel() const { return RealFiles().Write(cancel(), "", 0600); }

bool StepFiles::IsSupervised() const {
  int file = ::open(lock().c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return false;
  const bool held = ::flock(file, LOCK_SH | LOCK_NB) != 0;
  ::close(file);
  return held;
}

}  // namespace npufleet::operations
