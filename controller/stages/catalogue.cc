// SPDX-License-Identifier: Apache-2.0
//
// The rollout. A stage is run as soon as all that it needs is current; what does not need one
// another runs side by side (the model's hours of download overlap everything up to `serve`).
#include "controller/stages/stage.h"
#include "controller/stages/verbs.h"

namespace npufleet::stages {
namespace {

constexpr auto kAllNodes = Need::Of::kAllNodes;
constexpr auto kHead = Need::Of::kHead;

constexpr Effects kLooks = {.interruptible = true};
constexpr Effects kIsAsked = {.interruptible = true, .condition = true};
constexpr Effects kPrepares = {.prepares = true, .interruptible = true};
constexpr Effects kInstalls = {.disturbs = true};
constexpr Effects kRuns = {.running = true, .disturbs = true, .interruptible = true};

// Locks of one node. Whatever restarts dockerd excludes what works through it.
const core::Lock kPackageManager = {.name = "package manager", .exclusive = true};
const core::Lock kUsesDocker = {.name = "docker"};
const core::Lock kRestartsDocker = {.name = "docker", .exclusive = true};
const core::Lock kUsesNpus = {.name = "npus"};
const core::Lock kChangesNpus = {.name = "npus", .exclusive = true};

bool HasPackages(const v1::DeploymentSpec& spec) {
  return spec.packages().install_size() > 0 || spec.packages().update();
}
bool HasFabric(const v1::DeploymentSpec& spec) { return spec.fabric().check(); }

std::vector<Stage> MakeCatalogue() {
  return {
      // name, where, needs, effects, locks, unknown limit, wanted, verb
      {"preflight", Where::kEachNode, {}, kIsAsked, {}, absl::Minutes(2), nullptr, Preflight},

      {"packages",
       Where::kEachNode,
       {{"preflight"}},
       {.prepares = true},
       {kPackageManager},
       absl::Minutes(5),
       HasPackages,
       Packages},

      {"driver",
       Where::kEachNode,
       {{"packages"}},
       kInstalls,
       {kPackageManager, kChangesNpus},
       absl::Minutes(10),
       nullptr,
       Driver},

      {"npu", Where::kEachNode, {{"driver"}}, kLooks, {kUsesNpus}, absl::Minutes(15), nullptr, Npu},

      {"fabric",
       Where::kEachNode,
       {{"npu", kAllNodes}},
       kIsAsked,
       {kUsesNpus},
       absl::Minutes(15),
       HasFabric,
       Fabric},

      {"docker",
       Where::kEachNode,
       {{"packages"}},
       kInstalls,
       {kPackageManager, kRestartsDocker},
       absl::Minutes(5),
       nullptr,
       Docker},

      {"runtime",
       Where::kEachNode,
       {{"docker"}, {"npu"}},
       kInstalls,
       {kRestartsDocker},
       absl::Minutes(5),
       nullptr,
       Runtime},

      {"image",
       Where::kEachNode,
       {{"docker"}},
       kPrepares,
       {kUsesDocker},
       absl::Minutes(10),
       nullptr,
       Image},

      {"model",
       Where::kEachNode,
       {{"preflight"}},
       kPrepares,
       {},
       absl::Minutes(10),
       nullptr,
       Model},

      {"container",
       Where::kEachNode,
       {{"image"}, {"runtime"}},
       kRuns,
       {kUsesDocker, kUsesNpus},
       absl::Minutes(5),
       nullptr,
       Container},

      {"ray-head",
       Where::kHead,
       {{"container"}},
       kRuns,
       {kUsesDocker},
       absl::Minutes(5),
       nullptr,
       RayHead},

      {"ray-worker",
       Where::kWorkers,
       {{"container"}, {"ray-head", kHead}},
       kRuns,
       {kUsesDocker},
       absl::Minutes(5),
       nullptr,
       RayWorker},

      {"serve",
       Where::kHead,
       {{"ray-head"}, {"ray-worker", kAllNodes}, {"fabric", kAllNodes}, {"model", kAllNodes}},
       kRuns,
       {kUsesDocker},
       absl::Minutes(5),
       nullptr,
       Serve},

      {"probe", Where::kHead, {{"serve"}}, kLooks, {}, absl::Minutes(10), nullptr, Probe},
  };
}

}  // namespace

const std::vector<Stage>& Catalogue() {
  static const auto* catalogue = new std::vector<Stage>(MakeCatalogue());
  return *catalogue;
}

}  // namespace npufleet::stages
