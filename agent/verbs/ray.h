// SPDX-License-Identifier: Apache-2.0
//
// Ray in a container: its processes as /proc shows them, its own view of the cluster by Python, and
// starting and stopping it. Facts from Ray 2.40 to 2.60: gcs_server and raylet carry the session as
// --session-name, raylet its node as --node_id (since 2.49), and its agents the node as
// RAY_NODE_ID.
#ifndef AGENT_VERBS_RAY_H_
#define AGENT_VERBS_RAY_H_

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "agent/host/host.h"
#include "agent/verbs/verb.h"

namespace npufleet::verbs {

// `--NAME=VALUE` or `--NAME VALUE`, with '-' and '_' alike; empty when it is not there.
std::string ArgumentOf(const std::vector<std::string>& argv, std::string_view name);

struct RayProcesses {
  std::optional<host::ProcessInfo> gcs_server;
  std::optional<host::ProcessInfo> raylet;
  std::vector<host::ProcessInfo> all;  // workers and agents (ray::…) too

  // Of what there is.
  std::string Session() const;
  std::string NodeId() const;
};

// The oldest of each in the running container.
absl::StatusOr<RayProcesses> FindRay(host::Host& host, std::string_view container);

// gcs_server, raylet, and what they run beside it (dashboard, agents): all of Ray but its workers.
bool IsRayItself(const host::ProcessInfo& process);

// Whether `process` is there and carries this stamp.
bool HasStamp(const std::optional<host::ProcessInfo>& process, std::string_view stamp);

struct RayNode {
  std::string id;
  std::string address;
  double npu = 0;
};

struct RayCluster {
  std::vector<RayNode> nodes;  // alive
  double npu_total = 0;
  double npu_free = 0;
};

// The answer of the one-liner among other lines. Nothing when it is not there.
std::optional<RayCluster> ParseCluster(std::string_view output);

// Asks the GCS at ADDRESS:PORT with the Python of the container: 1 to 45 s. Unavailable when Ray
// does not answer.
absl::StatusOr<RayCluster> AskRay(host::Host& host, std::string_view container,
                                  std::string_view address, uint32_t port,
                                  Execution* execution = nullptr);

struct RayStart {
  std::string stage;  // whose signatures a failure is looked up in: ray-head, ray-worker
  std::string task;
  std::string container;
  std::set<uint32_t> chips;
  uint16_t port = 0;  // that it is to listen on, which must be free; 0: any
  std::vector<std::string> argv;
  std::map<std::string, std::string> environment;
  absl::Duration deadline;
};

// The argument of --resources for this many NPUs. Ray must be asked for NPU, never for GPU: a GPU
// count hides the NPUs.
std::string NpuResources(int chips);

// `environment` with the stamp of `subject`.
std::map<std::string, std::string> StampedEnvironment(
    const google::protobuf::Map<std::string, std::string>& environment, const v1::Subject& subject);

// Stops what of Ray there is in the container, sweeps what a former one left (sweep.h), and starts
// it. What fails half way is stopped again.
absl::Status StartRay(host::Host& host, const RayStart& start, Execution& execution);

// OK when no Ray process lives in the container, or the container does not run.
absl::Status StopRay(host::Host& host, std::string_view container, Execution& execution);

}  // namespace npufleet::verbs

#endif  // AGENT_VERBS_RAY_H_
