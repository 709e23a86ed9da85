// SPDX-License-Identifier: Apache-2.0
#include "agent/verbs/check_fabric/ping_peers.h"

#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "agent/npu/hccn.h"
#include "agent/npu/npu_smi.h"
#include "agent/npu/tool.h"
#include "agent/verbs/boot.h"
#include "agent/verbs/observation.h"
#include "common/status_macros.h"
#include "common/string_views.h"

namespace npufleet::verbs {
namespace {

constexpr size_t kNamedPairs = 3;  // in a message

struct Rail {
  int chip = 0;
  std::string peer;
  int peer_chip = 0;
  std::string address;
};

class PingPeers : public Verb {
 public:
  PingPeers(const v1::CheckFabric& want, const v1::Subject& subject, host::Host& host)
      : want_(want), inputs_(subject.inputs().begin(), subject.inputs().end()), host_(host) {}

  bool UsesNpuTools() const override { return true; }
  // Each ping takes seconds in which no other tool of the chips may run.
  absl::Duration CheckPeriod() const override { return absl::Hours(1); }

  // A rail that fails now may come up while the peer boots: Apply decides what stays.
  v1::Observation Check() override {
    absl::StatusOr<std::vector<Rail>> rails = Rails();
    if (!rails.ok()) {
      if (FailureOf(rails.status())) return AbsentFor(rails.status());
      return Unknown(std::string(rails.status().message()));
    }
    std::vector<std::string> silent;
    for (const Rail& rail : *rails) {
      absl::StatusOr<bool> reached = Ping(rail);
      if (!reached.ok()) return Unknown(std::string(reached.status().message()));
      if (!*reached) {
        silent.push_back(absl::StrCat("chip ", rail.chip, " does not reach chip ", rail.peer_chip,
                                      " of ", rail.peer, " (", rail.address, ")"));
      }
    }
    if (silent.empty()) return Present(Token(*rails));
    const size_t more = silent.size() > kNamedPairs ? silent.size() - kNamedPairs : 0;
    silent.resize(silent.size() - more);
    return Absent(absl::StrCat(absl::StrJoin(silent, "; "),
                               more > 0 ? absl::StrCat("; ", more, " more") : ""));
  }

  absl::Status Apply(Execution& execution) override {
    const absl::Duration deadline = host_.clock->Elapsed() + kBootSettling;
    std::string said;
    while (true) {
      const v1::Observation observation = Check();
      if (observation.state() == v1::Observation::PRESENT) return absl::OkStatus();
      if (observation.has_failure()) return FailureStatus(observation.failure());
      if (observation.reason() != said) execution.Log(said = observation.reason());
      if (execution.IsCancelled()) return absl::CancelledError("cancelled while pinging the peers");
      if (host_.clock->Elapsed() >= deadline) {
        return SignedFailure(v1::Failure::HARDWARE, "NET-04", said,
                             "Check VLAN, gateway and MTU of these ports; "
                             "hccn_tool -i N -ping -g address A shows it on the node.");
      }
      host_.clock->Sleep(absl::Seconds(5));
    }
  }

 private:
  // Unavailable without a failure: an end is not known yet.
  absl::StatusOr<std::vector<Rail>> Rails() const {
    ASSIGN_OR_RETURN(const FabricToken own, TokenOf("fabric"));
    std::vector<Rail> rails;
    for (const v1::CheckFabric::Peer& peer : want_.peers()) {
      ASSIGN_OR_RETURN(const FabricToken there, TokenOf(absl::StrCat("fabric@", peer.node())));
      if (there.tls != own.tls) {
        return SignedFailure(
            v1::Failure::NEEDS_OPERATOR, "NET-05",
            absl::StrCat("the TLS switch of this node's chips is ", own.tls == "1" ? "on" : "off",
                         ", of those of ", peer.node(), own.tls == "1" ? " off" : " on"),
            "Set it equal on all chips of all nodes: "
            "hccn_tool -i N -tls -s enable 0.");
      }
      auto other = there.addresses.begin();
      for (const auto& [chip, address] : own.addresses) {
        if (other == there.addresses.end()) break;
        rails.push_back({chip, peer.node(), other->first, other->second});
        ++other;
      }
    }
    return rails;
  }

  absl::StatusOr<FabricToken> TokenOf(const std::string& input) const {
    const auto found = inputs_.find(input);
    if (found == inputs_.end() || found->second.empty()) {
      return absl::UnavailableError(
          absl::StrCat("the chips' addresses (", input, ") are not known"));
    }
    return ParseFabricToken(found->second);
  }

  absl::StatusOr<bool> Ping(const Rail& rail) {
    absl::StatusOr<host::ProcessResult> result = npu::RunNpuTool(
        host_,
        {"hccn_tool", "-i", absl::StrCat(rail.chip), "-ping", "-g", "address", rail.address});
    const std::string what =
        absl::StrCat("hccn_tool -ping of chip ", rail.chip, " to ", rail.address);
    if (!result.ok())
      return absl::UnavailableError(absl::StrCat(what, ": ", result.status().message()));
    const std::optional<npu::HccnPing> ping = npu::ParseHccnPing(result->Combined());
    if (!ping) {
      return absl::UnavailableError(
          absl::StrCat(what, ": ", npu::Printable(result->Combined(), 120)));
    }
    return ping->received > 0;
  }

  static std::string Token(const std::vector<Rail>& rails) {
    std::map<std::string, int> count;
    for (const Rail& rail : rails) ++count[rail.peer];
    std::vector<std::string> parts;
    for (const auto& [peer, number] : count) {
      parts.push_back(absl::StrCat(number, number == 1 ? " rail to " : " rails to ", peer));
    }
    return absl::StrJoin(parts, ", ");
  }

  const v1::CheckFabric want_;
  const std::map<std::string, std::string> inputs_;
  host::Host& host_;
};

}  // namespace

FabricToken ParseFabricToken(std::string_view token) {
  FabricToken parsed;
  for (absl::string_view word : absl::StrSplit(Absl(token), ' ', absl::SkipEmpty())) {
    const std::pair<std::string, std::string> pair = absl::StrSplit(word, absl::MaxSplits('=', 1));
    int chip = 0;
    if (pair.first == "tls") {
      parsed.tls = pair.second;
    } else if (absl::SimpleAtoi(pair.first, &chip)) {
      parsed.addresses[chip] = pair.second;
    }
  }
  return parsed;
}

std::unique_ptr<Verb> MakePingPeers(const v1::CheckFabric& want, const v1::Subject& subject,
                                    host::Host& host) {
  return std::make_unique<PingPeers>(want, subject, host);
}

}  // namespace npufleet::verbs
