// SPDX-License-Identifier: Apache-2.0
#include "agent/verbs/start_ray_worker/start_ray_worker.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "agent/verbs/container_exec.h"
#include "agent/verbs/observation.h"
#include "agent/verbs/proto_duration.h"
#include "agent/verbs/ray.h"
#include "common/status_macros.h"

namespace npufleet::verbs {
namespace {

constexpr absl::Duration kDefaultDeadline = absl::Seconds(120);
constexpr absl::Duration kJoinPeriod = absl::Seconds(1);

// The raylet of which the head said that it is alive. Ray is asked once for each, which takes
// seconds; from then on the raylet's connection to the head tells, also to the next agent.
constexpr char kJoined[] = "/var/lib/npufleet/agent/joined-raylet";

class StartRayWorker : public Verb {
 public:
  StartRayWorker(const v1::StartRayWorker& start, const v1::Subject& subject, host::Host& host)
      : start_(start), subject_(subject), host_(host) {}

  v1::Observation Check() override {
    absl::StatusOr<bool> runs = ContainerRuns(host_, start_.container());
    if (!runs.ok()) return Unknown(std::string(runs.status().message()));
    if (!*runs) return Absent(absl::StrCat("container ", start_.container(), " does not run"));
    absl::StatusOr<RayProcesses> ray = FindRay(host_, start_.container());
    if (!ray.ok()) return Unknown(std::string(ray.status().message()));
    v1::Observation observation = Judge(*ray);
    auto& facts = *observation.mutable_facts();
    if (ray->raylet.has_value()) facts["raylet"] = absl::StrCat(ray->raylet->pid);
    if (!ray->Session().empty()) facts["session"] = ray->Session();
    return observation;
  }

  absl::Status Apply(Execution& execution) override {
    RETURN_IF_ERROR(CheckAddressOfNic(host_, start_.address(), start_.nic()));
    RayStart start;
    start.stage = "ray-worker";
    start.task = subject_.task();
    start.container = start_.container();
    start.chips.insert(start_.chips().begin(), start_.chips().end());
    start.argv = {"ray",
                  "start",
                  absl::StrCat("--address=", Head()),
                  absl::StrCat("--node-ip-address=", start_.address()),
                  NpuResources(start_.chips_size()),
                  "--disable-usage-stats"};
    start.argv.insert(start.argv.end(), start_.extra_args().begin(), start_.extra_args().end());
    start.environment = StampedEnvironment(start_.environment(), subject_);
    start.deadline = ToDuration(start_.start_deadline(), kDefaultDeadline);
    RETURN_IF_ERROR(StartRay(host_, start, execution));
    absl::Status joined =
        WaitUntil(host_, execution, "joining the Ray cluster", start.deadline, kJoinPeriod,
                  [&]() -> absl::StatusOr<bool> { return HasJoined(execution); });
    if (!absl::IsDeadlineExceeded(joined)) return joined;
    return SignedFailure(
        v1::Failure::TRANSIENT, "RAW-01",
        absl::StrCat("the head at ", Head(), " does not list this node: ", last_answer_),
        absl::StrCat("Check that ", start_.address(), " and ", Head(), " reach each other."));
  }

  absl::Status Stop(Execution& execution) override {
    return StopRay(host_, start_.container(), execution);
  }

  absl::Duration CheckPeriod() const override { return absl::Seconds(5); }

 private:
  std::string Head() const { return absl::StrCat(start_.head_address(), ":", start_.head_port()); }

  static std::string Identity(const RayProcesses& ray) {
    return absl::StrCat(ray.NodeId(), " ", ray.raylet->pid, "@", ray.raylet->start_ticks);
  }

  v1::Observation Judge(const RayProcesses& ray) {
    if (!ray.raylet.has_value()) return Absent("no raylet in the container");
    const std::string node = ray.NodeId();
    if (!HasStamp(ray.raylet, subject_.stamp())) {
      return Absent("Ray was started for another want",
                    node.empty() ? absl::StrCat("raylet ", ray.raylet->pid) : node);
    }
    if (node.empty()) return Unknown("raylet does not name its node yet");
    absl::StatusOr<bool> connected = host_.system->ConnectedTo(
        ray.raylet->pid, start_.head_address(), static_cast<uint16_t>(start_.head_port()));
    if (absl::IsNotFound(connected.status())) return Absent("raylet has just ended");
    if (!connected.ok()) return Unknown(std::string(connected.status().message()));
    if (!*connected) {
      return Absent(absl::StrCat("raylet has no connection to the head at ", Head()), node);
    }
    if (host_.filesystem->Read(kJoined).value_or("") == Identity(ray)) return Present(node);
    absl::StatusOr<bool> listed = IsListed(ray, nullptr);
    if (!listed.ok()) return Unknown(std::string(listed.status().message()));
    if (!*listed) return Absent("the head does not list this Ray node as alive", node);
    return Present(node);
  }

  // Whether the head lists the node of `ray` as alive.
  absl::StatusOr<bool> IsListed(const RayProcesses& ray, Execution* execution) {
    ASSIGN_OR_RETURN(
        const RayCluster cluster,
        AskRay(host_, start_.container(), start_.head_address(), start_.head_port(), execution));
    const std::string node = ray.NodeId();
    const bool listed = std::any_of(cluster.nodes.begin(), cluster.nodes.end(),
                                    [&](const RayNode& candidate) { return candidate.id == node; });
    // Without the note it is asked for again, which only takes longer.
    if (listed) host_.filesystem->Write(kJoined, Identity(ray)).IgnoreError();
    return listed;
  }

  absl::StatusOr<bool> HasJoined(Execution& execution) {
    ASSIGN_OR_RETURN(const RayProcesses ray, FindRay(host_, start_.container()));
    if (!ray.raylet.has_value()) {
      return FailureStatus(v1::Failure::TRANSIENT, "raylet ended after ray start",
                           "See /tmp/ray/session_latest/logs/raylet.err in the container.");
    }
    if (ray.NodeId().empty()) {
      last_answer_ = "raylet names no node";
      return false;
    }
    absl::StatusOr<bool> listed = IsListed(ray, &execution);
    if (absl::IsCancelled(listed.status())) return listed;
    last_answer_ = listed.ok() ? absl::StrCat("node ", ray.NodeId(), " is not among the living")
                               : std::string(listed.status().message());
    return listed.ok() && *listed;
  }

  const v1::StartRayWorker start_;
  const v1::Subject subject_;
  host::Host& host_;
  std::string last_answer_;  // of Apply
};

}  // namespace

absl::StatusOr<std::unique_ptr<Verb>> MakeStartRayWorker(const v1::StartRayWorker& start,
                                                         const v1::Subject& subject,
                                                         host::Host& host) {
  if (start.container().empty()) {
    return absl::InvalidArgumentError("start_ray_worker: no container");
  }
  if (start.address().empty() || start.head_address().empty() || start.head_port() == 0) {
    return absl::InvalidArgumentError("start_ray_worker: no address, head_address or head_port");
  }
  if (start.chips().empty()) return absl::InvalidArgumentError("start_ray_worker: no chips");
  return std::make_unique<StartRayWorker>(start, subject, host);
}

}  // namespace npufleet::verbs
