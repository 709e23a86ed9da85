// SPDX-License-Identifier: Apache-2.0
#include "agent/verbs/signatures.h"

#include <re2/re2.h>

#include <algorithm>
#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "agent/npu/npu_smi.h"
#include "common/failure.h"
#include "common/string_views.h"

namespace npufleet::verbs {
namespace {

constexpr auto kTransient = v1::Failure::TRANSIENT;
constexpr auto kRedo = v1::Failure::REDO;
constexpr auto kReboot = v1::Failure::REBOOT;
constexpr auto kConfig = v1::Failure::CONFIG;
constexpr auto kHardware = v1::Failure::HARDWARE;
constexpr auto kOperator = v1::Failure::NEEDS_OPERATOR;

constexpr size_t kMaxLineBytes = 16 << 10;

}  // namespace

const std::vector<Signature>& Signatures() {
  static const auto& rows = *new std::vector<Signature>{
      // --- any stage
      {"PRE-01", "", "[Nn]o space left on device", kOperator, "", 40,
       "The disk is full: free space on the filesystem of the file named, then retry."},
      {"PRE-03", "", "nf_conntrack: table full", kTransient, "", 50,
       "Raise net.netfilter.nf_conntrack_max: connections are being dropped."},
      {"PRE-04", "", "EXT4-fs error|blk_update_request: I/O error", kHardware, "", 50,
       "Disk error on this node: replace the disk, then verify the model files again."},

      // --- preflight, and what shows late that the host is wrong
      {"PRE-02", "serve probe kernel", "Out of memory: Killed process|Memory cgroup out of memory",
       kRedo, "serve", 50, "The host ran out of memory: stop other jobs or add memory."},
      {"PRE-05", "preflight", "Time has been changed|clock skew", kOperator, "", 50,
       "The clocks of the nodes differ: run chrony or ntpd on all of them."},
      {"PRE-06", "serve", R"(\[Find\]\[LocalHostIP\]ip \[([^\]]*)\].*is not found in the nic list)",
       kConfig, "", 50,
       "HCCL_IF_IP {1} is no address of this host: correct the node's address in the spec."},
      {"PRE-07", "serve", R"(\[Get\]\[LocalServerId\]get host ip fail by socket Ifname)", kConfig,
       "", 50,
       "HCCL_SOCKET_IFNAME names no interface with an IPv4 address here: correct the node's nic in "
       "the spec."},
      {"PRE-08", "serve",
       R"(Unable to resolve hostname to a \(local\) address\. Using the loopback)", kRedo,
       "ray-head", 20,
       "Ray runs without GLOO_SOCKET_IFNAME: it must be set on all nodes before ray start."},

      // --- packages
      {"PKG-01", "packages docker", "Could not resolve host|Temporary failure resolving|Curl error",
       kTransient, "", 50,
       "The package repository is not reachable: check the node's network, DNS and proxy."},
      {"PKG-02", "packages docker",
       "No match for argument: (\\S+)|Unable to locate package (\\S+)|No package (\\S+) available",
       kConfig, "", 60,
       "The node's repositories have no such package: add the repository or correct the name."},
      {"PKG-03", "packages docker",
       "Could not get lock|waiting for .* to finish|is locked by another", kTransient, "", 50,
       "Another package manager is at work on this node."},
      {"PKG-04", "packages docker",
       R"(Failed to download metadata for repo '(\S+?)'|Failed to fetch (\S+))", kTransient, "", 40,
       "The package repository {1} does not answer as one: check its address on the node."},
      {"PKG-05", "packages docker",
       R"((\S+) conflicts with \S+|Unable to correct problems, you have held broken packages)",
       kOperator, "", 60,
       "Packages of the node stand in the way of {1}: remove them by hand (dnf remove, apt-get "
       "remove), or accept what is installed."},
      {"PKG-06", "packages docker",
       "GPG check FAILED|not have any GPG public keys installed|Public key for (\\S+) is not "
       "installed|NO_PUBKEY (\\S+)",
       kOperator, "", 60,
       "The repository's signing key is not on the node: import it (rpm --import, or "
       "/etc/apt/keyrings)."},
      {"PKG-07", "packages docker", R"(nothing provides (\S+) needed by \S+)", kOperator, "", 60,
       "No repository of the node has {1}: add the one that has it, or name another package."},

      // --- driver and firmware
      {"DRV-01", "driver", "ERR_NO:0x0091", kTransient, "", 50,
       "The installer does not find user and group HwHiAiUser: they are made again before the next "
       "try."},
      {"DRV-02", "driver", R"(The list of missing tools: ?([\w,\- ]+))", kOperator, "", 50,
       "Install the packages of {1} (lspci: pciutils, ifconfig: net-tools), or name them in "
       "spec.packages.install."},
      {"DRV-03", "driver", "Dkms install failed", kOperator, "", 50,
       "Install kernel-devel (or linux-headers) of the running kernel and gcc, then retry; details "
       "are in "
       "/var/lib/dkms/davinci_ascend/1.0/build/make.log."},
      {"DRV-04", "driver", R"(Your kernel headers for kernel (\S+) cannot be found)", kReboot, "",
       55,
       "Headers of another kernel than {1} are installed: reboot into the installed kernel, or "
       "install its headers."},
      {"DRV-05", "driver", R"((?:重定义|redefined) \[-Werror)", kConfig, "", 55,
       "This driver does not build on the running kernel: name a newer driver in the spec."},
      {"DRV-08", "driver npu fabric", R"(error while loading shared libraries: (\S+):)", kRedo,
       "driver", 50, "The tool of the driver does not find {1}: the driver is installed again."},
      {"DRV-09", "driver npu", "can not find npu card", kHardware, "", 60,
       "No NPU on PCIe: check seating and BMC, then a cold power cycle."},
      {"DRV-11", "driver npu", R"(modprobe: FATAL: Module \S+ not found|dkms.*: added$)", kRedo,
       "driver", 50, "The kernel changed under the driver: it is built again."},
      {"DRV-12", "driver", "ERR_NO:0x0094", kTransient, "", 50,
       "Another installation runs on this node."},
      {"DRV-13", "driver", "davinci nodes are occupied", kTransient, "", 50,
       "Processes hold the NPUs: stop them (fuser -v /dev/davinci*), then retry."},
      {"DRV-14", "driver", "Arch mismatch, src package is (\\S+),", kConfig, "", 50,
       "The package is for {1}: name the one of this node's architecture in the spec."},
      {"DRV-15", "driver", "ERR_NO:0x0004|ERR_NO:0x0003", kConfig, "", 45,
       "The installer refuses its parameters: see its message; driver.installPath and "
       "installForAll come from the spec."},
      {"DRV-16", "driver", "ERR_NO:0x0095|ERR_NO:0x0096", kOperator, "", 50,
       "An earlier install used another user: uninstall the driver by hand, then retry."},
      {"DRV-17", "driver", "ERR_NO:0x0093", kOperator, "", 50, "The agent must run as root."},
      {"DRV-18", "driver", "free space only", kOperator, "", 50,
       "Free space at the install path, then retry."},
      {"DRV-19", "driver runtime", "Error in (?:SHA256|MD5) checksums|Archive is corrupt", kConfig,
       "", 60,
       "The installer's archive is broken at its source: correct the file, and its sha256 in the "
       "spec."},
      {"DRV-20", "driver", "ERR_NO:0x0090", kReboot, "", 50,
       "The former driver could not be removed: reboot the node."},
      {"FW-01", "driver", "(?i)driver (?:is )?not installed, please install (?:the )?driver first",
       kTransient, "", 55,
       "The firmware needs the driver first: it is installed before the next try."},
      {"UPG-01", "driver serve", "driver version .*not support|inconsistent driver", kConfig, "",
       50, "Driver and CANN of the image do not fit: name another driver or image in the spec."},
      {"UPG-03", "", "blocked for more than (\\d+) seconds", kReboot, "", 60,
       "A process is stuck in the driver for {1} s: the node must reboot."},

      // --- reset of a chip: npu_chip_set.c, npu_card_set.c and npu_set_print.c of hicann/driver
      {"NPU-01", "npu", R"(Another user is resetting the NPU)", kTransient, "", 60,
       "Somebody else resets a chip of this node: it is tried again."},
      {"NPU-02", "npu", R"(User aborts reset (\w+) by (?:inband|outband))", kOperator, "", 60,
       "npu-smi asked more than we answer: reset the chip by hand (npu-smi set -t reset -i N -c 0 "
       "-m 1)."},
      {"NPU-03", "npu", "In the vNPU scenario, this device does not support setting reset",
       kOperator, "", 70,
       "The chips are split (vNPU) and cannot be reset so: take the split away, or reboot the node "
       "by hand."},
      {"NPU-04", "npu",
       "This device does not support setting reset|Chip reset is not supported|This command cannot "
       "be executed on a (?:common container|container|VM)",
       kReboot, "", 60, "This node cannot reset a chip by npu-smi: it is rebooted instead."},
      {"NPU-05", "npu",
       "Failed to (?:start prereset|reset|rescan) (?:card|chip|server)|Please reboot OS to reset",
       kReboot, "", 50, "The reset failed: the node is rebooted."},

      // --- fabric
      {"NET-01", "fabric serve", "link status: ?DOWN", kHardware, "", 50,
       "The link of the chip is down: check module, cable and switch; hccn_tool -i N -cfg recovery "
       "may help."},
      {"NET-02", "fabric", "net health status: (Fault|Socket failed|Receive timeout|Unreachable)",
       kHardware, "", 50, "The chip's network is {1}: check its netdetect address and gateway."},
      {"NET-04", "fabric", R"(packets transmitted, 0 received|100(?:\.00)?% packet loss)",
       kHardware, "", 50,
       "Chips do not reach one another: check VLAN, gateway and MTU of their ports."},
      {"NET-05", "fabric serve", "Some ranks tlsStatus are inconsistent", kOperator, "", 85,
       "The TLS switch differs between chips: hccn_tool -i N -tls -s enable 0 on all of them."},

      // --- docker
      {"DOC-01", "docker runtime image container",
       "Cannot connect to the Docker daemon|failed to connect to the docker API at", kRedo,
       "docker", 50, "dockerd does not run: see journalctl -u docker."},
      {"DOC-02", "docker runtime image container",
       "permission denied while trying to connect to the [Dd]ocker", kOperator, "", 50,
       "The agent must run as root."},
      {"DOC-03", "docker runtime", "unable to configure the Docker daemon with file", kConfig, "",
       50, "/etc/docker/daemon.json is invalid: correct it, then retry."},
      {"DOC-04", "docker runtime",
       "directives are specified both as a flag and in the configuration file: (\\w+)", kConfig, "",
       60, "\"{1}\" stands in daemon.json and in the unit of docker: remove one of them."},
      {"DOC-05", "docker runtime", "Error initializing network controller", kOperator, "", 50,
       "Docker cannot set up its bridge: load ip_tables, or set \"iptables\": false in "
       "daemon.json."},
      {"DOC-06", "docker runtime", "ensure docker is not running or delete", kTransient, "", 50,
       "A stale /var/run/docker.pid of a daemon that crashed stands in the way."},
      {"DOC-07", "docker runtime", R"(\[graphdriver\] prior storage driver (\S+) failed)",
       kOperator, "", 50,
       "Docker's data root does not carry {1} any more: overlay2 needs ext4, or xfs with ftype=1."},
      {"DOC-08", "docker", "docker.service: Main process exited", kTransient, "", 20,
       "dockerd crashed: see journalctl -u docker."},

      // --- runtime
      {"RTM-01", "runtime", "Do you accept the EULA to install", kConfig, "", 45,
       "This installer asks for its licence: read it, then set spec.runtime.acceptEula: true."},
      {"RTM-02", "runtime", "run package and os not matched in arch", kConfig, "", 50,
       "The installer is for another architecture: name the one of this node in the spec."},
      {"RTM-03", "runtime", "ascend-docker-plugin-install-helper add .* return non-zero", kOperator,
       "", 50,
       "The installer cannot edit /etc/docker/daemon.json: it must be valid JSON, root's own, and "
       "no link."},
      {"RTM-06", "runtime",
       "(\\S+) (?:is a symlink|is soft link)|group or other of (\\S+) has write permi|is not owned "
       "by root",
       kOperator, "", 50,
       "The install path or daemon.json is a link, not root's, or writable by others: correct its "
       "owner and mode."},
      {"RTM-07", "runtime", "please run with root permission", kOperator, "", 50,
       "The agent must run as root."},
      {"RTM-04", "container", "unknown or invalid runtime name: (\\S+)", kRedo, "runtime", 50,
       "Docker does not know the runtime {1}: it is installed again and Docker restarted."},
      {"RTM-05", "container", R"(failed to mount src: (\S+?)\.failed to mount dev)", kRedo,
       "driver", 50,
       "The Ascend runtime cannot mount {1}: the driver is not where it looks, or the same path is "
       "also a volume of the spec."},

      // --- image
      {"IMG-01", "image",
       "TLS handshake timeout|i/o timeout|connection reset by peer|context deadline exceeded",
       kTransient, "", 45,
       "The registry is hardly reachable: name a mirror of it as an earlier source."},
      {"IMG-02", "image", "archive/tar: invalid tar header", kOperator, "", 80,
       "Known on Kylin with old Docker: pull on another host, docker save, and name the archive as "
       "a source."},
      {"IMG-03", "image", "failed to register layer: .*no space left on device", kOperator, "", 80,
       "Docker's data root is full: move it or free space; a load needs about twice the image."},
      {"IMG-04", "image",
       "pull access denied for (\\S+)|unauthorized|no basic auth credentials|authentication "
       "required",
       kConfig, "", 50, "The image's name is wrong or needs a login: correct image.sources."},
      {"IMG-05", "image", "manifest unknown|manifest for \\S+ not found", kConfig, "", 50,
       "The registry has no such tag: correct image.sources."},
      {"IMG-06", "image", "toomanyrequests", kTransient, "", 50,
       "The registry limits the rate: wait, or name a mirror."},
      {"IMG-07", "image container", R"(no matching manifest for linux/(\w+)|exec format error)",
       kConfig, "", 50,
       "The image is for another architecture than this node: name the right one."},
      {"IMG-08", "image", R"(unexpected EOF|invalid diffID|open \S+/layer\.tar: no such file)",
       kTransient, "", 50, "The image's archive or stream was cut: it is fetched again."},
      {"IMG-09", "image", "format error or unsupported for import", kConfig, "", 50,
       "The file is no archive of docker save: correct image.sources."},

      {"IMG-10", "image", "x509: (.+)", kConfig, "", 55,
       "The registry's certificate is not trusted ({1}): put its CA on the node as "
       "/etc/docker/certs.d/HOST/ca.crt."},
      {"IMG-11", "image", "server gave HTTP response to HTTPS client", kConfig, "", 55,
       "The registry speaks no TLS: name another, or list it in daemon.json as "
       "insecure-registries."},

      // --- model
      {"MOD-01", "model", "integrity check failed|download incomplete, content_length", kTransient,
       "", 50, "A file arrived damaged: it is fetched again."},
      {"MOD-02", "model",
       "actual is e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", kOperator, "",
       90, "The server sent 0 bytes: check proxy, CDN and quota, or name another source."},
      {"MOD-04", "model",
       R"(The request model: \S+ does not exist|Authentication token does not exist)", kConfig, "",
       50, "The hub does not know the model's id, or wants a token: correct model.sources."},
      {"MOD-05", "model",
       "An error happened while trying to locate the file|Cannot find the requested files in the "
       "disk cache|Max retries exceeded",
       kTransient, "", 50,
       "No route to the hub: set the source's endpoint to a mirror, or name another source."},
      {"MOD-06", "model", R"(Consistency check failed: file should be of size (\d+) but has size)",
       kTransient, "", 50, "A file arrived with a wrong size: it is fetched again."},
      {"MOD-07", "model", "Not enough free disk space to download the file", kOperator, "", 50,
       "The disk is too small for the model: free space at model.path."},
      {"MOD-08", "model",
       "GatedRepoError|RepositoryNotFoundError|401 Client Error|403 Client Error", kConfig, "", 50,
       "The hub refuses: accept the model's licence and give a token_file."},
      {"MOD-12", "serve",
       "Cannot find any model weights with|Invalid repository ID or local directory specified",
       kRedo, "container", 50,
       "The model's path is not visible in the container: its volume must be in "
       "container.volumes."},
      {"MOD-13", "serve model",
       "SafetensorError|Error while deserializing header|HeaderTooLarge|MetadataIncompleteBuffer",
       kRedo, "model", 50, "A shard of the model is broken: it is fetched again."},
      {"MOD-14", "model image",
       R"(AccessDenied|SignatureDoesNotMatch|Status \[403\]|RequestTimeTooSkewed)", kConfig, "", 50,
       "OBS refuses: check the keys, the endpoint and the clock."},

      // --- container
      {"CTR-01", "container", R"re(Conflict\. The container name "?(/\S+?)"? is already in use)re",
       kTransient, "", 50, "A container of the name {1} stands in the way."},
      {"CTR-02", "container",
       R"re(error gathering device information while adding custom device "?(/dev/\w+))re", kRedo,
       "driver", 50, "{1} is not on this node: the driver is not loaded."},
      {"CTR-06", "container ray-head ray-worker serve",
       R"(dcmi module initialize failed\. ret is -8005)", kRedo, "container", 50,
       "The container does not reach its NPUs: another container holds them, or mounts are "
       "missing."},
      {"CTR-07", "container ray-head ray-worker serve",
       R"(because the device is used\. ret is -8020)", kRedo, "container", 50,
       "Another container uses the NPUs: stop it first."},
      {"CTR-08", "container", "docker: .*operation not permitted|unable to apply caps", kConfig, "",
       45, "The container may not do what it needs: set container.privileged: true."},
      {"CTR-09", "container serve",
       R"(libatb\.so: cannot open shared object file|Failed to infer device type)", kTransient, "",
       60, "The CANN environment was not sourced in the container."},
      {"CTR-10", "container serve", R"(Bus error|No space left on device: '/psm_)", kConfig, "", 55,
       "/dev/shm of the container is too small: raise container.shmSize."},

      // --- ray
      {"RAH-01", "ray-head", R"(Ray is trying to start at (\S+), but is already running at)",
       kTransient, "", 50,
       "A Ray runs at {1}: one that we started is ended before the next try, another's is named."},
      {"RAH-02", "ray-head ray-worker", R"(Session name \S+ does not match persisted value)",
       kTransient, "", 50,
       "Another Ray owns the port: ours is ended before the next try, another's is named."},
      {"RAH-03", "ray-head ray-worker", "The current node timed out during startup", kTransient, "",
       50,
       "Ray did not start: see /tmp/ray/session_latest/logs in the container; unset http_proxy for "
       "the nodes' addresses."},
      {"RAH-04", "ray-head ray-worker",
       R"(Attempting to start raylet with (\d+) (?:NPU|GPU), but (\w+) contains)", kConfig, "", 50,
       "chipsPerNode and visibleChips disagree: Ray was to offer {1}."},
      {"RAH-05", "serve",
       R"(Current node has no NPU available\. current_node_resource=\{.*'GPU': )", kRedo,
       "ray-head", 85,
       "Ray offers GPUs and no NPU: it must be started with --resources and without --num-gpus."},
      {"RAH-06", "serve",
       R"(Current node has no NPU available\. current_node_resource=\{.*(?:bundle_group|NPU_group))",
       kRedo, "ray-head", 90, "An earlier server still holds the NPUs: Ray is started again."},
      {"RAH-07", "ray-head ray-worker serve", R"(Ray cluster is not found at (\S+))", kRedo,
       "ray-head", 50, "The Ray head at {1} is down."},
      {"RAH-08", "ray-head ray-worker serve", "Could not find any running Ray instance", kRedo,
       "ray-head", 50, "No Ray runs in this container."},
      {"RAH-10", "ray-head ray-worker serve",
       R"(can't convert npu:0 device type tensor to numpy|'str' object has no attribute 'DESCRIPTOR')",
       kConfig, "", 50, "The image's Ray is too old: vllm-ascend 0.9.1 or newer."},
      {"RAW-01", "ray-worker",
       R"(Failed to connect to GCS at address (\S+) with|Failed to get cluster ID from GCS server)",
       kTransient, "", 50, "The worker does not reach the Ray head: is it up, and the port open?"},
      {"RAW-02", "ray-worker", "Version mismatch: The cluster was started with", kRedo, "image", 50,
       "The nodes run different images."},
      {"RAW-03", "ray-worker", "we (?:can not|cannot) find (?:the matched|a local) Raylet", kConfig,
       "", 50, "Ray sees this node by another address: correct the node's address in the spec."},
      {"RAW-04", "ray-head ray-worker serve", R"(Can't find a `?node_ip_address\.json`? file)",
       kRedo, "ray-head", 50,
       "/tmp/ray was cleaned in the container: exclude it from cleaners of /tmp."},
      {"RAW-05", "ray-worker serve",
       "has been marked dead because the detector has missed too many heartbeats", kRedo,
       "ray-worker", 50, "A worker left the Ray cluster: host, network or load."},
      {"RAW-06", "ray-worker serve", "mistakenly been marked as dead by the GCS", kRedo,
       "ray-worker", 50, "The raylet left after a network cut."},
      {"RAW-08", "ray-head ray-worker", "Some Ray subprocesses exited unexpectedly", kTransient, "",
       50, "A Ray daemon died: see /tmp/ray/session_latest/logs in the container."},
      {"UPG-02", "container ray-head ray-worker",
       R"(Stopped only (\d+) out of (\d+) Ray processes)", kRedo, "container", 50,
       "Ray did not stop: the container is started again."},

      // --- serve
      {"SRV-01", "serve", "unrecognized arguments: (.+)", kConfig, "", 50,
       "This image's vLLM does not know {1}: remove it from engine.extraArgs, or take another "
       "image."},
      {"SRV-02", "serve", "--enable-reasoning requires --reasoning-parser", kConfig, "", 50,
       "Set engine.reasoningParser (deepseek_r1)."},
      {"SRV-03", "serve", "vLLM Ascend does not support V0 engine", kConfig, "", 50,
       "Remove VLLM_USE_V1: \"0\" from engine.environment: this image has only the V1 engine."},
      {"SRV-04", "serve",
       "The number of required (?:NPU|GPU)s exceeds the total number of available", kRedo,
       "ray-worker", 50,
       "Ray offers fewer NPUs than the server needs: a worker is missing, or old jobs hold them."},
      {"SRV-05", "serve", R"(Waiting for creating a placement group of specs for (\d+) seconds)",
       kRedo, "ray-worker", 25, "Ray lacks free NPUs: see ray status."},
      {"SRV-06", "serve", "Cannot provide a placement group", kRedo, "ray-head", 50,
       "Ray lacks free NPUs: see ray status."},
      {"SRV-07", "serve", "Every node should have a unique IP address", kRedo, "ray-head", 50,
       "Two nodes show one address to Ray: each node's own address must be its VLLM_HOST_IP."},
      {"SRV-08", "serve", "is not included in a placement group", kRedo, "ray-head", 50,
       "The head has no free NPUs."},
      {"SRV-09", "serve",
       R"(Set visible device failed, invalid device=(\d+)|set ASCEND_RT_VISIBLE_DEVICES:\[[^\]]*\] error)",
       kRedo, "ray-head", 60,
       "RAY_EXPERIMENTAL_NOSET_ASCEND_RT_VISIBLE_DEVICES=1 was not set before ray start on all "
       "nodes."},
      {"SRV-10", "serve", "Error setting ASCEND_RT_VISIBLE_DEVICES: local range", kConfig, "", 50,
       "The data-parallel arguments do not fit the chips of the node."},
      {"SRV-11", "serve probe", R"(NPU out of memory\. Tried to allocate (\S+ \wiB))", kConfig, "",
       80,
       "An NPU lacks {1}: lower engine.gpuMemoryUtilization or maxModelLen, quantise, or stop what "
       "else runs on it."},
      {"SRV-12", "serve", "No available memory for the cache blocks", kConfig, "", 60,
       "Raise engine.gpuMemoryUtilization, or quantise: nothing is left for the cache."},
      {"SRV-13", "serve",
       R"(To serve at least one request with the models's max seq len \((\d+)\))", kConfig, "", 60,
       "Lower engine.maxModelLen below {1}."},
      {"SRV-14", "serve",
       R"(Total number of attention heads \((\d+)\) must be divisible by tensor parallel size)",
       kConfig, "", 60,
       "The model has {1} attention heads: engine.tensorParallelSize must divide them."},
      {"SRV-15", "serve",
       "Unknown quantization method|ModelSlim Quantization Config Not Found|missing 3 required "
       "positional arguments",
       kConfig, "", 50, "engine.quantization does not fit the weights."},
      {"SRV-16", "serve",
       R"(Model architectures \[.*\] (?:are not supported for now|failed to be inspected))",
       kConfig, "", 50, "This image does not know the model: take a newer one."},
      {"SRV-17", "serve", R"(MLA only support \{32, 64, 128\})", kConfig, "", 80,
       "This tensor parallel size leaves too few heads: set engine.enforceEager: true, or less of "
       "it."},
      {"SRV-18", "serve",
       R"(error code is 207008|Insufficient_Stream_Resources\(EL0009\)|Alloc sq cq fail)", kConfig,
       "", 80,
       "The chips ran out of streams: set engine.enforceEager: true, or take a newer driver."},
      {"SRV-19", "serve", "error code[: is]*507014|ACL stream synchronize failed", kConfig, "", 50,
       "Known with expert parallel and Ray in 0.11.0rc0 to rc2: drop it, or take 0.11.0rc3 or "
       "newer."},
      {"SRV-20", "serve",
       R"(SetDevice\(device_id_\), error code is 507033|open device \d+ failed, runtime result = 507033|error code is 507899)",
       kRedo, "container", 60, "An NPU cannot be opened: who holds it, and is it healthy?"},
      {"SRV-21", "serve", R"(undefined symbol: \w+|not in libopapi\.so)", kConfig, "", 50,
       "torch_npu and CANN of the image do not fit: take the official image unchanged."},
      {"SRV-22", "serve", R"(\[Errno 98\].*[Aa]ddress already in use)", kTransient, "", 50,
       "Another process holds the server's port."},
      {"SRV-23", "serve", "Engine core initialization failed", kTransient, "", 5,
       "The cause stands earlier in the engine's log."},
      {"SRV-24", "serve", "Error executing method .*This might cause deadlock", kTransient, "", 15,
       "A rank failed: the cause stands earlier in the engine's log."},
      {"SRV-25", "serve", "Timed out waiting for engines to send", kTransient, "", 50,
       "A node did not join: is it up, and are the ports open between the nodes?"},
      {"SRV-26", "serve", R"(KeyError: '(?:model\.)?layers\.\d+)", kConfig, "", 50,
       "Weights and vLLM do not fit: see the model's card for the version it was tried with."},
      {"SRV-27", "serve probe", "RayChannelTimeoutError", kTransient, "", 30,
       "A rank hung for 300 s: check the workers."},
      {"SRV-28", "serve", R"(Too large swap space\. ([\d.]+) GiB out of)", kConfig, "", 60,
       "Lower engine.swapSpace: {1} GiB in all do not fit the host's memory."},
      {"SRV-29", "serve", "reasoning parser could not locate think start/end tokens", kConfig, "",
       60,
       "The model has no <think> tokens: drop engine.reasoningParser, or take the right model."},
      {"SRV-30", "serve",
       R"(No available node types can fulfill resource request \{'NPU': 1\.0, 'node:([\d.]+)')",
       kRedo, "ray-head", 60, "Ray knows the node {1} by another address."},

      // --- between the ranks, in the engine's log
      {"NET-06", "serve",
       "EI0006|Getting socket times out|Communication_Error_Get_Socket|wait socket establish "
       "timeout",
       kTransient, "", 45, "The ranks did not meet: check the links of the chips (fabric)."},
      {"NET-07", "serve",
       R"(listen on ip\[[^\]]*\] and specific port\[(\d+)\] fail|EI0019|EI0020|EJ0003|Communication_Error_Bind_IP_Port)",
       kTransient, "", 85,
       "An old process still owns a port of the chips: ours is ended before the next try, "
       "another's "
       "is named."},
      {"NET-08", "serve probe", "EI0002|Notify register times out|notify wait timeout", kTransient,
       "", 40,
       "A rank stopped answering: the first rank that reports something else has the cause."},
      {"NET-09", "serve", "EI0009|Transport init error|Create Dest error", kTransient, "", 50,
       "A rank of another node failed first."},
      {"NET-10", "serve probe",
       R"(EI0013|Execution_Error_ROCE_CQE|cqe error status\[12\]|\[Heartbeat\]cqe err)", kTransient,
       "", 80, "A RoCE link broke for more than 30 s: check the switch's port."},
      {"NET-11", "serve",
       "hcclCommInitRootInfoConfig.*error code is (\\d+)|ERR02200 DIST call hccl api failed",
       kTransient, "", 10, "HCCL did not come up: the first EI code in the log is the cause."},
      {"NET-12", "serve", "EI0004|ranktable or rank is invalid", kConfig, "", 50,
       "Remove RANK_TABLE_FILE from the environment."},
      {"NET-13", "serve", "Gloo connectFullMesh failed", kRedo, "ray-head", 50,
       "GLOO_SOCKET_IFNAME is wrong on a node, or a firewall stands between them."},
      {"NET-14", "serve", R"(Timed out after (\d+) seconds waiting for clients)", kTransient, "",
       30, "Some ranks did not join: the first one that failed has the cause."},
      {"NET-15", "serve",
       R"(\[c10d\] The client socket has timed out after (\d+)ms while trying to connect to)",
       kTransient, "", 30, "A node does not reach another: open the firewall for ephemeral ports."},
      {"RUN-01", "serve probe",
       "EngineCore encountered an issue|EngineDeadError|Got fatal signal from worker processes",
       kRedo, "serve", 10, "The engine died: the cause stands earlier in its log."},
      {"RUN-02", "serve probe", R"((?:Engine core|Worker) proc (\S+) died unexpectedly)", kRedo,
       "serve", 50, "A process of the engine was killed: look for an out-of-memory kill in dmesg."},
      {"RUN-03", "serve probe",
       "ActorDiedError|The actor is dead because its (?:worker process|node) has died", kRedo,
       "serve", 20, "A rank died: check its node."},
      {"RUN-05", "serve probe", "No available shared memory broadcast block found", kRedo, "serve",
       8, "A rank hangs."},
      {"RUN-07", "serve probe", "error code is 507010|The task scheduler loses the heartbeat",
       kReboot, "", 80, "An NPU lost its heartbeat: it needs a reset or a reboot of its node."},
      {"RUN-08", "serve probe", R"(Device_Absent/Abnormal\(EL0001\)|Device not found or invalid)",
       kReboot, "", 80,
       "An NPU vanished: reboot its node; if it stays away, call hardware support."},
      {"RUN-09", "npu serve probe", "(?i)event[_ ]id[=: \\[]*0x(80E18402|80E3A201|80E0020B)",
       kHardware, "", 70, "The NPU must be replaced (fault {1})."},
      {"RUN-10", "serve probe", "(?i)event[_ ]id[=: \\[]*0x(80E01801|8C204E00)", kRedo, "serve", 60,
       "HBM ECC error (fault {1}): the server is started again; reset the NPU if it comes again."},
      {"RUN-11", "npu serve probe",
       "(?i)event[_ ]id[=: \\[]*0x(80CF8009|80BD8008|80F78008|80E38008)", kRedo, "container", 60,
       "The NPU needs a reset (fault {1}): it gets one once nothing uses the chips."},
      {"RUN-13", "probe", R"(The model `?(\S+?)`? does not exist)", kConfig, "", 50,
       "The server knows no model {1}: engine.servedModelName differs."},
      {"RUN-14", "serve probe",
       "AsyncLLMEngine is already dead|MQLLMEngine is already dead|Engine loop is not "
       "running|Engine process failed to start",
       kRedo, "serve", 50, "The engine died: the cause stands earlier in its log."},
  };
  return rows;
}

