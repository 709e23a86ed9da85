// SPDX-License-Identifier: Apache-2.0
//
// Every verb, on one page.
#include "agent/verbs/check_fabric/check_fabric.h"
#include "agent/verbs/check_host/check_host.h"
#include "agent/verbs/check_npus/check_npus.h"
#include "agent/verbs/fetch_installers/fetch_installers.h"
#include "agent/verbs/fetch_model/fetch_model.h"
#include "agent/verbs/install_docker/install_docker.h"
#include "agent/verbs/install_driver/install_driver.h"
#include "agent/verbs/install_obsutil/install_obsutil.h"
#include "agent/verbs/install_packages/install_packages.h"
#include "agent/verbs/install_runtime/install_runtime.h"
#include "agent/verbs/load_image/load_image.h"
#include "agent/verbs/probe_engine/probe_engine.h"
#include "agent/verbs/reboot_node/reboot_node.h"
#include "agent/verbs/run_container/run_container.h"
#include "agent/verbs/start_engine/start_engine.h"
#include "agent/verbs/start_ray_head/start_ray_head.h"
#include "agent/verbs/start_ray_worker/start_ray_worker.h"
#include "agent/verbs/verb.h"

namespace npufleet::verbs {

absl::StatusOr<std::unique_ptr<Verb>> MakeVerb(const v1::Subject& subject, host::Host& host) {
  const v1::Verb& verb = subject.verb();
  switch (verb.verb_case()) {
    case v1::Verb::kCheckHost:
      return MakeCheckHost(verb.check_host(), subject, host);
    case v1::Verb::kInstallPackages:
      return MakeInstallPackages(verb.install_packages(), subject, host);
    case v1::Verb::kInstallDriver:
      return MakeInstallDriver(verb.install_driver(), subject, host);
    case v1::Verb::kCheckNpus:
      return MakeCheckNpus(verb.check_npus(), subject, host);
    case v1::Verb::kCheckFabric:
      return MakeCheckFabric(verb.check_fabric(), subject, host);
    case v1::Verb::kInstallDocker:
      return MakeInstallDocker(verb.install_docker(), subject, host);
    case v1::Verb::kInstallRuntime:
      return MakeInstallRuntime(verb.install_runtime(), subject, host);
    case v1::Verb::kLoadImage:
      return MakeLoadImage(verb.load_image(), subject, host);
    case v1::Verb::kFetchModel:
      return MakeFetchModel(verb.fetch_model(), subject, host);
    case v1::Verb::kRunContainer:
      return MakeRunContainer(verb.run_container(), subject, host);
    case v1::Verb::kStartRayHead:
      return MakeStartRayHead(verb.start_ray_head(), subject, host);
    case v1::Verb::kStartRayWorker:
      return MakeStartRayWorker(verb.start_ray_worker(), subject, host);
    case v1::Verb::kStartEngine:
      return MakeStartEngine(verb.start_engine(), subject, host);
    case v1::Verb::kProbeEngine:
      return MakeProbeEngine(verb.probe_engine(), subject, host);
    case v1::Verb::kRebootNode:
      return MakeRebootNode(verb.reboot_node(), subject, host);
    case v1::Verb::kInstallObsutil:
      return MakeInstallObsutil(verb.install_obsutil(), subject, host);
    case v1::Verb::kFetchInstallers:
      return MakeFetchInstallers(verb.fetch_installers(), subject, host);
    default:
      return absl::InvalidArgumentError(
          "the subject names no verb that this agent knows: is the agent older than the "
          "controller?");
  }
}

}  // namespace npufleet::verbs
