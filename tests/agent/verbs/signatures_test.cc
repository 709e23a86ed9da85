// SPDX-License-Identifier: Apache-2.0
#include "agent/verbs/signatures.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/failure.h"

namespace npufleet::verbs {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

struct Sample {
  const char* id;
  const char* stage;
  const char* line;  // as the program prints it
};

const std::vector<Sample>& Samples() {
  static const auto& samples = *new std::vector<Sample>{
      {"PRE-01", "image", "write /var/lib/docker/tmp/x: no space left on device"},
      {"PRE-02", "serve", "[12345.6] Out of memory: Killed process 4711 (VLLMWorker_TP)"},
      {"PRE-03", "serve", "nf_conntrack: nf_conntrack: table full, dropping packet"},
      {"PRE-04", "model", "EXT4-fs error (device sda2): ext4_find_entry:1455: inode #2: comm bash"},
      {"PRE-05", "preflight", "Jun 02 systemd[1]: Time has been changed"},
      {"PRE-06", "serve",
       "[Find][LocalHostIP]ip [192.168.0.9] of [..] is not found in the nic list"},
      {"PRE-07", "serve", "[Get][LocalServerId]get host ip fail by socket Ifname"},
      {"PRE-08", "serve",
       "Warning: Unable to resolve hostname to a (local) address. Using the loopback address as "
       "fallback. Manually set "
       "the network interface to bind to with GLOO_SOCKET_IFNAME."},
      {"PKG-01", "packages",
       "Curl error (6): Couldn't resolve host name for https://repo.example/repomd.xml"},
      {"PKG-02", "packages", "No match for argument: wgett"},
      {"PKG-03", "packages",
       "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 12 (apt)"},
      {"PKG-04", "packages",
       "Error: Failed to download metadata for repo 'base': Cannot download repomd.xml"},
      {"PKG-05", "docker",
       "  - package docker-ce-3:28.0.4-1.el9.x86_64 conflicts with podman-docker provided by "
       "podman-docker-4.9.4"},
      {"PKG-05", "packages", "E: Unable to correct problems, you have held broken packages."},
      {"PKG-06", "packages", "Error: GPG check FAILED"},
      {"PKG-07", "packages", "  - nothing provides libgone.so.1 needed by needs-gone-1.0-1.x86_64"},
      {"DRV-01", "driver", "[Driver] [ERROR] ERR_NO:0x0091; ERR_DES: HwHiAiUser not exists!"},
      {"DRV-02", "driver", "[ERROR]The list of missing tools: lspci,ifconfig,"},
      {"DRV-03", "driver",
       "[ERROR]Dkms install failed, details in : var/log/ascend_seclog/ascend_install.log."},
      {"DRV-04", "driver",
       "Error! Your kernel headers for kernel 5.10.0-60 cannot be found at "
       "/lib/modules/5.10.0-60/build"},
      {"DRV-05", "driver", "error: \"MIN\"重定义 [-Werror]"},
      {"DRV-08", "driver",
       "npu-smi: error while loading shared libraries: libc_sec.so: cannot open shared object "
       "file"},
      {"DRV-09", "driver", "can not find npu card, please check!"},
      {"DRV-11", "npu",
       "modprobe: FATAL: Module drv_davinci_intf not found in directory /lib/modules/6.6.0"},
      {"DRV-12", "driver",
       "[Driver] [2026-01-02 03:04:05] [ERROR]ERR_NO:0x0094;ERR_DES:Another installation program "
       "is running, please wait."},
      {"DRV-13", "driver",
       "[ERROR]The davinci nodes are occupied by some processes, please stop processes and install "
       "or uninstall again"},
      {"DRV-14", "driver",
       "[ERROR]Arch mismatch, src package is aarch64, but the system is x86_64."},
      {"DRV-15", "driver", "[Driver] [ERROR]ERR_NO:0x0004;ERR_DES:Unrecognized parameters: --foo."},
      {"DRV-16", "driver",
       "[Driver] [ERROR]ERR_NO:0x0095;ERR_DES:the user is different from the last install"},
      {"DRV-17", "driver",
       "[Driver] [ERROR]ERR_NO:0x0093;ERR_DES:You do not have the permission to install"},
      {"DRV-18", "driver", "[ERROR]/usr/local/Ascend free space only 120 MB"},
      {"DRV-19", "driver", "Error in SHA256 checksums: 1234 is different from 5678"},
      {"DRV-20", "driver", "[Driver] [ERROR]ERR_NO:0x0090;ERR_DES:uninstall failed"},
      {"FW-01", "driver", "driver not installed, please install driver first"},
      {"UPG-01", "serve", "driver version 23.0 is not support"},
      {"UPG-03", "driver", "INFO: task npu-smi:4711 blocked for more than 120 seconds."},
      {"NET-01", "fabric", "link status: DOWN"},
      {"NET-02", "fabric", "net health status: Socket failed"},
      {"NET-04", "fabric", "3 packets transmitted, 0 received, 100.00% packet loss"},
      {"NET-05", "serve", "Some ranks tlsStatus are inconsistent"},
      {"DOC-01", "docker",
       "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon "
       "running?"},
      {"DOC-02", "docker",
       "permission denied while trying to connect to the Docker daemon socket at "
       "unix:///var/run/docker.sock"},
      {"DOC-03", "docker",
       "unable to configure the Docker daemon with file /etc/docker/daemon.json: invalid character "
       "'}' looking for "
       "beginning of object key string"},
      {"DOC-04", "docker",
       "unable to configure the Docker daemon with file /etc/docker/daemon.json: the following "
       "directives are specified "
       "both as a flag and in the configuration file: hosts: (from flag: [fd://], from file: "
       "[tcp://0.0.0.0:2375])"},
      {"DOC-05", "docker",
       "failed to start daemon: Error initializing network controller: error creating default "
       "bridge"},
      {"DOC-06", "docker",
       "failed to start daemon, ensure docker is not running or delete /var/run/docker.pid: "
       "process with PID 1234 is "
       "still running"},
      {"DOC-07", "docker",
       "error initializing graphdriver: [graphdriver] prior storage driver overlay2 failed: no "
       "such device"},
      {"DOC-08", "docker", "docker.service: Main process exited, code=exited, status=1/FAILURE"},
      {"RTM-01", "runtime", "Do you accept the EULA to install Ascend-docker-runtime?[Y/N]"},
      {"RTM-02", "runtime", "[ERROR] install failed, run package and os not matched in arch"},
      {"RTM-03", "runtime",
       "[ERROR] install failed, './ascend-docker-plugin-install-helper add ... ' return non-zero"},
      {"RTM-04", "container",
       "Error response from daemon: unknown or invalid runtime name: ascend"},
      {"RTM-05", "container",
       "prepare necessary configenter container's mount namespacedo mountingPlease check the write "
       "permission! failed to "
       "mount src: /usr/local/bin/npu-smi.failed to mount dev.failed to do file mounting for."},
      {"RTM-06", "runtime", "[ERROR] group or other of /etc/docker has write permission"},
      {"RTM-07", "runtime", "[ERROR] failed, please run with root permission"},
      {"IMG-01", "image", "Get \"https://quay.io/v2/\": net/http: TLS handshake timeout"},
      {"IMG-02", "image",
       "failed to register layer: ApplyLayer exit status 1 stdout: stderr: archive/tar: invalid "
       "tar header"},
      {"IMG-03", "image",
       "failed to register layer: Error processing tar file(exit status 1): write /x: no space "
       "left on device"},
      {"IMG-04", "image",
       "pull access denied for ascend/vllm, repository does not exist or may require 'docker "
       "login'"},
      {"IMG-05", "image", "manifest for quay.io/ascend/vllm-ascend:v9 not found: manifest unknown"},
      {"IMG-06", "image", "toomanyrequests: You have reached your pull rate limit."},
      {"IMG-07", "image", "no matching manifest for linux/arm64 in the manifest list entries"},
      {"IMG-08", "image", "unexpected EOF"},
      {"IMG-09", "image",
       "Error processing tar file(exit status 1): format error or unsupported for import"},
      {"IMG-04", "image", "Get \"https://r.example.com/v2/\": no basic auth credentials"},
      {"IMG-10", "image",
       "Get \"https://r.example.com/v2/\": x509: certificate signed by unknown authority"},
      {"IMG-11", "image", "http: server gave HTTP response to HTTPS client"},
      {"MOD-01", "model",
       "File model-1.safetensors integrity check failed, expected sha256 signature is X, actual is "
       "Y"},
      {"MOD-02", "model",
       "File x integrity check failed, expected sha256 signature is ab, actual is "
       "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855, the download may be "
       "incomplete"},
      {"MOD-04", "model", "The request model: Qwen/Nope does not exist!"},
      {"MOD-05", "model",
       "LocalEntryNotFoundError: An error happened while trying to locate the files on the Hub"},
      {"MOD-06", "model",
       "OSError: Consistency check failed: file should be of size 100 but has size 90"},
      {"MOD-07", "model",
       "Not enough free disk space to download the file. The expected file size is: 4000 MB."},
      {"MOD-08", "model", "huggingface_hub.errors.GatedRepoError: 401 Client Error."},
      {"MOD-12", "serve", "RuntimeError: Cannot find any model weights with `/data2/Qwen3`"},
      {"MOD-13", "serve",
       "safetensors_rust.SafetensorError: Error while deserializing header: HeaderTooLarge"},
      {"MOD-14", "model",
       "Error: obs: service returned error: Status [403], Code=SignatureDoesNotMatch"},
      {"CTR-01", "container",
       "Error response from daemon: Conflict. The container name \"/vllm-ascend\" is already in "
       "use by container \"ab\"."},
      {"CTR-02", "container",
       "error gathering device information while adding custom device \"/dev/davinci0\": no such "
       "file or directory"},
      {"CTR-06", "ray-head", "dcmi module initialize failed. ret is -8005"},
      {"CTR-07", "serve",
       "dcmi model initialized failed, because the device is used. ret is -8020"},
      {"CTR-08", "container", "docker: Error response from daemon: operation not permitted."},
      {"CTR-09", "serve",
       "ImportError: libatb.so: cannot open shared object file: No such file or directory"},
      {"CTR-10", "serve", "OSError: [Errno 28] No space left on device: '/psm_1234'"},
      {"RAH-01", "ray-head",
       "ConnectionError: Ray is trying to start at 10.0.0.1:6379, but is already running at "
       "10.0.0.1:6379."},
      {"RAH-02", "ray-head",
       "AssertionError: Session name session_1 does not match persisted value b'session_0'. "
       "Perhaps there was an error"},
      {"RAH-03", "ray-head",
       "Exception: The current node timed out during startup. This could happen because"},
      {"RAH-04", "ray-head",
       "ValueError: Attempting to start raylet with 8 NPU, but ASCEND_RT_VISIBLE_DEVICES contains "
       "['0']"},
      {"RAH-05", "serve",
       "ValueError: Current node has no NPU available. current_node_resource={'CPU': 192.0, 'GPU': "
       "8.0}"},
      {"RAH-06", "serve",
       "ValueError: Current node has no NPU available. current_node_resource={'bundle_group_1': "
       "1.0, 'NPU_group_1': 8.0, 'GPU': 8.0}"},
      {"RAH-07", "serve", "Ray cluster is not found at 192.168.0.15:6379"},
      {"RAH-08", "ray-worker",
       "ConnectionError: Could not find any running Ray instance. Please specify the one to "
       "connect to"},
      {"RAH-10", "serve", "TypeError: can't convert npu:0 device type tensor to numpy."},
      {"RAW-01", "ray-worker",
       "Failed to connect to GCS at address 192.168.0.15:6379 within 5 seconds."},
      {"RAW-02", "ray-worker", "RuntimeError: Version mismatch: The cluster was started with:"},
      {"RAW-03", "ray-worker",
       "This node has an IP address of 10.0.0.2, but we cannot find a local Raylet with the same "
       "address."},
      {"RAW-04", "ray-worker", "Can't find a `node_ip_address.json` file from /tmp/ray/session_1"},
      {"RAW-05", "serve",
       "The node with node id: ab has been marked dead because the detector has missed too many "
       "heartbeats from it."},
      {"RAW-06", "ray-worker",
       "[Timeout] Exiting because this node manager has mistakenly been marked as dead by the GCS: "
       "GCS failed"},
      {"RAW-08", "ray-worker", "Some Ray subprocesses exited unexpectedly:"},
      {"UPG-02", "ray-head",
       "Stopped only 3 out of 5 Ray processes within the grace period 16 seconds."},
      {"SRV-01", "serve", "vllm: error: unrecognized arguments: --enable-reasoning"},
      {"SRV-02", "serve", "TypeError: Error: --enable-reasoning requires --reasoning-parser"},
      {"SRV-03", "serve", "NotImplementedError: vLLM Ascend does not support V0 engine."},
      {"SRV-04", "serve",
       "ValueError: The number of required NPUs exceeds the total number of available NPUs in the "
       "placement group."},
      {"SRV-05", "serve",
       "INFO Waiting for creating a placement group of specs for 10 seconds. specs=[{'NPU': 1.0}]"},
      {"SRV-06", "serve",
       "ValueError: Cannot provide a placement group of placement_group_specs=..."},
      {"SRV-07", "serve",
       "RuntimeError: Every node should have a unique IP address. Got 2 nodes with node ids"},
      {"SRV-08", "serve",
       "ValueError: Current node (id=ab) is not included in a placement group "
       "(placement_groups=1)."},
      {"SRV-09", "serve", "Set visible device failed, invalid device=8, input visible devices:8"},
      {"SRV-10", "serve",
       "Exception: Error setting ASCEND_RT_VISIBLE_DEVICES: local range: [8, 16)"},
      {"SRV-11", "serve",
       "RuntimeError: NPU out of memory. Tried to allocate 2.00 GiB (NPU 0; 60.97 GiB total "
       "capacity; 58.00 GiB already"},
      {"SRV-12", "serve",
       "ValueError: No available memory for the cache blocks. Try increasing "
       "`gpu_memory_utilization`"},
      {"SRV-13", "serve",
       "ValueError: To serve at least one request with the models's max seq len (40960), (7.5 GiB "
       "KV"},
      {"SRV-14", "serve",
       "ValueError: Total number of attention heads (32) must be divisible by tensor parallel size "
       "(6)."},
      {"SRV-15", "serve", "ValueError: Unknown quantization method: ascend. Must be one of"},
      {"SRV-16", "serve", "ValueError: Model architectures ['Qwen9'] are not supported for now."},
      {"SRV-17", "serve", "RuntimeError: MLA only support {32, 64, 128} heads"},
      {"SRV-18", "serve", "The error code is 207008"},
      {"SRV-19", "serve", "RuntimeError: ACL stream synchronize failed, error code:507014"},
      {"SRV-20", "serve", "RuntimeError: SetDevice(device_id_), error code is 507033"},
      {"SRV-21", "serve", "ImportError: libtorch_npu.so: undefined symbol: aclrtFoo"},
      {"SRV-22", "serve",
       "OSError: [Errno 98] error while attempting to bind on address: address already in use"},
      {"SRV-23", "serve",
       "RuntimeError: Engine core initialization failed. See root cause above. Failed core "
       "proc(s): {}"},
      {"SRV-24", "serve",
       "ERROR Error executing method 'init_device'. This might cause deadlock in distributed "
       "execution."},
      {"SRV-25", "serve",
       "RuntimeError: Timed out waiting for engines to send initial message on input socket."},
      {"SRV-26", "serve", "KeyError: 'model.layers.61.mlp.gate.weight'"},
      {"SRV-27", "serve",
       "ray.exceptions.RayChannelTimeoutError: System error: Timed out waiting for object "
       "available"},
      {"SRV-28", "serve",
       "ValueError: Too large swap space. 64.00 GiB out of the 23.00 GiB total CPU memory"},
      {"SRV-29", "serve",
       "RuntimeError: DeepSeek reasoning parser could not locate think start/end tokens in the "
       "tokenizer!"},
      {"SRV-30", "serve",
       "Error: No available node types can fulfill resource request {'NPU': 1.0, 'node:10.0.0.2': "
       "0.001}."},
      {"NET-06", "serve",
       "EI0006: 2026-01-02 Getting socket times out. Reason: 1. The remote does not initiate"},
      {"NET-07", "serve", "[Init]listen on ip[10.0.0.1] and specific port[16666] fail"},
      {"NET-08", "serve", "EI0002: The wait execution of the Notify register times out."},
      {"NET-09", "serve", "EI0009: Transport init error. Reason: Create Dest error"},
      {"NET-10", "serve", "[Heartbeat]cqe error status[12]"},
      {"NET-11", "serve",
       "HCCL function error: hcclCommInitRootInfoConfig(numRanks, &rootInfo, rank, config, "
       "&(comm->hcclComm_)), error code is 1"},
      {"NET-12", "serve", "EI0004: The ranktable or rank is invalid"},
      {"NET-13", "serve",
       "RuntimeError: Gloo connectFullMesh failed with [../gloo/transport/tcp/pair.cc:144] no "
       "error"},
      {"NET-14", "serve",
       "torch.distributed.DistStoreError: Timed out after 1801 seconds waiting for clients. 1/8 "
       "clients joined."},
      {"NET-15", "serve",
       "[c10d] The client socket has timed out after 1800000ms while trying to connect to "
       "(10.0.0.1, 40000)."},
      {"NPU-01", "npu", "Another user is resetting the NPU(s). Please try again later."},
      {"NPU-02", "npu", "\tMessage                        : User aborts reset server by inband."},
      {"NPU-03", "npu", "In the vNPU scenario, this device does not support setting reset."},
      {"NPU-04", "npu", "This device does not support setting reset."},
      {"NPU-04", "npu", "Chip reset is not supported. Please check BMC version and IPMI driver."},
      {"NPU-04", "npu", "This command cannot be executed on a VM or container."},
      {"NPU-04", "npu", "This command cannot be executed on a common container."},
      {"NPU-05", "npu", "\tMessage                        : Failed to reset server"},
      {"NPU-05", "npu", "Failed to start prereset chip 0."},
      {"NPU-05", "npu", "Please reboot OS to reset card."},
      {"RUN-01", "probe",
       "vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue."},
      {"RUN-02", "probe",
       "ERROR Worker proc VllmWorker-3 died unexpectedly, shutting down executor."},
      {"RUN-03", "probe",
       "ray.exceptions.ActorDiedError: The actor died unexpectedly before finishing this task."},
      {"RUN-05", "probe", "INFO No available shared memory broadcast block found in 60 second."},
      {"RUN-07", "probe", "The error code is 507010"},
      {"RUN-08", "probe", "Device_Absent/Abnormal(EL0001)"},
      {"RUN-09", "npu", "event_id=0x80e18402"},
      {"RUN-10", "serve", "Event id: 0x80E01801"},
      {"RUN-11", "npu", "event_id: 0x80CF8009"},
      {"RUN-13", "probe",
       "{\"message\":\"The model `Qwen3` does not exist.\",\"type\":\"NotFoundError\"}"},
      {"RUN-14", "probe", "MQLLMEngine is already dead, terminating server process"},
  };
  return samples;
}

class EverySignature : public ::testing::TestWithParam<Sample> {};

TEST_P(EverySignature, IsFoundInItsOwnLineAndNoOtherRowTakesIt) {
  const Sample& sample = GetParam();
  std::optional<v1::Failure> failure = MatchSignature(
      sample.stage,
      absl::StrCat("some line before\n\x1b[31m", sample.line, "\x1b[0m\r\nand after\n"));
  ASSERT_TRUE(failure.has_value());
  EXPECT_EQ(failure->signature(), sample.id);
  EXPECT_EQ(failure->symptom(), absl::StripAsciiWhitespace(sample.line));
  EXPECT_NE(failure->advice(), "");
  EXPECT_THAT(failure->advice(), ::testing::Not(HasSubstr("{")));
  EXPECT_EQ(failure->class_() == v1::Failure::REDO, !failure->redo_stage().empty());
  EXPECT_NE(failure->redo_stage(), sample.stage);
}

INSTANTIATE_TEST_SUITE_P(Field, EverySignature, ::testing::ValuesIn(Samples()),
                         [](const auto& info) {
                           std::string name = absl::StrCat(info.param.id, "_line_", info.index);
                           for (char& c : name) c = c == '-' ? '_' : c;
                           return name;
                         });

TEST(SignaturesTest, EveryRowHasALineInThisTest) {
  std::set<std::string> with_line;
  for (const Sample& sample : Samples()) with_line.insert(sample.id);
  for (const Signature& row : Signatures()) EXPECT_TRUE(with_line.count(row.id)) << row.id;
  EXPECT_EQ(with_line.size(), Signatures().size());
}

TEST(SignaturesTest, EveryStageNamedIsOneOfTheCatalogue) {
  const std::set<std::string> kStages = {"preflight", "packages", "installers", "driver", "npu",
                                         "fabric",    "docker",   "runtime",    "image",  "model",
                                         "container", "ray-head", "ray-worker", "serve",  "probe"};
  for (const Signature& row : Signatures()) {
    std::vector<std::string> stages = absl::StrSplit(row.stages, ' ', absl::SkipEmpty());
    for (const std::string& stage : stages)
      EXPECT_TRUE(stage == "kernel" || kStages.count(stage)) << row.id << " " << stage;
    EXPECT_EQ(row.failure_class == v1::Failure::REDO, kStages.count(row.redo_stage) == 1) << row.id;
  }
}

TEST(SignaturesTest, TheHighestPriorityWinsWhereverItsLineStands) {
  std::optional<v1::Failure> failure = MatchSignature(
      "serve",
      "RuntimeError: Engine core initialization failed. See root cause above.\n"
      "ValueError: No available memory for the cache blocks.\n"
      "torch.distributed.DistStoreError: Timed out after 1801 seconds waiting for clients.\n");
  ASSERT_TRUE(failure.has_value());
  EXPECT_EQ(failure->signature(), "SRV-12");
}

TEST(SignaturesTest, OfEqualsTheEarlierLineWins) {
  std::optional<v1::Failure> failure = MatchSignature("driver", "ERR_NO:0x0094\nERR_NO:0x0093\n");
  ASSERT_TRUE(failure.has_value());
  EXPECT_EQ(failure->signature(), "DRV-12");
}

TEST(SignaturesTest, ARowShowsInItsStagesOnly) {
  EXPECT_FALSE(MatchSignature("model", "[ERROR]Dkms install failed").has_value());
  EXPECT_FALSE(MatchSignature("driver", "Driver package installed successfully!").has_value());
}

TEST(SignaturesTest, WhatRedoesItselfIsTransient) {
  const std::string kLine =
      "npu-smi: error while loading shared libraries: libc_sec.so: cannot open shared object file";
  EXPECT_EQ(MatchSignature("driver", kLine)->class_(), v1::Failure::TRANSIENT);
  std::optional<v1::Failure> at_npu = MatchSignature("npu", kLine);
  EXPECT_EQ(at_npu->class_(), v1::Failure::REDO);
  EXPECT_EQ(at_npu->redo_stage(), "driver");
}

TEST(SignaturesTest, TheAdviceNamesWhatTheLineNames) {
  EXPECT_THAT(
      MatchSignature("driver", "[ERROR]The list of missing tools: lspci,ifconfig,")->advice(),
      HasSubstr("packages of lspci,ifconfig ("));
}

TEST(SignaturesTest, AFailureOfOutputCarriesItsLastLines) {
  std::string output;
  for (int i = 0; i < 100; ++i) absl::StrAppend(&output, "line ", i, "\n\n");
  v1::Failure otherwise;
  otherwise.set_class_(v1::Failure::TRANSIENT);
  otherwise.set_symptom("the installer ended with status 1");
  absl::Status status = FailureOfOutput("driver", output, otherwise);
  std::optional<v1::Failure> failure = FailureOf(status);
  ASSERT_TRUE(failure.has_value());
  EXPECT_EQ(failure->symptom(), "the installer ended with status 1");
  ASSERT_THAT(failure->log_tail(), SizeIs(40));
  EXPECT_EQ(failure->log_tail(0), "line 60");
  EXPECT_EQ(failure->log_tail(39), "line 99");
}

TEST(SignaturesTest, ForeignBytesInTheOutputReachTheWireAsQuestionMarks) {
  std::optional<v1::Failure> failure = MatchSignature("driver", "Dkms install failed \xff\xfe");
  ASSERT_TRUE(failure.has_value());
  EXPECT_EQ(failure->symptom(), "Dkms install failed ??");
}

}  // namespace
}  // namespace npufleet::verbs
