// SPDX-License-Identifier: Apache-2.0
#include "agent/verbs/check_host/check_host.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "agent/verbs/observation.h"
#include "common/status_macros.h"

namespace npufleet::verbs {
namespace {

constexpr char kSpaceNote[] = "/var/lib/npufleet/agent/disk-space-seen.json";
constexpr uint64_t kGib = 1 << 30;

class CheckHost : public Verb {
 public:
  CheckHost(const v1::CheckHost& want, host::Host& host) : want_(want), host_(host) {}

  v1::Observation Check() override {
    absl::StatusOr<std::map<std::string, std::string>> os = host_.system->OsRelease();
    if (!os.ok()) return Unknown(absl::StrCat("/etc/os-release: ", os.status().message()));
    for (const absl::Status& status :
         {CheckRoot(), CheckArchitecture(), CheckAddress(), CheckPorts()}) {
      if (absl::IsUnavailable(status)) return Unknown(std::string(status.message()));
      if (!status.ok()) return AbsentFor(status);
    }
    if (!SpaceWasSeen()) {
      if (absl::Status status = MeasureSpace(); !status.ok()) return AbsentFor(status);
      return Absent("free disk space was not noted yet");
    }
    v1::Observation observation = Present(
        absl::StrCat((*os)["ID"], " ", (*os)["VERSION_ID"], " ", host_.system->Architecture()));
    (*observation.mutable_facts())["kernel"] = host_.system->KernelRelease();
    if (std::string name = (*os)["PRETTY_NAME"]; !name.empty())
      (*observation.mutable_facts())["system"] = name;
    return observation;
  }

  absl::Status Apply(Execution& execution) override {
    for (const absl::Status& status :
         {CheckRoot(), CheckArchitecture(), CheckAddress(), CheckPorts(), MeasureSpace()}) {
      RETURN_IF_ERROR(status);
    }
    nlohmann::json note;
    for (const auto& [path, gib] : want_.min_free_gib()) {
      note[path] = gib;
      if (auto space = host_.filesystem->Space(path); space.ok()) {
        execution.Log(
            absl::StrFormat("%s: %d GiB free, %d needed", path, space->free_bytes / kGib, gib));
      }
    }
    return host_.filesystem->Write(kSpaceNote, note.dump());
  }

 private:
  absl::Status CheckRoot() const {
    // A demonstration has a root of its own, and installs nothing on this machine.
    if (host_.filesystem->root() != "/" || host_.system->IsRoot()) return absl::OkStatus();
    return FailureStatus(v1::Failure::NEEDS_OPERATOR, "the agent does not run as root",
                         "Run npufleet-agent as root: it installs drivers and daemons.");
  }

  absl::Status CheckArchitecture() const {
    std::string architecture = host_.system->Architecture();
    if (want_.architecture().empty() || want_.architecture() == architecture)
      return absl::OkStatus();
    return FailureStatus(v1::Failure::CONFIG,
                         absl::StrCat("this node is ", architecture,
                                      ", the spec's artifacts are for ", want_.architecture()),
                         absl::StrCat("Name artifacts for ", architecture,
                                      ", and preflight.architecture: ", architecture, "."));
  }

  absl::Status CheckAddress() const {
    if (want_.nic().empty() && want_.address().empty()) return absl::OkStatus();
    absl::StatusOr<std::vector<host::NetworkInterface>> interfaces = host_.system->Interfaces();
    if (!interfaces.ok())
      return absl::UnavailableError(
          absl::StrCat("network interfaces: ", interfaces.status().message()));
    std::vector<std::string> there;
    const host::NetworkInterface* nic = nullptr;
    for (const host::NetworkInterface& interface : *interfaces) {
      if (interface.name == want_.nic()) nic = &interface;
      there.push_back(absl::StrCat(interface.name, " (", absl::StrJoin(interface.ipv4, " "), ")"));
    }
    if (nic == nullptr) {
      return SignedFailure(v1::Failure::CONFIG, "PRE-07",
                           absl::StrCat("this node has no interface ", want_.nic(), "; it has ",
                                        absl::StrJoin(there, ", ")),
                           "Correct the node's nic in the spec.");
    }
    if (std::find(nic->ipv4.begin(), nic->ipv4.end(), want_.address()) == nic->ipv4.end()) {
      return SignedFailure(v1::Failure::CONFIG, "PRE-06",
                           absl::StrCat(want_.address(), " is not an address of ", want_.nic(),
                                        "; this node has ", absl::StrJoin(there, ", ")),
                           "Correct the node's address or nic in the spec.");
    }
    if (!nic->up) {
      return FailureStatus(v1::Failure::NEEDS_OPERATOR,
                           absl::StrCat("the interface ", want_.nic(), " is down"),
                           absl::StrCat("Bring it up: ip link set ", want_.nic(), " up."));
    }
    return absl::OkStatus();
  }

