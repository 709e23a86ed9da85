// SPDX-License-Identifier: Apache-2.0
#include "agent/verbs/start_ray_head/start_ray_head.h"

#include "absl/strings/str_cat.h"
#include "agent/verbs/container_exec.h"
#include "agent/verbs/observation.h"
#include "agent/verbs/proto_duration.h"
#include "agent/verbs/ray.h"
#include "common/status_macros.h"

namespace npufleet::verbs {
namespace {

constexpr absl::Duration kDefaultDeadline = absl::Seconds(120);

class StartRayHead : public Verb {
 public:
  StartRayHead(const v1::StartRayHead& start, const v1::Subject& subject, host::Host& host)
      : start_(start), subject_(subject), host_(host) {}

  v1::Observation Check() override {
    absl::StatusOr<bool> runs = ContainerRuns(host_, start_.container());
    if (!runs.ok()) return Unknown(std::string(runs.status().message()));
    if (!*runs) return Absent(absl::StrCat("container ", start_.container(), " does not run"));
    absl::StatusOr<RayProcesses> ray = FindRay(host_, start_.container());
    if (!ray.ok()) return Unknown(std::string(ray.status().message()));
    v1::Observation observation = Judge(*ray);
    auto& facts = *observation.mutable_facts();
    if (ray->gcs_server.has_value()) facts["gcs_server"] = absl::StrCat(ray->gcs_server->pid);
    if (ray->raylet.has_value()) facts["raylet"] = absl::StrCat(ray->raylet->pid);
    if (!ray->NodeId().empty()) facts["node"] = ray->NodeId();
    return observation;
  }

  absl::Status Apply(Execution& execution) override {
    RETURN_IF_ERROR(CheckAddressOfNic(host_, start_.address(), start_.nic()));
    RayStart start;
    start.stage = "ray-head";
    start.task = subject_.task();
    start.container = start_.container();
    start.chips.insert(start_.chips().begin(), start_.chips().end());
    start.port = static_cast<uint16_t>(start_.port());
    start.argv = {"ray",
                  "start",
                  "--head",
                  absl::StrCat("--port=", start_.port()),
                  absl::StrCat("--node-ip-address=", start_.address()),
                  NpuResources(start_.chips_size()),
                  "--disable-usage-stats"};
    start.argv.insert(start.argv.end(), start_.extra_args().begin(), start_.extra_args().end());
    start.environment = StampedEnvironment(start_.environment(), subject_);
    start.deadline = ToDuration(start_.start_deadline(), kDefaultDeadline);
    return StartRay(host_, start, execution);
  }

  absl::Status Stop(Execution& execution) override {
    return StopRay(host_, start_.container(), execution);
  }

  absl::Duration CheckPeriod() const override { return absl::Seconds(5); }

 private:
  v1::Observation Judge(const RayProcesses& ray) const {
    const std::string session = ray.Session();
    if (!ray.gcs_server.has_value() && !ray.raylet.has_value()) {
      return Absent("no Ray in the container");
    }
    if (!ray.gcs_server.has_value()) return Absent("gcs_server is gone", session);
    if (!ray.raylet.has_value()) return Absent("the head's raylet is gone", session);
    if (!HasStamp(ray.gcs_server, subject_.stamp()) || !HasStamp(ray.raylet, subject_.stamp())) {
      return Absent("Ray was started for another want", session);
    }
    if (session.empty()) return Unknown("gcs_server does not name its session");
    return Present(session);
  }

  const v1::StartRayHead start_;
  const v1::Subject subject_;
  host::Host& host_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Verb>> MakeStartRayHead(const v1::StartRayHead& start,
                                                       const v1::Subject& subject,
                                                       host::Host& host) {
  if (start.container().empty()) return absl::InvalidArgumentError("start_ray_head: no container");
  if (start.address().empty()) return absl::InvalidArgumentError("start_ray_head: no address");
  if (start.port() == 0) return absl::InvalidArgumentError("start_ray_head: no port");
  if (start.chips().empty()) return absl::InvalidArgumentError("start_ray_head: no chips");
  return std::make_unique<StartRayHead>(start, subject, host);
}

}  // namespace npufleet::verbs
