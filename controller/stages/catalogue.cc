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
// An install fetches what is missing by then itself: no file has two writers.
const core::Lock kFetchesInstallers = {.name = "installers", .exclusive = true};
const core::Lock kReadsInstallers = {.name = "installers"};
const core::Lock kUsesDocker = {.name = "docker"};
const core::Lock kRestartsDocker = {.name = "docker", .exclusive = true};
const core::Lock kUsesNpus = {.name = "npus"};
const core::Lock kChangesNpus = {.name = "npus", .exclusive = true};

bool HasPackages(const v1::DeploymentSpec& spec) {
  return spec.packages().install_size() > 0 || spec.packages().update();
}
bool HasFabric(const v1::DeploymentSpec& spec) { return spec.fabric().check(); }
bool HasPeers(const v1::DeploymentSpec& spec) { return HasFabric(spec) && spec.nodes_size() > 1; }

std::vector<Stage> MakeCatalogue() {
  return {
      {
          .name = "preflight",
          .effects = kIsAsked,
          .unknown_limit = absl::Minutes(2),
          .verb = Preflight,
      },
      {
          .name = "packages",
          .needs = {{"preflight"}},
          .effects = {.prepares = true},
          .locks = {kPackageManager},
          .unknown_limit = absl::Minutes(5),
          .wanted = HasPackages,
          .verb = Packages,
      },
      {
          // After the packages: an install that lacks a tool says so before anything is fetched.
          .name = "installers",
          .needs = {{"packages"}},
          .effects = kPrepares,
          .locks = {kFetchesInstallers},
          .unknown_limit = absl::Minutes(2),
          .verb = Installers,
      },
      {
          .name = "driver",
          .needs = {{"packages"}, {"installers"}},
          .effects = {.disturbs = true, .reboots = true},
          .locks = {kPackageManager, kChangesNpus, kReadsInstallers},
          .verb = Driver,
      },
      {
          .name = "npu",
          .needs = {{"driver"}},
          .locks =
              {kChangesNpus},  // its Apply resets a chip, in the middle of which it may not be cut
          .unknown_limit = absl::Minutes(15),
          .dear = true,
          .verb = Npu,
      },
      {
          .name = "fabric",
          .needs = {{"npu"}},
          .effects = kIsAsked,
          .locks = {kUsesNpus},
          .unknown_limit = absl::Minutes(15),
          .dear = true,
          .wanted = HasFabric,
          .verb = Fabric,
      },
      {
          .name = "reach",
          .needs = {{"fabric", kAllNodes}},
          .effects = kIsAsked,
          .locks = {kUsesNpus},
          .unknown_limit = absl::Minutes(15),
          .dear = true,
          .wanted = HasPeers,
          .verb = Reach,
      },
      {
          .name = "docker",
          .needs = {{"packages"}, {"installers"}},
          .effects = kInstalls,
          .locks = {kPackageManager, kRestartsDocker, kReadsInstallers},
          .unknown_limit = absl::Minutes(5),
          .verb = Docker,
      },
      {
          .name = "runtime",
          .needs = {{"docker"}, {"npu"}, {"installers"}},
          .effects = kInstalls,
          .locks = {kRestartsDocker, kReadsInstallers},
          .unknown_limit = absl::Minutes(5),
          .verb = Runtime,
      },
      {
          .name = "obsutil",
          .needs = {{"preflight"}},
          .effects = {.prepares = true},
          .unknown_limit = absl::Minutes(2),
          .wanted = UsesObs,
          .verb = Obsutil,
      },
      {
          .name = "image",
          .needs = {{"docker"}, {"obsutil"}},
          .effects = kPrepares,
          .locks = {kUsesDocker},
          .verb = Image,
      },
      {
          .name = "model",
          .needs = {{"preflight"}, {"obsutil"}},
          .effects = kPrepares,
          .verb = Model,
      },
      {
          .name = "container",
          .needs = {{"image"}, {"runtime"}},
          .effects = kRuns,
          .locks = {kUsesDocker, kUsesNpus},
          .unknown_limit = absl::Minutes(5),
          .verb = Container,
      },
      {
          .name = "ray-head",
          .where = Where::kHead,
          .needs = {{"container"}},
          .effects = kRuns,
          .locks = {kUsesDocker},
          .unknown_limit = absl::Minutes(5),
          .verb = RayHead,
      },
      {
          .name = "ray-worker",
          .where = Where::kWorkers,
          .needs = {{"container"}, {"ray-head", kHead}},
          .effects = kRuns,
          .locks = {kUsesDocker},
          .unknown_limit = absl::Minutes(5),
          .verb = RayWorker,
      },
      {
          .name = "serve",
          .where = Where::kHead,
          .needs =
              {{"ray-head"}, {"ray-worker", kAllNodes}, {"reach", kAllNodes}, {"model", kAllNodes}},
          .effects = kRuns,
          .locks = {kUsesDocker},
          .unknown_limit = absl::Minutes(5),
          .verb = Serve,
      },
      {
          .name = "probe",
          .where = Where::kHead,
          .needs = {{"serve"}},
          .effects = kLooks,
          .dear = true,
          .verb = Probe,
      },
  };
}

}  // namespace

const std::vector<Stage>& Catalogue() {
  static const auto* catalogue = new std::vector<Stage>(MakeCatalogue());
  return *catalogue;
}

bool Reboots(std::string_view stage) {
  for (const Stage& one : Catalogue()) {
    if (one.name == stage) return one.effects.reboots;
  }
  return false;
}

}  // namespace npufleet::stages
