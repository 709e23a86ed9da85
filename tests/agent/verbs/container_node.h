// SPDX-License-Identifier: Apache-2.0
//
// A node with the deployment's container running, and processes in it.
#ifndef TESTS_AGENT_VERBS_CONTAINER_NODE_H_
#define TESTS_AGENT_VERBS_CONTAINER_NODE_H_

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "tests/fakes/fake_execution.h"
#include "tests/fakes/fake_host.h"

namespace npufleet::verbs {

inline constexpr char kContainer[] = "vllm-server-qwen3-235b";

class ContainerNode : public fakes::FakeHost {
 public:
  ContainerNode() {
    host::DockerImage image;
    image.id = "sha256:aa";
    image.tags = {"vllm:1"};
    image.architecture = "arm64";
    docker().AddImage(image);
    host::DockerContainer container;
    container.name = kContainer;
    container.image_id = "sha256:aa";
    container.labels = {{"npufleet.task", "container@node-a"}, {"npufleet.stamp", "c1"}};
    docker().AddContainer(container);
    system().SetInterfaces({{.name = "lo", .ipv4 = {"127.0.0.1"}, .up = true},
                            {.name = "enp67s0f0", .ipv4 = {"192.168.0.15"}, .up = true}});
    Show();
  }

  void Start(int pid, std::vector<std::string> argv, std::map<std::string, std::string> environment,
             uint64_t start_ticks = 0) {
    host::ProcessInfo process;
    process.pid = pid;
    process.start_ticks = start_ticks == 0 ? static_cast<uint64_t>(pid) : start_ticks;
    process.argv = std::move(argv);
    process.environment = std::move(environment);
    system().AddProcess(process);
    pids_.push_back(pid);
    Show();
  }

  void End(int pid) {
    system().RemoveProcess(pid);
    std::erase(pids_, pid);
    Show();
  }

  void EndAll() {
    for (int pid : std::vector<int>(pids_)) End(pid);
  }

 private:
  void Show() { docker().SetProcesses(kContainer, pids_); }

  std::vector<int> pids_;
};

}  // namespace npufleet::verbs

#endif  // TESTS_AGENT_VERBS_CONTAINER_NODE_H_
