// SPDX-License-Identifier: Apache-2.0
#include "controller/ctl/initial_spec.h"

#include <algorithm>
#include <iterator>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "common/spec/forms.h"
#include "common/tls/keys.h"

namespace npufleet::ctl {
namespace {

constexpr size_t kLongestName = 40;
constexpr size_t kLongestNodeName = 63;

// {…} is filled in. What the runbook fetches over plain http has no digest that anybody could know.
constexpr char kTemplate[] =
    R"yaml(# yaml-language-server: $schema=deployment.schema.json
# For editors, which complete and check by the file that `ctl spec schema > deployment.schema.json` writes beside this one.
#
# A deployment of {model}, to be read through and completed. Fields that are not here have defaults:
# `ctl spec validate -f FILE --resolved` prints them all.
# Then: ctl spec validate -f FILE; ctl rollout plan -f FILE; ctl rollout apply -f FILE --wait
apiVersion: npufleet/v1
kind: Deployment
metadata:
  name: {name}
spec:
  # The names under which the agents joined. Address and nic are those of the network between the nodes
  # (`ip -4 address` on the node); the head runs the server, and Ray's head.
  nodes:
{nodes}
  chipsPerNode: {count}
  visibleChips: [{chips}]   # N of /dev/davinciN

  preflight:
    minFreeGib:                       # before the first download
      /data2: 500                     # the weights, with room
      /var/lib/docker: 60             # the image, and its archive beside it

  packages:
    update: false                     # true: `yum update -y`. It changes kernels, which drivers are built for
    install: [wget]

  # A node that has one of the accepted versions keeps it. Others get `version`.
  # sha256: of a copy from a source that you trust (sha256sum FILE); plain http needs one.
  driver:
    acceptedVersions: [{drivers}]
    version: 25.0.rc1.b080
    driver:
      url: http://39.171.244.84:30011/drivers/HDK%2025.0.RC1/Ascend-hdk-910b-npu-driver_25.0.rc1.b080_linux-aarch64.run
      sha256: ""                      # fill in
    firmwareVersion: 7.7.t20.0.b200
    firmware:
      url: http://39.171.244.84:30011/drivers/HDK%2025.0.RC1/Ascend-hdk-910b-npu-firmware_7.7.t20.0.b200.run
      sha256: ""                      # fill in

  fabric:
    check: {fabric}                       # links and TLS switches of the chips' own network

  docker:
    binary:
      version: 28.0.4
      archive:
        url: https://mirrors.aliyun.com/docker-ce/linux/static/stable/aarch64/docker-28.0.4.tgz

  runtime:
    version: 6.0.0
    installer:
      url: https://gitee.com/ascend/mind-cluster/releases/download/v6.0.0/Ascend-docker-runtime_6.0.0_linux-aarch64.run

  image:                              # sources in this order; the first that works
    name: quay.io/ascend/vllm-ascend:v0.8.4rc2-openeuler
    sources:
      - registry: quay.io/ascend/vllm-ascend:v0.8.4rc2-openeuler

  model:
    path: /data2/{directory}
    sources:
      - modelscope:
          id: {model}
      - huggingFace:
          id: {model}

  container:
    name: vllm-server-{name}
    privileged: true
    shmSize: 500g
    volumes:
      - /usr/local/dcmi:/usr/local/dcmi
      - /usr/local/bin/npu-smi:/usr/local/bin/npu-smi
      - /usr/local/Ascend/driver/lib64/:/usr/local/Ascend/driver/lib64/
      - /usr/local/Ascend/driver/version.info:/usr/local/Ascend/driver/version.info
      - /etc/ascend_install.info:/etc/ascend_install.info
      - /data2:/data2

  engine:
    servedModelName: {directory}
    port: 8006
    tensorParallelSize: {ranks}             # times pipelineParallelSize: all chips, here {count} on each of {node_count}
    pipelineParallelSize: 1
    gpuMemoryUtilization: 0.9
    # maxModelLen: 32768              # tokens of prompt and answer; default: the model's own
    # enableReasoning: true           # for models that think aloud
    # reasoningParser: deepseek_r1
    environment:
      VLLM_USE_V1: "0"
)yaml";

std::string NodeLines(const InitialSpec& spec) {
  std::string lines;
  for (const InitialSpec::Node& node : spec.nodes) {
    const bool head = &node == &spec.nodes.front();
    absl::StrAppend(&lines, lines.empty() ? "" : "\n", "    - name: ", node.name,
                    "\n      address: ", node.address, "\n      nic: ",
                    node.nic.empty() ? "\"\"                         # fill in: the interface of "
                                       "this address"
                                     : node.nic,
                    "\n      role: ", head ? "head" : "worker");
  }
  return lines;
}

std::set<uint32_t> ChipsOf(const v1::NodeStatus& node) {
  std::set<uint32_t> chips;
  for (const v1::Chip& chip : node.inventory().chips()) {
    if (chip.health() == v1::Chip::GONE) continue;
    chips.insert(chip.has_physical_id() ? chip.physical_id() : chip.npu());
  }
  return chips;
}

}  // namespace

