// SPDX-License-Identifier: Apache-2.0
#include "agent/verbs/mark.h"

#include "absl/strings/str_cat.h"
#include "common/string_views.h"

namespace npufleet::verbs {
namespace {

std::string PathOf(std::string_view verb) {
  return absl::StrCat("/var/lib/npufleet/agent/marks/", Absl(verb));
}

}  // namespace

absl::Status WriteMark(host::Host& host, std::string_view verb, std::string_view what) {
  return host.filesystem->Write(PathOf(verb), what, 0600);
}

std::optional<std::string> ReadMark(host::Host& host, std::string_view verb) {
  absl::StatusOr<std::string> what = host.filesystem->Read(PathOf(verb));
  if (what.ok()) return *std::move(what);
  // A mark that cannot be read is still a mark: to take it for none would vouch for a torn install.
  if (host.filesystem->Exists(PathOf(verb))) return std::string(what.status().message());
  return std::nullopt;
}

absl::Status RemoveMark(host::Host& host, std::string_view verb) {
  return host.filesystem->Remove(PathOf(verb));
}

}  // namespace npufleet::verbs
