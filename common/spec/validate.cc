// SPDX-License-Identifier: Apache-2.0
#include <map>
#include <set>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "common/shown_url.h"
#include "common/spec/deployment.h"
#include "common/spec/driver_version.h"
#include "common/spec/engine_version.h"
#include "common/spec/forms.h"
#include "common/spec/stage_names.h"

namespace npufleet::spec {
namespace {

using google::protobuf::Duration;

std::string At(std::string_view list, int index) {
  return absl::StrCat(std::string(list), "[", index, "]");
}
std::string Key(std::string_view map, std::string_view key) {
  return absl::StrCat(std::string(map), "[\"", std::string(key), "\"]");
}

class Validator {
 public:
  explicit Validator(const v1::Deployment& deployment)
      : deployment_(deployment), spec_(deployment.spec()) {}

  std::vector<Violation> Run();

 private:
  void Add(std::string path, std::string message) {
    violations_.push_back({std::move(path), std::move(message)});
  }
  void Require(bool holds, std::string path, std::string message) {
    if (!holds) Add(std::move(path), std::move(message));
  }
  // Of one value that must have a form. Nothing at all is the commonest mistake, and is said so.
  void RequireForm(bool holds, std::string path, std::string_view form, const std::string& value) {
    if (holds) return;
    Add(std::move(path), value.empty() ? absl::StrCat("missing: ", std::string(form))
                                       : absl::StrCat("needs ", std::string(form), ", not \"",
                                                      value, "\"", IndentationHint(value)));
  }

  void Head();
  void Nodes();
  void Chips();
  void Host();
  void Driver();
  void Docker();
  void Image();
  void ModelFiles();
  void Obsutil();
  void Container();
  void Volumes();
  void Ray();
  void Engine();
  void EngineAndVersion();
  void ProbeAndRetry();

  void CheckArtifact(const std::string& path, const v1::Artifact& artifact,
                     std::string_view for_what);
  void CheckHub(const std::string& path, const v1::Model::Hub& hub);
  void CheckEnvironment(const std::string& path,
                        const google::protobuf::Map<std::string, std::string>& environment);
  void CheckArguments(const std::string& path,
                      const google::protobuf::RepeatedPtrField<std::string>& arguments,
                      std::string_view instead);
  void CheckPositive(const std::string& path, const Duration& duration);
  void CheckPort(const std::string& path, uint32_t port);