absl::StatusOr<InitialSpec::Node> ParseNode(const std::string& text) {
  const size_t equals = text.find('=');
  const size_t comma = text.find(',', equals == std::string::npos ? 0 : equals);
  InitialSpec::Node node;
  node.name = text.substr(0, equals);
  if (equals != std::string::npos) {
    node.address = text.substr(equals + 1, comma == std::string::npos ? comma : comma - equals - 1);
  }
  if (comma != std::string::npos) node.nic = text.substr(comma + 1);
  if (node.name.empty() || node.address.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--node ", text,
                     " is not NAME=ADDRESS or NAME=ADDRESS,NIC, such as "
                     "node-a=192.168.0.15,enp67s0f0"));
  }
  const auto refused = [&](const std::string& why) {
    return absl::InvalidArgumentError(absl::StrCat("--node ", text, ": ", why));
  };
  if (!spec::IsName(node.name, kLongestNodeName)) {
    return refused(absl::StrCat("\"", node.name,
                                "\" is no name of a node: it has lower-case letters, digits and "
                                "'-', and is the name under which the node's agent joined"));
  }
  if (!spec::IsIpv4(node.address)) {
    return refused(absl::StrCat("\"", node.address,
                                "\" is no IPv4 address: name the node's own, as `ip -4 address` "
                                "shows it there"));
  }
  if (comma != std::string::npos && node.nic.empty()) {
    return refused("no network interface after the comma: add it, or leave the comma out");
  }
  if (comma != std::string::npos && !spec::IsInterfaceName(node.nic)) {
    return refused(absl::StrCat("\"", node.nic,
                                "\" is no name of a network interface, which has 15 characters "
                                "at most"));
  }
  return node;
}

absl::Status TakeNodes(const v1::ListNodesReply& fleet, const std::vector<std::string>& wanted,
                       InitialSpec* spec) {
  std::vector<std::string> names = wanted;
  std::vector<std::string> known;
  for (const v1::NodeStatus& node : fleet.nodes()) known.push_back(node.name());
  if (names.empty()) names = known;
  if (names.empty()) {
    return absl::FailedPreconditionError(
        "the fleet has no nodes: join them (ctl token create --node NAME), or name them with "
        "--node NAME=ADDRESS,NIC");
  }
  std::set<uint32_t> chips;
  std::set<std::string> drivers;
  bool first = true;
  for (const std::string& name : names) {
    auto node = std::find_if(fleet.nodes().begin(), fleet.nodes().end(),
                             [&](const v1::NodeStatus& one) { return one.name() == name; });
    if (node == fleet.nodes().end()) {
      return absl::NotFoundError(
          absl::StrCat("no node ", name, "; there is ", absl::StrJoin(known, ", ")));
    }
    const std::string address = tls::HostOfAddress(node->address());
    const auto nic = node->inventory().interfaces().find(address);
    spec->nodes.push_back(
        {name, address, nic == node->inventory().interfaces().end() ? "" : nic->second});
    if (!node->inventory().driver_version().empty())
      drivers.insert(node->inventory().driver_version());
    const std::set<uint32_t> own = ChipsOf(*node);
    // A node without its driver shows no chips yet.
    if (own.empty()) continue;
    std::set<uint32_t> common;
    std::set_intersection(chips.begin(), chips.end(), own.begin(), own.end(),
                          std::inserter(common, common.begin()));
    chips = first ? own : common;
    first = false;
    if (chips.empty()) {
      return absl::FailedPreconditionError(
          absl::StrCat(name, " has no chip with a number that the nodes before it have, too"));
    }
  }
  if (!chips.empty()) spec->chips.assign(chips.begin(), chips.end());
  spec->drivers.assign(drivers.begin(), drivers.end());
  return absl::OkStatus();
}

std::string NameFor(const std::string& model) {
  std::string name;
  for (const char c : model.substr(model.rfind('/') + 1)) {
    const char lower = absl::ascii_tolower(c);
    name.push_back(absl::ascii_isalnum(lower) ? lower : '-');
  }
  name = name.substr(0, kLongestName);
  while (!name.empty() && name.back() == '-') name.pop_back();
  while (!name.empty() && name.front() == '-') name.erase(0, 1);
  return name.empty() ? "deployment" : name;
}

std::string WriteInitialSpec(const InitialSpec& spec) {
  const size_t ranks = spec.nodes.size() * spec.chips.size();
  const std::string drivers = spec.drivers.empty() ? "24.1.rc3" : absl::StrJoin(spec.drivers, ", ");
  return absl::StrReplaceAll(kTemplate,
                             {{"{model}", spec.model},
                              {"{directory}", spec.model.substr(spec.model.rfind('/') + 1)},
                              {"{name}", spec.name.empty() ? NameFor(spec.model) : spec.name},
                              {"{nodes}", NodeLines(spec)},
                              {"{count}", absl::StrCat(spec.chips.size())},
                              {"{chips}", absl::StrJoin(spec.chips, ", ")},
                              {"{drivers}", drivers},
                              {"{fabric}", spec.nodes.size() > 1 ? "true" : "false"},
                              {"{ranks}", absl::StrCat(ranks)},
                              {"{node_count}", absl::StrCat(spec.nodes.size(), " nodes")}});
}

}  // namespace npufleet::ctl
