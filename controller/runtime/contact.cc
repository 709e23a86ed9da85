// SPDX-License-Identifier: Apache-2.0
#include "controller/runtime/contact.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/time_conversion.h"

namespace npufleet::runtime {
namespace {

std::string Ago(absl::Time since, absl::Time now) {
  if (now - since < absl::Seconds(1)) return "a moment ago";
  return absl::StrCat(absl::FormatDuration(absl::Trunc(now - since, absl::Seconds(1))), " ago");
}

// What an announced reboot, ours or its own, explains.
std::string Rebooting(const core::Node& node, absl::Time now) {
  return absl::StrCat("was told to reboot ", Ago(node.reboot_since, now),
                      node.reboot_reason.empty() ? "" : absl::StrCat(" (", node.reboot_reason, ")"),
                      "; another boot id ends it");
}

}  // namespace

bool IsRefusedConnection(std::string_view message) {
  return absl::StrContains(absl::string_view(message.data(), message.size()), "Connection refused");
}

v1::RolloutNode NodeOf(const std::string& name, const Contact& contact, const core::Node* node,
                       absl::Time now) {
  v1::RolloutNode view;
  view.set_name(name);
  view.set_boot_id(contact.boot_id);
  const bool was_reached = contact.since != absl::InfinitePast();
  if (was_reached) *view.mutable_since() = ToTimestamp(contact.since);
  const bool told = node != nullptr && node->reboot.has_value();
  if (contact.connected) {
    view.set_reach(v1::CONNECTED);
    if (told) view.set_reason(absl::StrCat(Rebooting(*node, now), "; it is still up"));
    return view;
  }
  const bool refused = IsRefusedConnection(contact.attempt);
  const bool silent = !contact.attempt.empty() && !refused;
  if (told) {
    view.set_reach(v1::REBOOTING);
    view.set_reason(absl::StrCat(Rebooting(*node, now),
                                 refused ? "; the machine answers again, its agent does not run yet"
                                 : silent ? "; nothing answers"
                                          : ""));
    return view;
  }
  if (!was_reached) {
    view.set_reach(refused ? v1::AGENT_DOWN : v1::NOT_REACHED);
    view.set_reason(absl::StrCat("not reached since the controller started",
                                 refused ? ": the machine answers, its agent does not run"
                                 : silent
                                     ? absl::StrCat(": nothing answers (", contact.attempt, ")")
                                     : ""));
    return view;
  }
  const std::string lost = absl::StrCat("lost ", Ago(contact.since, now), ": ", contact.reason);
  if (refused) {
    view.set_reach(v1::AGENT_DOWN);
    view.set_reason(absl::StrCat(
        lost, "; the machine answers, its agent does not run: it boots, or the agent was stopped"));
    return view;
  }
  view.set_reach(v1::UNREACHABLE);
  const bool in_order = absl::StrContains(contact.reason, "closed the connection");
  view.set_reason(absl::StrCat(
      lost, silent ? "; nothing answers" : "",
      in_order ? ": it was shut down or reboots"
               : ": cut off, without power, or hanging; its boot id tells which when it is back"));
  return view;
}

}  // namespace npufleet::runtime