namespace {

struct Compiled {
  const Signature* signature;
  std::unique_ptr<RE2> pattern;
};

const std::vector<Compiled>& CompiledSignatures() {
  static const auto& compiled = *[] {
    auto* rows = new std::vector<Compiled>;
    for (const Signature& signature : Signatures()) {
      rows->push_back({&signature, std::make_unique<RE2>(signature.pattern)});
    }
    return rows;
  }();
  return compiled;
}

bool ShowsIn(const Signature& signature, absl::string_view stage) {
  if (*signature.stages == '\0') return true;
  std::vector<absl::string_view> stages = absl::StrSplit(signature.stages, ' ');
  return std::find(stages.begin(), stages.end(), stage) != stages.end();
}

std::string WithoutAnsi(absl::string_view line) {
  std::string text(line);
  static const RE2& kAnsi = *new RE2("\x1b\\[[0-9;]*[A-Za-z]");
  RE2::GlobalReplace(&text, kAnsi, "");
  return text;
}

v1::Failure MakeFailure(const Compiled& row, absl::string_view stage, const std::string& line) {
  v1::Failure failure;
  failure.set_signature(row.signature->id);
  failure.set_symptom(npu::Printable(Std(absl::StripAsciiWhitespace(line))));
  bool redoes_itself = row.signature->failure_class == kRedo && stage == row.signature->redo_stage;
  failure.set_class_(redoes_itself ? kTransient : row.signature->failure_class);
  if (failure.class_() == kRedo) failure.set_redo_stage(row.signature->redo_stage);
  std::string group;
  if (row.pattern->NumberOfCapturingGroups() > 0) RE2::PartialMatch(line, *row.pattern, &group);
  while (!group.empty() && (group.back() == ',' || group.back() == ' ')) group.pop_back();
  failure.set_advice(
      absl::StrReplaceAll(row.signature->advice,
                          {{"{1}", group.empty() ? "what it names" : npu::Printable(group, 120)}}));
  return failure;
}

}  // namespace

