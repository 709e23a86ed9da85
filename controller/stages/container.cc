// SPDX-License-Identifier: Apache-2.0
#include "absl/strings/str_cat.h"
#include "controller/stages/verbs.h"

namespace npufleet::stages {

v1::Verb Container(const v1::DeploymentSpec& spec, const v1::Node& node) {
  const v1::Container& container = spec.container();
  v1::Verb verb;
  v1::RunContainer& run = *verb.mutable_run_container();
  run.set_name(container.name());
  run.set_image(spec.image().name());
  run.set_privileged(container.privileged());
  run.set_network(container.network());
  run.set_shm_size(container.shm_size());
  *run.mutable_devices() = container.devices();
  if (container.devices().empty()) {
    for (const uint32_t chip : ChipsOf(spec)) run.add_devices(absl::StrCat("/dev/davinci", chip));
    for (const char* device : {"/dev/davinci_manager", "/dev/hisi_hdc", "/dev/devmm_svm"}) {
      run.add_devices(device);
    }
  }
  *run.mutable_volumes() = container.volumes();
  *run.mutable_environment() = container.environment();
  *run.mutable_command() = container.command();
  return verb;
}

}  // namespace npufleet::stages
