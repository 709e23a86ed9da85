// SPDX-License-Identifier: Apache-2.0
#include "agent/verbs/install_driver/driver_state.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "agent/npu/npu_smi.h"
#include "agent/verbs/boot.h"
#include "common/status_macros.h"

namespace npufleet::verbs {
namespace {

constexpr char kNote[] = "/var/lib/npufleet/agent/driver-in-effect.json";

nlohmann::json ReadNote(host::Host& host) {
  absl::StatusOr<std::string> text = host.filesystem->Read(kNote);
  nlohmann::json note =
      nlohmann::json::parse(text.ok() ? *text : "", nullptr, /*allow_exceptions=*/false);
  return note.is_object() ? note : nlohmann::json::object();
}

std::string TextAt(const nlohmann::json& object, const char* key) {
  auto at = object.find(key);
  return at != object.end() && at->is_string() ? at->get<std::string>() : "";
}

}  // namespace

absl::StatusOr<PackageState> ReadPackageState(host::Host& host, const std::string& install_path,
                                              const std::string& package) {
  PackageState state;
  nlohmann::json note = ReadNote(host).value(package, nlohmann::json::object());
  if (!note.is_object()) note = nlohmann::json::object();
  state.noted = TextAt(note, "version");
  const std::string path = absl::StrCat(install_path, "/", package, "/version.info");
  absl::StatusOr<std::string> text = host.filesystem->Read(path, 1 << 16);
  if (absl::IsNotFound(text.status())) return state;
  RETURN_IF_ERROR(Annotate(text.status(), path));
  state.version = npu::ParseVersionInfo(*text);
  if (state.version.empty()) return state;
  ASSIGN_OR_RETURN(const std::string boot_id, host.system->BootId());
  if (state.noted == state.version) {
    auto immediate = note.find("immediate");
    bool said_so = immediate != note.end() && immediate->is_boolean() && immediate->get<bool>();
    state.in_effect = said_so || TextAt(note, "boot_id") != boot_id;
    return state;
  }
  ASSIGN_OR_RETURN(const host::FileInfo info, host.filesystem->Stat(path));
  ASSIGN_OR_RETURN(const absl::Duration age, TimeSinceBoot(host));
  state.in_effect = info.modified < host.clock->Now() - age;
  return state;
}

absl::Status NoteInstalled(host::Host& host, const std::string& package, const std::string& version,
                           bool takes_effect_immediately) {
  ASSIGN_OR_RETURN(const std::string boot_id, host.system->BootId());
  nlohmann::json note = ReadNote(host);
  note[package] = {
      {"version", version}, {"boot_id", boot_id}, {"immediate", takes_effect_immediately}};
  return host.filesystem->Write(kNote, note.dump(1));
}

}  // namespace npufleet::verbs