std::optional<v1::Failure> MatchSignature(std::string_view stage, std::string_view text) {
  std::vector<const Compiled*> rows;
  for (const Compiled& row : CompiledSignatures()) {
    if (ShowsIn(*row.signature, Absl(stage))) rows.push_back(&row);
  }
  const Compiled* best = nullptr;
  std::string best_line;
  for (absl::string_view raw : absl::StrSplit(Absl(text), absl::ByAnyChar("\n\r"))) {
    std::string line = WithoutAnsi(raw.substr(0, kMaxLineBytes));
    for (const Compiled* row : rows) {
      if (best != nullptr && row->signature->priority <= best->signature->priority) continue;
      if (!RE2::PartialMatch(line, *row->pattern)) continue;
      best = row;
      best_line = line;
    }
  }
  if (best == nullptr) return std::nullopt;
  return MakeFailure(*best, Absl(stage), best_line);
}

absl::Status FailureOfOutput(std::string_view stage, std::string_view output,
                             v1::Failure otherwise) {
  v1::Failure failure = MatchSignature(stage, output).value_or(std::move(otherwise));
  failure.clear_log_tail();
  for (std::string& line : LastLines(output)) failure.add_log_tail(std::move(line));
  return FailureStatus(failure);
}

std::vector<std::string> LastLines(std::string_view text, size_t count) {
  std::vector<std::string> lines;
  for (absl::string_view line : absl::StrSplit(Absl(text), absl::ByAnyChar("\n\r"))) {
    line = absl::StripTrailingAsciiWhitespace(line);
    if (line.empty()) continue;
    lines.push_back(npu::Printable(WithoutAnsi(line), 500));
    if (lines.size() > 2 * count) lines.erase(lines.begin(), lines.end() - count);
  }
  if (lines.size() > count) lines.erase(lines.begin(), lines.end() - count);
  return lines;
}

}  // namespace npufleet::verbs