  const v1::Deployment& deployment_;
  const v1::DeploymentSpec& spec_;
  std::vector<Violation> violations_;
};

void Validator::CheckArtifact(const std::string& path, const v1::Artifact& artifact,
                              std::string_view for_what) {
  if (artifact.url().empty()) {
    Add(absl::StrCat(path, ".url"),
        absl::StrCat("missing: where ", std::string(for_what), " comes from"));
    return;
  }
  bool plain = absl::StartsWith(artifact.url(), "http://");
  if (!IsHttp(artifact.url()) && !IsPath(artifact.url())) {
    Add(absl::StrCat(path, ".url"),
        absl::StrCat("\"", ShownUrl(artifact.url()),
                     "\" is no http:// or https:// URL and no absolute path"));
  }
  if (artifact.sha256().empty()) {
    Require(!plain, absl::StrCat(path, ".sha256"),
            absl::StrCat(
                "missing: plain http proves nothing about ", ShownUrl(artifact.url()),
                "; get the file from a source that you trust and write what `sha256sum` prints"));
  } else {
    Require(IsHex(artifact.sha256(), 64), absl::StrCat(path, ".sha256"),
            absl::StrCat("needs 64 lower-case hex digits, not \"", artifact.sha256().substr(0, 70),
                         "\""));
  }
}

void Validator::CheckEnvironment(
    const std::string& path, const google::protobuf::Map<std::string, std::string>& environment) {
  // A map has no order of its own; errors have.
  std::map<std::string, std::string> sorted(environment.begin(), environment.end());
  for (const auto& [name, value] : sorted) {
    if (!IsEnvironmentName(name)) {
      Add(Key(path, name), "is no name of an environment variable");
    } else if (absl::StartsWith(name, "NPUFLEET_")) {
      Add(Key(path, name), "NPUFLEET_ names are npufleet's own");
    } else if (IsSecretName(name)) {
      Add(Key(path, name),
          "looks like a secret, and a spec is stored and shown; keep it in a 0600 file on the "
          "nodes "
          "(model.sources: tokenFile)");
    }
  }
}

// `instead`: where the secret belongs.
void Validator::CheckArguments(const std::string& path,
                               const google::protobuf::RepeatedPtrField<std::string>& arguments,
                               std::string_view instead) {
  for (int i = 0; i < arguments.size(); ++i) {
    const std::string option = arguments[i].substr(0, arguments[i].find_first_of("= "));
    const bool is_secret =
        absl::StartsWith(option, "-") && IsSecretName(absl::StrReplaceAll(option, {{"-", "_"}}));
    Require(!is_secret, At(path, i),
            absl::StrCat(option, " looks like a secret, and a spec is stored, shown and logged; ",
                         std::string(instead)));
  }
}

void Validator::CheckPositive(const std::string& path, const Duration& duration) {
  Require(duration.seconds() > 0 || (duration.seconds() == 0 && duration.nanos() > 0), path,
          absl::StrCat("needs a duration over 0, not ", WriteDuration(duration)));
}

void Validator::CheckPort(const std::string& path, uint32_t port) {
  Require(port >= 1 && port <= 65535, path,
          absl::StrCat("needs a port from 1 to 65535, not ", port));
}

void Validator::Head() {
  RequireForm(deployment_.api_version() == "npufleet/v1", "apiVersion", "npufleet/v1",
              deployment_.api_version());
  RequireForm(deployment_.kind() == "Deployment", "kind", "Deployment", deployment_.kind());
  RequireForm(IsName(deployment_.metadata().name(), 40), "metadata.name",
              "lower-case letters, digits and '-', beginning and ending with a letter or digit, "
              "40 at most",
              deployment_.metadata().name());
}

void Validator::Nodes() {
  if (spec_.nodes().empty()) {
    Add("spec.nodes", "missing: at least one node with role head");
    return;
  }
  std::map<std::string, int> names, addresses;
  std::vector<std::string> heads;
  for (int i = 0; i < spec_.nodes_size(); ++i) {
    const v1::Node& node = spec_.nodes(i);
    std::string path = At("spec.nodes", i);
    RequireForm(IsName(node.name(), 63), path + ".name",
                "the name under which the node's agent joined (lower-case letters, digits, '-')",
                node.name());
    RequireForm(IsIpv4(node.address()) && node.address() != "0.0.0.0", path + ".address",
                "the node's own IPv4 address", node.address());
    RequireForm(
        IsInterfaceName(node.nic()), path + ".nic",
        absl::StrCat("the network interface of ", node.address(), " (15 characters at most)"),
        node.nic());
    Require(node.role() != v1::Node::ROLE_UNSPECIFIED, path + ".role", "missing: head or worker");
    if (node.role() == v1::Node::HEAD) heads.push_back(node.name());
    auto [name, name_is_new] = names.emplace(node.name(), i);
    Require(name_is_new, path + ".name",
            absl::StrCat("nodes ", name->second, " and ", i, " are both named ", node.name()));
    auto [address, address_is_new] = addresses.emplace(node.address(), i);
    if (!address_is_new) {
      Add(path + ".address", absl::StrCat(spec_.nodes(address->second).name(), " and ", node.name(),
                                          " both have the address ", node.address()));
    }
  }
  Require(!heads.empty(), "spec.nodes", "no node has the role head; exactly one must");
  Require(
      heads.size() <= 1, "spec.nodes",
      absl::StrCat(absl::StrJoin(heads, " and "), " both have the role head; exactly one must"));
}

void Validator::Chips() {
  uint32_t per_node = spec_.chips_per_node();
  Require(per_node >= 1 && per_node <= 64, "spec.chipsPerNode",
          absl::StrCat("needs 1 to 64, not ", per_node));
  Require(
      static_cast<uint32_t>(spec_.visible_chips_size()) == per_node, "spec.visibleChips",
      absl::StrCat("names ", spec_.visible_chips_size(), " chips, but chipsPerNode is ", per_node));
  std::set<uint32_t> seen;
  for (int i = 0; i < spec_.visible_chips_size(); ++i) {
    uint32_t chip = spec_.visible_chips(i);
    Require(seen.insert(chip).second, At("spec.visibleChips", i),
            absl::StrCat("chip ", chip, " twice"));
    Require(chip < 64, At("spec.visibleChips", i), absl::StrCat("chip ", chip, ": 63 is the last"));
  }
}

void Validator::Host() {
  const v1::Preflight& preflight = spec_.preflight();
  CheckPositive("spec.preflight.maxClockSkew", preflight.max_clock_skew());
  RequireForm(preflight.architecture() == "aarch64" || preflight.architecture() == "x86_64",
              "spec.preflight.architecture", "aarch64 or x86_64", preflight.architecture());
  std::map<std::string, uint64_t> free(preflight.min_free_gib().begin(),
                                       preflight.min_free_gib().end());
  for (const auto& [path, gib] : free) {
    Require(IsPath(path), Key("spec.preflight.minFreeGib", path), "needs an absolute path");
  }
  for (int i = 0; i < spec_.packages().install_size(); ++i) {
    Require(IsPackageName(spec_.packages().install(i)), At("spec.packages.install", i),
            absl::StrCat("\"", spec_.packages().install(i), "\" is no name of a package",
                         IndentationHint(spec_.packages().install(i))));
  }
}

void Validator::Driver() {
  const v1::Driver& driver = spec_.driver();
  bool installs = !driver.version().empty() || driver.has_driver();
  Require(installs || !driver.accepted_versions().empty(), "spec.driver",
          "needs acceptedVersions, or version and driver to install");
  for (int i = 0; i < driver.accepted_versions_size(); ++i) {
    const std::string& entry = driver.accepted_versions(i);
    RequireForm(IsDriverVersionEntry(entry), At("spec.driver.acceptedVersions", i),
                "a version like 24.1.rc3, or a range like 24.1.rc3..25.2.0", entry);
  }
  if (installs) {
    Require(!driver.version().empty(), "spec.driver.version",
            "missing: the version that spec.driver.driver installs");
    CheckArtifact("spec.driver.driver", driver.driver(), "the driver");
  }
  if (!driver.firmware_version().empty() || driver.has_firmware()) {
    Require(!driver.firmware_version().empty(), "spec.driver.firmwareVersion",
            "missing: the version that spec.driver.firmware installs");
    CheckArtifact("spec.driver.firmware", driver.firmware(), "the firmware");
  }
  Require(IsPath(driver.install_path()), "spec.driver.installPath", "needs an absolute path");
  CheckPositive("spec.driver.installDeadline", driver.install_deadline());

  const v1::Runtime& runtime = spec_.runtime();
  Require(!runtime.version().empty(), "spec.runtime.version",
          "missing: the version that spec.runtime.installer installs");
  CheckArtifact("spec.runtime.installer", runtime.installer(), "the Ascend docker runtime");
  Require(IsPath(runtime.install_path()), "spec.runtime.installPath", "needs an absolute path");
}

void Validator::Docker() {
  const v1::Docker& docker = spec_.docker();
  auto is_version = [](std::string_view text) {
    return !text.empty() && absl::ascii_isdigit(text[0]) && absl::c_all_of(text, [](char c) {
      return absl::ascii_isalnum(c) || absl::StrContains(".-+:~", c);
    });
  };
  switch (docker.road_case()) {
    case v1::Docker::kBinary:
      RequireForm(is_version(docker.binary().version()), "spec.docker.binary.version",
                  "a version like 28.0.4", docker.binary().version());
      CheckArtifact("spec.docker.binary.archive", docker.binary().archive(), "Docker");
      break;
    case v1::Docker::kPackages:
      Require(!docker.packages().names().empty(), "spec.docker.packages.names",
              "missing: docker-ce, docker-ce-cli, containerd.io");
      for (int i = 0; i < docker.packages().names_size(); ++i) {
        Require(IsPackageName(docker.packages().names(i)), At("spec.docker.packages.names", i),
                absl::StrCat("\"", docker.packages().names(i), "\" is no name of a package",
                             IndentationHint(docker.packages().names(i))));
      }
      break;
    case v1::Docker::ROAD_NOT_SET:
      Add("spec.docker", "needs binary (runbook 2.2.2) or packages (runbook 2.2.1)");
  }
  RequireForm(!docker.has_minimum_version() || is_version(docker.minimum_version()),
              "spec.docker.minimumVersion", "a version like 20.10.0", docker.minimum_version());
}

void Validator::Image() {
  const v1::Image& image = spec_.image();
  size_t colon = image.name().rfind(':');
  size_t slash = image.name().rfind('/');
  bool has_tag = colon != std::string::npos && colon + 1 < image.name().size() && colon > 0 &&
                 (slash == std::string::npos || slash < colon);
  bool is_word = absl::c_all_of(image.name(), [](unsigned char c) { return c > 0x20 && c < 0x7f; });
  RequireForm(has_tag && is_word && image.name()[0] != '-', "spec.image.name", "NAME:TAG",
              image.name());
  Require(!image.sources().empty(), "spec.image.sources",
          "missing: at least one of archive, registry, obs");
  for (int i = 0; i < image.sources_size(); ++i) {
    const v1::Image::Source& source = image.sources(i);
    std::string path = At("spec.image.sources", i);
    switch (source.road_case()) {
      case v1::Image::Source::kArchive:
        CheckArtifact(path + ".archive", source.archive(), "the image");
        break;
      case v1::Image::Source::kRegistry:
        RequireForm(!source.registry().empty() && source.registry()[0] != '-' &&
                        absl::c_all_of(source.registry(),
                                       [](unsigned char c) { return c > 0x20 && c < 0x7f; }),
                    path + ".registry", "the reference to pull", source.registry());
        break;
      case v1::Image::Source::kObs:
        RequireForm(IsObs(source.obs()), path + ".obs", "obs://BUCKET/KEY", source.obs());
        break;
      case v1::Image::Source::ROAD_NOT_SET:
        Add(path, "needs one of archive, registry, obs");
    }
  }
  Require(image.id().empty() ||
              (absl::StartsWith(image.id(), "sha256:") && IsHex(image.id().substr(7), 64)),
          "spec.image.id",
          absl::StrCat("needs sha256: and 64 hex digits, not \"", image.id(), "\""));
  Require(image.credentials_file().empty() || IsPath(image.credentials_file()),
          "spec.image.credentialsFile", "needs the absolute path of a file on the nodes");
}

void Validator::CheckHub(const std::string& path, const v1::Model::Hub& hub) {
  std::vector<std::string> parts = absl::StrSplit(hub.id(), '/');
  bool is_id = parts.size() == 2 && !parts[0].empty() && !parts[1].empty() && parts[0] != ".." &&
               parts[1] != ".." && absl::c_all_of(hub.id(), [](unsigned char c) {
                 return absl::ascii_isalnum(c) || absl::StrContains("/._-", static_cast<char>(c));
               });
  RequireForm(is_id, path + ".id", "OWNER/MODEL, like Qwen/Qwen3-235B-A22B", hub.id());
  Require(hub.endpoint().empty() || IsHttp(hub.endpoint()), path + ".endpoint",
          absl::StrCat("needs an http:// or https:// URL, not \"", ShownUrl(hub.endpoint()), "\""));
  Require(hub.token_file().empty() || IsPath(hub.token_file()), path + ".tokenFile",
          "needs the absolute path of a file on the nodes");
}

void Validator::ModelFiles() {
  const v1::Model& model = spec_.model();
  RequireForm(IsPath(model.path()) && model.path() != "/", "spec.model.path",
              "an absolute path, the same on all nodes", model.path());
  Require(!model.sources().empty(), "spec.model.sources",
          "missing: at least one of modelscope, huggingFace, modelers, obs, localDirectory");
  Require(model.parallel_files() >= 1 && model.parallel_files() <= 32, "spec.model.parallelFiles",
          absl::StrCat("needs 1 to 32, not ", model.parallel_files()));
  for (int i = 0; i < model.sources_size(); ++i) {
    const v1::Model::Source& source = model.sources(i);
    std::string path = At("spec.model.sources", i);
    switch (source.road_case()) {
      case v1::Model::Source::kModelscope:
        CheckHub(path + ".modelscope", source.modelscope());
        break;
      case v1::Model::Source::kHuggingFace:
        CheckHub(path + ".huggingFace", source.hugging_face());
        break;
      case v1::Model::Source::kModelers:
        CheckHub(path + ".modelers", source.modelers());
        break;
      case v1::Model::Source::kObs:
        RequireForm(IsObs(source.obs()), path + ".obs", "obs://BUCKET/PREFIX/", source.obs());
        break;
      case v1::Model::Source::kLocalDirectory:
        Require(source.local_directory(), path + ".localDirectory",
                "needs true, or no line at all");
        break;
      case v1::Model::Source::ROAD_NOT_SET:
        Add(path, "needs one of modelscope, huggingFace, modelers, obs, localDirectory");
    }
  }
}

void Validator::Obsutil() {
  if (!spec_.has_obsutil()) return;
  const v1::Obsutil& obsutil = spec_.obsutil();
  RequireForm(!obsutil.version().empty() && absl::ascii_isdigit(obsutil.version()[0]),
              "spec.obsutil.version", "a version like 5.7.3", obsutil.version());
  CheckArtifact("spec.obsutil.archive", obsutil.archive(), "obsutil");
  RequireForm(
      !obsutil.endpoint().empty() && obsutil.endpoint()[0] != '-' &&
          absl::c_all_of(obsutil.endpoint(), [](unsigned char c) { return c > 0x20 && c < 0x7f; }),
      "spec.obsutil.endpoint", "the endpoint of the object store", obsutil.endpoint());
  Require(IsPath(obsutil.credentials_file()), "spec.obsutil.credentialsFile",
          "needs the absolute path of a file on the nodes with the lines ak=… and sk=…");
}

void Validator::Container() {
  const v1::Container& container = spec_.container();
  bool is_name = container.name().size() >= 2 && absl::ascii_isalnum(container.name()[0]) &&
                 absl::c_all_of(container.name(), [](char c) {
                   return absl::ascii_isalnum(c) || absl::StrContains("_.-", c);
                 });
  RequireForm(is_name, "spec.container.name", "letters, digits, '_', '.' and '-'",
              container.name());
  Require(!container.network().empty(), "spec.container.network",
          "is empty; host is the runbook's");
  const std::string& size = container.shm_size();
  size_t digits = 0;
  while (digits < size.size() && absl::ascii_isdigit(size[digits])) ++digits;
  bool is_size = digits > 0 && digits <= 15 && size[0] != '0' &&
                 (digits == size.size() ||
                  (digits + 1 == size.size() && absl::StrContains("bkmgt", size[digits])));
  RequireForm(is_size, "spec.container.shmSize", "a size like 500g", size);
  std::set<std::string> devices;
  bool all_are_devices = true;
  for (int i = 0; i < container.devices_size(); ++i) {
    const std::string& device = container.devices(i);
    std::string host = device.substr(0, device.find(':'));
    const bool is_device = absl::StartsWith(host, "/dev/") && IsPath(host);
    RequireForm(is_device, At("spec.container.devices", i), "a path under /dev", device);
    all_are_devices = all_are_devices && is_device;
    devices.insert(host);
  }
  for (uint32_t chip : spec_.visible_chips()) {
    std::string device = absl::StrCat("/dev/davinci", chip);
    // What was refused may be what is lacking, and is the one line to mend.
    Require(!all_are_devices || devices.count(device) == 1, "spec.container.devices",
            absl::StrCat("lacks ", device, ", which spec.visibleChips names"));
  }
  CheckEnvironment("spec.container.environment", container.environment());
  Volumes();
}

void Validator::Volumes() {
  const v1::Container& container = spec_.container();
  std::map<std::string, std::string> targets;
  bool has_model = false, all_are_volumes = true;
  std::string model = spec_.model().path() + "/";
  for (int i = 0; i < container.volumes_size(); ++i) {
    std::string path = At("spec.container.volumes", i);
    std::vector<std::string> parts = absl::StrSplit(container.volumes(i), ':');
    bool form =
        (parts.size() == 2 || (parts.size() == 3 && (parts[2] == "ro" || parts[2] == "rw"))) &&
        IsPath(parts[0]) && IsPath(parts[1]);
    RequireForm(form, path, "SOURCE:TARGET or SOURCE:TARGET:ro with absolute paths",
                container.volumes(i));
    all_are_volumes = all_are_volumes && form;
    if (!form) continue;
    auto [target, is_new] = targets.emplace(parts[1], parts[0]);
    Require(is_new, path,
            absl::StrCat(target->second, " and ", parts[0], " are both mounted on ", parts[1]));
    std::string prefix = absl::EndsWith(parts[1], "/") ? parts[1] : parts[1] + "/";
    has_model = has_model || (absl::StartsWith(model, prefix) && parts[0] == parts[1]);
  }
  Require(has_model || !all_are_volumes || !IsPath(spec_.model().path()), "spec.container.volumes",
          absl::StrCat("no volume shows spec.model.path ", spec_.model().path(),
                       " in the container under the same path"));
}

void Validator::Ray() {
  const v1::Ray& ray = spec_.ray();
  CheckPort("spec.ray.port", ray.port());
  CheckPositive("spec.ray.startDeadline", ray.start_deadline());
  CheckEnvironment("spec.ray.environment", ray.environment());
  CheckArguments("spec.ray.headExtraArgs", ray.head_extra_args(), "leave it out");
  CheckArguments("spec.ray.workerExtraArgs", ray.worker_extra_args(), "leave it out");
  for (const char* name : {"HCCL_IF_IP", "ASCEND_RT_VISIBLE_DEVICES"}) {
    Require(!ray.environment().contains(name), Key("spec.ray.environment", name),
            "is derived from spec.nodes and spec.visibleChips, and differs by node; remove it");
  }
}

void Validator::Engine() {
  const v1::Engine& engine = spec_.engine();
  Require(!engine.served_model_name().empty(), "spec.engine.servedModelName",
          "missing: the name that clients ask for");
  CheckPort("spec.engine.port", engine.port());
  // The probe, and whoever is told the endpoint, ask at the head's address.
  const auto head = absl::c_find_if(
      spec_.nodes(), [](const v1::Node& node) { return node.role() == v1::Node::HEAD; });
  const bool is_reached = !engine.has_host() || engine.host() == "0.0.0.0" ||
                          engine.host() == "::" || head == spec_.nodes().end() ||
                          engine.host() == head->address();
  Require(is_reached, "spec.engine.host",
          absl::StrCat("a server that listens at ", engine.host(), " alone is not reached at ",
                       head == spec_.nodes().end() ? "" : head->address(),
                       ", the head's address; remove it, or name that address"));
  Require(engine.port() != spec_.ray().port(), "spec.engine.port",
          absl::StrCat("engine and Ray both have port ", engine.port()));
  uint64_t ranks = uint64_t{engine.tensor_parallel_size()} * engine.pipeline_parallel_size();
  uint64_t chips = uint64_t{spec_.chips_per_node()} * spec_.nodes_size();
  bool by_pipeline = !spec_.engine().has_tensor_parallel_size();
  Require(
      ranks == chips,
      by_pipeline ? "spec.engine.pipelineParallelSize" : "spec.engine.tensorParallelSize",
      absl::StrCat("tensorParallelSize ", engine.tensor_parallel_size(), " x pipelineParallelSize ",
                   engine.pipeline_parallel_size(), " = ", ranks, ", but ", spec_.nodes_size(),
                   " nodes x ", spec_.chips_per_node(), " chipsPerNode = ", chips, " chips"));
  Require(!engine.has_gpu_memory_utilization() ||
              (engine.gpu_memory_utilization() > 0 && engine.gpu_memory_utilization() <= 1),
          "spec.engine.gpuMemoryUtilization",
          absl::StrCat("needs over 0 and 1 at most, not ", engine.gpu_memory_utilization()));
  auto over_zero = [&](bool has, uint32_t value, std::string_view name) {
    Require(!has || value > 0, absl::StrCat("spec.engine.", std::string(name)), "needs 1 or more");
  };
  over_zero(engine.has_block_size(), engine.block_size(), "blockSize");
  over_zero(engine.has_max_model_len(), engine.max_model_len(), "maxModelLen");
  over_zero(engine.has_max_num_batched_tokens(), engine.max_num_batched_tokens(),
            "maxNumBatchedTokens");
  over_zero(engine.has_max_num_seqs(), engine.max_num_seqs(), "maxNumSeqs");
  Require(!engine.has_swap_space() || engine.swap_space() >= 0, "spec.engine.swapSpace",
          "needs 0 or more GiB");
  Require(!engine.has_cpu_offload_gb() || engine.cpu_offload_gb() >= 0, "spec.engine.cpuOffloadGb",
          "needs 0 or more");
  Require(!engine.enable_reasoning() || !engine.reasoning_parser().empty(),
          "spec.engine.enableReasoning", "needs reasoningParser, too (deepseek_r1 in the runbook)");
  Require(engine.distributed_executor_backend() == "ray", "spec.engine.distributedExecutorBackend",
          absl::StrCat("needs ray, not \"", engine.distributed_executor_backend(), "\""));
  CheckPositive("spec.engine.startDeadline", engine.start_deadline());
  CheckEnvironment("spec.engine.environment", engine.environment());
  CheckArguments(
      "spec.engine.extraArgs", engine.extra_args(),
      "keep it in a 0600 file on the nodes that a volume shows in the container, and "
      "name that file with --config; but an API key of the endpoint cannot be: the probe "
      "and `ctl chat` send none, put a proxy that asks for one in front");
  EngineAndVersion();
}

// A flag in extraArgs that has a field of its own would be given twice.
std::string FieldOfFlag(std::string argument) {
  argument = argument.substr(0, argument.find('='));
  std::string flag = absl::StartsWith(argument, "--") ? argument.substr(2) : "";
  const auto& engine = *v1::Engine::descriptor();
  for (int i = 0; i < engine.field_count(); ++i) {
    if (!flag.empty() && engine.field(i)->name() == absl::StrReplaceAll(flag, {{"-", "_"}})) {
      return engine.field(i)->json_name();
    }
  }
  return "";
}

void Validator::EngineAndVersion() {
  const v1::Engine& engine = spec_.engine();
  for (int i = 0; i < engine.extra_args_size(); ++i) {
    std::string field = FieldOfFlag(engine.extra_args(i));
    Require(field.empty(), At("spec.engine.extraArgs", i),
            absl::StrCat(engine.extra_args(i), " has a field of its own: spec.engine.", field));
  }
  std::optional<EngineVersion> version = EngineVersionOf(spec_.image().name());
  if (!version || !engine.enable_expert_parallel()) return;
  std::string says = absl::StrCat("spec.image.name says ", ToString(*version));
  Require(*version >= EngineVersion{0, 8, 0, 0}, "spec.engine.enableExpertParallel",
          absl::StrCat("vLLM before 0.8 has no expert parallel; ", says));
  // vllm-ascend#4123, #3529.
  bool broken = *version >= EngineVersion{0, 11, 0, 0} && *version < EngineVersion{0, 11, 0, 3};
  Require(!broken, "spec.engine.enableExpertParallel",
          absl::StrCat("expert parallel over Ray is broken in 0.11.0rc0 to rc2; ", says,
                       "; take 0.11.0rc3 or later"));
}

void Validator::ProbeAndRetry() {
  const v1::Probe& probe = spec_.probe();
  Require(!probe.prompt().empty(), "spec.probe.prompt", "is empty");
  Require(probe.max_tokens() >= 1, "spec.probe.maxTokens", "needs 1 or more");
  CheckPositive("spec.probe.deadline", probe.deadline());
  CheckPositive("spec.probe.period", probe.period());
  const v1::RetryPolicy& retry = spec_.retry();
  Require(retry.attempts() >= 1, "spec.retry.attempts", "needs 1 or more");
  CheckPositive("spec.retry.initialBackoff", retry.initial_backoff());
  CheckPositive("spec.retry.maxBackoff", retry.max_backoff());
  Require(retry.initial_backoff().seconds() <= retry.max_backoff().seconds(),
          "spec.retry.maxBackoff",
          absl::StrCat("initialBackoff ", WriteDuration(retry.initial_backoff()),
                       " is over maxBackoff ", WriteDuration(retry.max_backoff())));
  CheckPositive("spec.retry.budget", retry.budget());
  Require(retry.same_signature() >= 1, "spec.retry.sameSignature", "needs 1 or more");
  CheckPositive("spec.retry.signatureWindow", retry.signature_window());
  for (const auto& [stage, policy] :
       std::map<std::string, v1::StageRetryPolicy>(retry.stages().begin(), retry.stages().end())) {
    const std::string path = Key("spec.retry.stages", stage);
    Require(absl::c_linear_search(kStageNames, stage), path,
            absl::StrCat("is no stage; there are ", absl::StrJoin(kStageNames, ", ")));
    Require(!policy.has_attempts() || policy.attempts() >= 1, absl::StrCat(path, ".attempts"),
            "needs 1 or more");
    if (policy.has_budget()) CheckPositive(absl::StrCat(path, ".budget"), policy.budget());
  }
}

std::vector<Violation> Validator::Run() {
  Head();
  Nodes();
  Chips();
  Host();
  Driver();
  Docker();
  Image();
  ModelFiles();
  Obsutil();
  Container();
  Ray();
  Engine();
  ProbeAndRetry();
  return std::move(violations_);
}

}  // namespace

std::vector<Violation> Validate(const v1::Deployment& deployment) {
  v1::Deployment resolved = ResolveDefaults(deployment);
  return Validator(resolved).Run();
}

}  // namespace npufleet::spec
