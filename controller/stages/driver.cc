// SPDX-License-Identifier: Apache-2.0
#include "controller/stages/verbs.h"

namespace npufleet::stages {

v1::Verb Driver(const v1::DeploymentSpec& spec, const v1::Node& node) {
  const v1::Driver& driver = spec.driver();
  v1::Verb verb;
  v1::InstallDriver& install = *verb.mutable_install_driver();
  *install.mutable_accepted_versions() = driver.accepted_versions();
  install.set_version(driver.version());
  *install.mutable_driver() = driver.driver();
  install.set_firmware_version(driver.firmware_version());
  *install.mutable_firmware() = driver.firmware();
  install.set_install_path(driver.install_path());
  install.set_install_for_all(driver.install_for_all());
  *install.mutable_install_deadline() = driver.install_deadline();
  install.set_allow_downgrade(driver.allow_downgrade());
  return verb;
}

}  // namespace npufleet::stages