  absl::Status CheckPorts() const {
    if (want_.free_ports().empty()) return absl::OkStatus();
    absl::StatusOr<std::vector<host::ListeningPort>> listening = host_.system->ListeningTcpPorts();
    if (!listening.ok())
      return absl::UnavailableError(
          absl::StrCat("listening ports: ", listening.status().message()));
    for (const host::ListeningPort& port : *listening) {
      auto wanted = std::find(want_.free_ports().begin(), want_.free_ports().end(), port.port);
      if (wanted == want_.free_ports().end() || IsOurs(port)) continue;
      std::string holder =
          port.pid == 0 ? "another process" : absl::StrCat(port.command, " (pid ", port.pid, ")");
      if (!port.container.empty())
        absl::StrAppend(&holder, " in container ", port.container.substr(0, 12));
      return FailureStatus(v1::Failure::NEEDS_OPERATOR,
                           absl::StrCat("port ", port.port, " is held by ", holder),
                           absl::StrCat("Stop it, or name another port in the spec."));
    }
    return absl::OkStatus();
  }

  bool IsOurs(const host::ListeningPort& port) const {
    if (port.pid != 0) {
      absl::StatusOr<host::ProcessInfo> process = host_.system->InspectProcess(port.pid);
      if (process.ok() && process->environment.count("NPUFLEET_TASK") > 0) return true;
    }
    if (port.container.empty()) return false;
    for (const std::string& name : want_.own_containers()) {
      absl::StatusOr<host::DockerContainer> container = host_.docker->InspectContainer(name);
      if (container.ok() && container->id == port.container) return true;
    }
    return false;
  }

  bool SpaceWasSeen() const {
    if (want_.min_free_gib().empty()) return true;
    absl::StatusOr<std::string> text = host_.filesystem->Read(kSpaceNote);
    if (!text.ok()) return false;
    nlohmann::json note = nlohmann::json::parse(*text, nullptr, /*allow_exceptions=*/false);
    if (!note.is_object()) return false;
    return std::all_of(want_.min_free_gib().begin(), want_.min_free_gib().end(),
                       [&](const auto& need) {
                         auto seen = note.find(need.first);
                         return seen != note.end() && seen->is_number_unsigned() &&
                                seen->template get<uint64_t>() >= need.second;
                       });
  }

  absl::Status MeasureSpace() const {
    for (const auto& [path, gib] : want_.min_free_gib()) {
      absl::StatusOr<host::DiskSpace> space = host_.filesystem->Space(path);
      if (!space.ok()) return Annotate(space.status(), path);
      // Whole ones: a finer figure would change from Check to Check of a disk that is in use.
      const uint64_t free_gib = space->free_bytes / kGib;
      if (free_gib >= gib) continue;
      return SignedFailure(
          v1::Failure::NEEDS_OPERATOR, "PRE-01",
          absl::StrFormat("%s has %d GiB free, %d GiB are needed", path, free_gib, gib),
          absl::StrCat("Free space on the filesystem of ", path,
                       ", or change preflight.minFreeGib."));
    }
    return absl::OkStatus();
  }

  const v1::CheckHost want_;
  host::Host& host_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Verb>> MakeCheckHost(const v1::CheckHost& want, const v1::Subject&,
                                                    host::Host& host) {
  return std::make_unique<CheckHost>(want, host);
}

}  // namespace npufleet::verbs
