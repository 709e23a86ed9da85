// SPDX-License-Identifier: Apache-2.0
#ifndef TESTS_SIMULATION_DEPLOYMENT_H_
#define TESTS_SIMULATION_DEPLOYMENT_H_

#include "absl/strings/str_cat.h"
#include "npufleet/v1/spec.pb.h"

namespace npufleet::simulation {

// A deployment over `nodes` nodes, small but whole: every stage is in it.
inline v1::Deployment MakeDeployment(int nodes) {
  v1::Deployment deployment;
  deployment.mutable_metadata()->set_name("qwen");
  v1::DeploymentSpec& spec = *deployment.mutable_spec();
  for (int i = 0; i < nodes; ++i) {
    v1::Node& node = *spec.add_nodes();
    node.set_name(absl::StrCat("node-", i));
    node.set_address(absl::StrCat("198.18.0.", i + 1));
    node.set_nic("eth0");
    node.set_role(i == 0 ? v1::Node::HEAD : v1::Node::WORKER);
  }
  spec.set_chips_per_node(8);
  spec.mutable_packages()->add_install("wget");
  spec.mutable_driver()->set_version("25.0.rc1");
  spec.mutable_fabric()->set_check(true);
  spec.mutable_docker()->mutable_binary()->set_version("28.0.4");
  spec.mutable_runtime()->set_version("6.0.0");
  spec.mutable_image()->set_name("vllm:1");
  spec.mutable_model()->set_path("/data/model");
  spec.mutable_container()->set_name("vllm");
  spec.mutable_ray()->set_port(6379);
  spec.mutable_engine()->set_port(8006);
  v1::RetryPolicy& retry = *spec.mutable_retry();
  retry.set_attempts(1000);  // the world fails at random: giving up is tested by itself
  retry.mutable_initial_backoff()->set_seconds(1);
  retry.mutable_max_backoff()->set_seconds(30);
  return deployment;
}

}  // namespace npufleet::simulation

#endif  // TESTS_SIMULATION_DEPLOYMENT_H_
