// SPDX-License-Identifier: Apache-2.0
#include "agent/verbs/check_fabric/check_fabric.h"

#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "agent/npu/hccn.h"
#include "agent/npu/npu_smi.h"
#include "agent/npu/tool.h"
#include "agent/verbs/boot.h"
#include "agent/verbs/check_fabric/ping_peers.h"
#include "agent/verbs/observation.h"
#include "common/status_macros.h"

namespace npufleet::verbs {
namespace {

struct Port {
  std::string address;
  bool tls = false;
};

class CheckFabric : public Verb {
 public:
  CheckFabric(const v1::CheckFabric& want, host::Host& host)
      : chips_(want.chips().begin(), want.chips().end()), host_(host) {}

  bool UsesNpuTools() const override { return true; }
  // Three calls of a slow tool for each chip.
  absl::Duration CheckPeriod() const override { return absl::Minutes(5); }

  v1::Observation Check() override {
    std::map<uint32_t, Port> ports;
    for (uint32_t chip : chips_) {
      absl::StatusOr<Port> port = ReadPort(chip);
      if (!port.ok()) {
        if (absl::IsUnavailable(port.status()) && !FailureOf(port.status())) {
          return Unknown(std::string(port.status().message()));
        }
        return AbsentFor(port.status());
      }
      ports[chip] = *port;
    }
    std::vector<std::string> token;
    for (const auto& [chip, port] : ports) {
      if (port.tls != ports.begin()->second.tls) {
        return AbsentFor(SignedFailure(
            v1::Failure::NEEDS_OPERATOR, "NET-05",
            absl::StrCat("the TLS switch of chip ", chip, " is ", port.tls ? "on" : "off",
                         ", of chip ", ports.begin()->first, port.tls ? " off" : " on"),
            "Set it equal on all chips of all nodes: hccn_tool -i N -tls -s enable 0."));
      }
      token.push_back(absl::StrCat(chip, "=", port.address));
    }
    token.push_back(absl::StrCat("tls=", ports.begin()->second.tls ? 1 : 0));
    return Present(absl::StrJoin(token, " "));
  }

  // Links come up by themselves after a boot; everything else a person must set.
  absl::Status Apply(Execution& execution) override {
    absl::Duration deadline = host_.clock->Elapsed() + kBootSettling;
    std::string said;
    while (true) {
      v1::Observation observation = Check();
      if (observation.state() == v1::Observation::PRESENT) return absl::OkStatus();
      if (observation.has_failure()) return FailureStatus(observation.failure());
      if (observation.reason() != said) execution.Log(said = observation.reason());
      if (execution.IsCancelled())
        return absl::CancelledError("cancelled while waiting for the links");
      if (host_.clock->Elapsed() >= deadline) {
        return FailureStatus(v1::Failure::TRANSIENT, said,
                             "See hccn_tool -i N -link -g on the node.");
      }
      host_.clock->Sleep(absl::Seconds(5));
    }
  }

 private:
  // Unavailable without a failure: it cannot be seen now.
  absl::StatusOr<Port> ReadPort(uint32_t chip) {
    Port port;
    ASSIGN_OR_RETURN(std::string text, Ask(chip, "-ip"));
    std::optional<npu::HccnAddress> address = npu::ParseHccnAddress(text);
    if (!address && !text.empty() && text.find("ipaddr") == text.npos) {
      return absl::UnavailableError(
          absl::StrCat("hccn_tool of chip ", chip, ": ", npu::Printable(text, 120)));
    }
    if (!address) {
      return FailureStatus(
          v1::Failure::NEEDS_OPERATOR, absl::StrCat("chip ", chip, " has no address"),
          absl::StrCat("Give it one: hccn_tool -i ", chip,
                       " -ip -s address A.B.C.D netmask M; /etc/hccn.conf keeps it."));
    }
    port.address = address->address;
    ASSIGN_OR_RETURN(text, Ask(chip, "-tls"));
    std::optional<bool> tls = npu::ParseHccnTls(text);
    if (!tls)
      return absl::UnavailableError(
          absl::StrCat("TLS switch of chip ", chip, ": ", npu::Printable(text, 120)));
    port.tls = *tls;
    ASSIGN_OR_RETURN(text, Ask(chip, "-link"));
    std::optional<npu::HccnLink> link = npu::ParseHccnLink(text);
    if (!link)
      return absl::UnavailableError(
          absl::StrCat("link of chip ", chip, ": ", npu::Printable(text, 120)));
    if (*link == npu::HccnLink::kDown) {
      std::string symptom = absl::StrCat("the link of chip ", chip, " is down");
      if (IsSettling(host_)) return absl::UnavailableError(symptom);
      return SignedFailure(v1::Failure::HARDWARE, "NET-01", symptom,
                           absl::StrCat("Check module, cable and switch; hccn_tool -i ", chip,
                                        " -cfg recovery may help."));
    }
    return port;
  }

  absl::StatusOr<std::string> Ask(uint32_t chip, const std::string& what) {
    absl::StatusOr<host::ProcessResult> result = npu::RunNpuTool(
        host_, {"hccn_tool", "-i", absl::StrCat(chip), what, "-g"}, absl::Seconds(10));
    if (absl::IsNotFound(result.status())) {
      return SignedFailure(v1::Failure::REDO, "", "hccn_tool is not on this node",
                           "The driver is installed again.", "driver");
    }
    if (!result.ok())
      return absl::UnavailableError(
          absl::StrCat("hccn_tool ", what, " of chip ", chip, ": ", result.status().message()));
    return result->Combined();
  }

  const std::set<uint32_t> chips_;
  host::Host& host_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Verb>> MakeCheckFabric(const v1::CheckFabric& want,
                                                      const v1::Subject& subject,
                                                      host::Host& host) {
  if (want.chips().empty()) return absl::InvalidArgumentError("check_fabric names no chips");
  if (!want.peers().empty()) return MakePingPeers(want, subject, host);
  return std::make_unique<CheckFabric>(want, host);
}

}  // namespace npufleet::verbs
