// SPDX-License-Identifier: Apache-2.0
//
// The reference spec's verbs, against the commands of the runbook that it was written from.
#include "controller/stages/commands.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/spec/deployment.h"
#include "controller/stages/plan.h"
#include "controller/stages/shell_line.h"
#include "tests/common/spec/reference_spec.h"

namespace npufleet::stages {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::IsSupersetOf;
using ::testing::Not;

constexpr char kOpenEuler[] = "openeuler 22.03 aarch64";

v1::Deployment Reference() {
  absl::StatusOr<v1::Deployment> deployment =
      spec::ParseDeployment(spec::FilledReferenceSpec(), "reference.yaml");
  EXPECT_TRUE(deployment.ok()) << deployment.status();
  return spec::ResolveDefaults(*deployment);
}

std::vector<std::string> Of(const v1::Deployment& deployment, const std::string& task,
                            const Circumstances& circumstances = {.os = kOpenEuler}) {
  return ApplyCommands(PlanOf(deployment, 1).verbs.at(task), circumstances);
}

// Runbook 2.1.
TEST(CommandsTest, Packages) {
  EXPECT_THAT(Of(Reference(), "packages@node-a"),
              ElementsAre("yum update -y", "yum install wget -y"));
  EXPECT_THAT(Of(Reference(), "packages@node-a", {.os = "ubuntu 22.04 aarch64"}), IsEmpty());
  v1::Deployment everywhere = Reference();
  everywhere.mutable_spec()->mutable_packages()->set_skip_on_apt(false);
  EXPECT_THAT(Of(everywhere, "packages@node-a", {.os = "ubuntu 22.04 aarch64"}),
              ElementsAre("apt-get update", "apt-get upgrade -y", "apt-get install -y wget"));
}

constexpr char kDriver[] = "Ascend-hdk-910b-npu-driver_25.0.rc1.b080_linux-aarch64.run";
constexpr char kFirmware[] = "Ascend-hdk-910b-npu-firmware_7.7.t20.0.b200.run";

TEST(CommandsTest, TheFilesOfTheInstallsEachWhereItIsRun) {
  const std::string sum(64, 'a');
  const std::string firmware =
      absl::StrCat("wget http://39.171.244.84:30011/drivers/HDK%2025.0.RC1/", kFirmware);
  EXPECT_THAT(
      Of(Reference(), "installers@node-a"),
      AllOf(IsSupersetOf(
                {std::string("mkdir -p /data/drivers"), std::string("cd /data/drivers"),
                 absl::StrCat("wget http://39.171.244.84:30011/drivers/HDK%2025.0.RC1/", kDriver),
                 absl::StrCat("echo '", sum, "  ", kDriver, "' | sha256sum -c"), firmware,
                 absl::StrCat("echo '", sum, "  ", kFirmware, "' | sha256sum -c"),
                 std::string("wget https://gitee.com/ascend/mind-cluster/releases/download/v6.0.0/"
                             "Ascend-docker-runtime_6.0.0_linux-aarch64.run"),
                 std::string("cd ~"),
                 std::string("wget https://mirrors.aliyun.com/docker-ce/linux/static/stable/"
                             "aarch64/docker-28.0.4.tgz")}),
            Not(Contains(HasSubstr("./")))));
  EXPECT_THAT(Of(Reference(), "installers@node-a",
                 {.missing = absl::StrCat("http://39.171.244.84:30011/drivers/HDK%2025.0.RC1/",
                                          kFirmware)}),
              ElementsAre("mkdir -p /data/drivers", "cd /data/drivers", firmware,
                          absl::StrCat("echo '", sum, "  ", kFirmware, "' | sha256sum -c")));
}

TEST(CommandsTest, DriverOnABareNodeAndFirmwareAfterIt) {
  EXPECT_THAT(
      Of(Reference(), "driver@node-a"),
      ElementsAre(
          "npu-smi info", "mkdir -p /data/drivers", "cd /data/drivers", "groupadd HwHiAiUser",
          "useradd -g HwHiAiUser -d /home/HwHiAiUser -m HwHiAiUser -s /bin/bash",
          absl::StrCat("chmod +x ", kDriver), absl::StrCat("./", kDriver, " --full --quiet"),
          absl::StrCat("chmod +x ", kFirmware), absl::StrCat("./", kFirmware, " --full --quiet")));
}

TEST(CommandsTest, AnUpgradeRunsTheFirmwareFirst) {
  const std::vector<std::string> lines =
      Of(Reference(), "driver@node-a", {.os = kOpenEuler, .standing = "24.1.rc2/7.5.0.1.129"});
  const auto at = [&](const std::string& line) {
    return std::find(lines.begin(), lines.end(), line) - lines.begin();
  };
  EXPECT_LT(at(absl::StrCat("./", kFirmware, " --full --quiet")),
            at(absl::StrCat("./", kDriver, " --upgrade --quiet")));
  EXPECT_LT(at(absl::StrCat("./", kDriver, " --upgrade --quiet")),
            static_cast<std::ptrdiff_t>(lines.size()));
  EXPECT_THAT(lines, Not(Contains(HasSubstr("useradd"))));
}

// Runbook 2.2.1 and 2.2.2.
TEST(CommandsTest, DockerByItsArchive) {
  const std::vector<std::string> lines = Of(Reference(), "docker@node-a");
  EXPECT_THAT(lines, IsSupersetOf({"cd ~", "tar zxf docker-28.0.4.tgz", "mv docker/* /usr/bin",
                                   "cat > /usr/lib/systemd/system/docker.service << 'EOF'",
                                   "ExecStart=/usr/bin/dockerd", "KillMode=process",
                                   "systemctl daemon-reload", "systemctl start docker",
                                   "systemctl enable docker", "docker version"}));
}

TEST(CommandsTest, DockerByPackages) {
  v1::Deployment deployment = Reference();
  auto& packages = *deployment.mutable_spec()->mutable_docker()->mutable_packages();
  for (const char* name : {"docker-ce", "docker-ce-cli", "containerd.io"}) packages.add_names(name);
  EXPECT_THAT(Of(deployment, "docker@node-a"),
              ElementsAre("yum install -y docker-ce docker-ce-cli containerd.io",
                          "systemctl enable --now docker", "docker version"));
}

TEST(CommandsTest, TheVersionOfDockerIsNotThatOfContainerd) {
  v1::Deployment deployment = Reference();
  auto& packages = *deployment.mutable_spec()->mutable_docker()->mutable_packages();
  for (const char* name : {"docker-ce", "docker-ce-cli", "containerd.io"}) packages.add_names(name);
  packages.set_version("28.0.4");
  EXPECT_EQ(Of(deployment, "docker@node-a").front(),
            "yum install -y docker-ce-28.0.4 docker-ce-cli-28.0.4 containerd.io");
  const Circumstances ubuntu = {.os = "ubuntu 22.04 aarch64"};
  EXPECT_EQ(Of(deployment, "docker@node-a", ubuntu).front(),
            "apt-get install -y 'docker-ce=5:28.0.4*' 'docker-ce-cli=5:28.0.4*' containerd.io");
  packages.set_version("5:28.0.4-1~ubuntu.22.04~jammy");
  packages.mutable_names()->DeleteSubrange(1, 2);
  EXPECT_EQ(Of(deployment, "docker@node-a", ubuntu).front(),
            "apt-get install -y 'docker-ce=5:28.0.4-1~ubuntu.22.04~jammy'");
}

TEST(CommandsTest, Runtime) {
  EXPECT_THAT(
      Of(Reference(), "runtime@node-b"),
      IsSupersetOf({"cd /data/drivers", "chmod +x Ascend-docker-runtime_6.0.0_linux-aarch64.run",
                    "./Ascend-docker-runtime_6.0.0_linux-aarch64.run --install",
                    "systemctl daemon-reload && systemctl restart docker"}));
}

// Runbook 3.1.
TEST(CommandsTest, ImageFromEachOfItsSources) {
  const std::string name = "quay.io/ascend/vllm-ascend:v0.8.4rc2-openeuler";
  const std::string registry =
      "swr.cn-east-3.myhuaweicloud.com/kubesre/quay.io/ascend/"
      "vllm-ascend:v0.8.4rc2-openeuler-linux-arm64";
  EXPECT_THAT(
      Of(Reference(), "image@node-a"),
      IsSupersetOf({std::string("wget http://39.171.244.84:30011/vllm/vllm-ascend-0.8.4rc2.tar.gz"),
                    std::string("docker load -i vllm-ascend-0.8.4rc2.tar.gz"),
                    absl::StrCat("docker pull ", registry),
                    absl::StrCat("docker tag ", registry, " ", name),
                    std::string("mkdir -p /data/docker_images"),
                    std::string("obsutil cp obs://docker/vllm-ascend-0.8.4rc2.tar.gz "
                                "./vllm-ascend-0.8.4rc2.tar.gz")}));
}

// Runbook 3.2.
TEST(CommandsTest, ModelFromEachOfItsSources) {
  EXPECT_THAT(
      Of(Reference(), "model@node-b"),
      ElementsAre("mkdir -p /data2", "cd /data2",
                  "# the first of these 3 sources that works:", "pip install modelscope",
                  "modelscope download --model Qwen/Qwen3-235B-A22B --local_dir "
                  "./Qwen3-235B-A22B",
                  "# or", "pip install huggingface_hub",
                  "hf download Qwen/Qwen3-235B-A22B --local-dir ./Qwen3-235B-A22B", "# or",
                  "obsutil cp obs://bigmodel/Qwen3-235B-A22B/ ./Qwen3-235B-A22B/ -f -r -flat"));
}

TEST(CommandsTest, ModelOfAnotherRevision) {
  v1::Deployment deployment = Reference();
  auto& source = *deployment.mutable_spec()->mutable_model()->mutable_sources(1);
  source.mutable_hugging_face()->set_revision("v2");
  EXPECT_THAT(Of(deployment, "model@node-b"),
              Contains("hf download Qwen/Qwen3-235B-A22B --local-dir ./Qwen3-235B-A22B "
                       "--revision v2"));
}

// Runbook 2.3.
TEST(CommandsTest, ObsutilHasItsKeysFromTheFileOnTheNode) {
  v1::Deployment deployment = Reference();
  v1::Obsutil& obsutil = *deployment.mutable_spec()->mutable_obsutil();
  obsutil.set_version("5.7.3");
  obsutil.mutable_archive()->set_url("https://obs.example/obsutil_linux_arm64.tar.gz");
  obsutil.set_endpoint("obs.cn-east-292.example");
  obsutil.set_credentials_file("/etc/npufleet/obs-keys");
  for (const char* task : {"image@node-a", "model@node-a"}) {
    const std::vector<std::string> lines = Of(deployment, task);
    const auto keys = std::find_if(lines.begin(), lines.end(), [](const std::string& line) {
      return absl::StartsWith(line, ". /etc/npufleet/obs-keys   # ");
    });
    ASSERT_LT(keys, lines.end() - 2) << task;
    EXPECT_EQ(keys[1], "obsutil config -i=\"$ak\" -k=\"$sk\" -e=obs.cn-east-292.example");
    EXPECT_THAT(keys[2], HasSubstr("obsutil cp obs://"));
  }
  EXPECT_THAT(Of(deployment, "obsutil@node-a"), Each(Not(HasSubstr("config"))));
}

TEST(CommandsTest, APullWithLogins) {
  v1::Deployment deployment = Reference();
  v1::Image& image = *deployment.mutable_spec()->mutable_image();
  image.clear_sources();
  image.add_sources()->set_registry(image.name());
  const std::string shown = absl::StrCat("docker images ", image.name());
  EXPECT_THAT(Of(deployment, "image@node-a"),
              ElementsAre(absl::StrCat("docker pull ", image.name()), shown));
  image.set_credentials_file("/root/.docker/config.json");
  EXPECT_THAT(
      Of(deployment, "image@node-a"),
      ElementsAre(absl::StrCat("docker --config /root/.docker pull ", image.name()), shown));
  image.set_credentials_file("/etc/npufleet/registry");
  EXPECT_THAT(
      Of(deployment, "image@node-a"),
      ElementsAre("logins=$(mktemp -d)", "ln -s /etc/npufleet/registry \"$logins/config.json\"",
                  absl::StrCat("docker --config \"$logins\" pull ", image.name()),
                  "rm -r \"$logins\"", shown));
}

// Runbook 3.3, line by line.
TEST(CommandsTest, Container) {
  std::vector<std::string> expected = {"docker run -itd \\", "--name vllm-server-qwen3-235b \\",
                                       "--privileged \\", "--network host \\",
                                       "--shm-size 500g \\"};
  for (int chip = 0; chip < 8; ++chip)
    expected.push_back(absl::StrCat("--device=/dev/davinci", chip, " \\"));
  for (const char* line :
       {"--device=/dev/davinci_manager \\", "--device=/dev/hisi_hdc \\",
        "--device=/dev/devmm_svm \\", "-v /usr/local/dcmi:/usr/local/dcmi \\",
        "-v /usr/local/bin/npu-smi:/usr/local/bin/npu-smi \\",
        "-v /usr/local/Ascend/driver/lib64/:/usr/local/Ascend/driver/lib64/ \\",
        "-v /usr/local/Ascend/driver/version.info:/usr/local/Ascend/driver/version.info \\",
        "-v /etc/ascend_install.info:/etc/ascend_install.info \\", "-v /data2:/data2 \\",
        "quay.io/ascend/vllm-ascend:v0.8.4rc2-openeuler \\", "/bin/bash"}) {
    expected.push_back(line);
  }
  EXPECT_THAT(Of(Reference(), "container@node-a"), ElementsAreArray(expected));
  EXPECT_EQ(Of(Reference(), "container@node-a", {.standing = "c1@2026"}).front(),
            "docker rm -f vllm-server-qwen3-235b");
}

// Runbook 3.4. --resources instead of --num-gpus, and VLLM_HOST_IP: the notes of the spec say why.
TEST(CommandsTest, Ray) {
  EXPECT_THAT(Of(Reference(), "ray-head@node-a"),
              ElementsAre("docker exec -it vllm-server-qwen3-235b /bin/bash",
                          "export ASCEND_RT_VISIBLE_DEVICES=0,1,2,3,4,5,6,7",
                          "export GLOO_SOCKET_IFNAME=enp67s0f0", "export HCCL_IF_IP=192.168.0.15",
                          "export RAY_EXPERIMENTAL_NOSET_ASCEND_RT_VISIBLE_DEVICES=1",
                          "export TP_SOCKET_IFNAME=enp67s0f0", "export VLLM_HOST_IP=192.168.0.15",
                          "ray start --head --port=6379 --node-ip-address=192.168.0.15 "
                          "'--resources={\"NPU\": 8}'",
                          "exit"));
  EXPECT_THAT(Of(Reference(), "ray-worker@node-b"),
              AllOf(Contains("export HCCL_IF_IP=192.168.0.21"),
                    Contains("ray start --address=192.168.0.15:6379 "
                             "--node-ip-address=192.168.0.21 '--resources={\"NPU\": 8}'")));
}

// Runbook 4.
TEST(CommandsTest, Serve) {
  EXPECT_THAT(Of(Reference(), "serve@node-a"),
              IsSupersetOf({"VLLM_TEST_ENABLE_EP=1 \\", "VLLM_USE_V1=0 \\",
                            "vllm serve /data2/Qwen3-235B-A22B \\",
                            "--served-model-name Qwen3-235B-A22B \\", "--enable-reasoning \\",
                            "--reasoning-parser deepseek_r1 \\", "--gpu-memory-utilization 0.95 \\",
                            "--tensor-parallel-size 16 \\", "--port 8006 \\", "--block-size 128 \\",
                            "--distributed_executor_backend ray \\", "--enforce-eager", "exit"}));
}

// Runbook 4 and 4.1, with an image of another version.
TEST(CommandsTest, ServeIsAdaptedToTheVersionThatTheTagTells) {
  const auto serve = [](const char* image, std::vector<std::string> extra = {}) {
    v1::Deployment deployment = Reference();
    for (const std::string& argument : extra)
      deployment.mutable_spec()->mutable_engine()->add_extra_args(argument);
    return Of(deployment, "serve@node-a", {.os = kOpenEuler, .image = image});
  };
  for (const char* image : {"vllm-ascend:v0.8.4rc2-openeuler", "r:5000/vllm:latest", ""}) {
    EXPECT_THAT(serve(image), AllOf(Contains("--enable-reasoning \\"), Contains("VLLM_USE_V1=0 \\"),
                                    Each(Not(HasSubstr("dropped")))))
        << image;
  }
  EXPECT_THAT(
      serve("quay.io/ascend/vllm-ascend:v0.11.0rc1"),
      AllOf(Not(Contains("--enable-reasoning \\")), Not(Contains("VLLM_USE_V1=0 \\")),
            Contains("--reasoning-parser deepseek_r1 \\"),
            IsSupersetOf(
                {"# --enable-reasoning dropped: vLLM 0.11.0rc1 takes --reasoning-parser alone",
                 "# VLLM_USE_V1=0 dropped: vLLM 0.11.0rc1 has the V1 engine only"})));
  const std::vector<std::string> mapped = serve(
      "vllm-ascend:v0.9.1", {"--Npu-memory-utilization", "0.9", "--log-level", "debug", "--fp16"});
  EXPECT_THAT(mapped, AllOf(Contains("VLLM_LOGGING_LEVEL=DEBUG \\"),
                            Contains("--gpu-memory-utilization 0.9 --dtype float16"),
                            Contains("# --fp16 became --dtype float16: vLLM has no such option")));
  EXPECT_THAT(serve("vllm-ascend:v0.9.1", {"--model_tag", "gpt-neo-2.7B"}),
              Contains(AllOf(HasSubstr("# would be refused"), HasSubstr("model.path"))));
}

// Runbook 4.3.
TEST(CommandsTest, Probe) {
  EXPECT_THAT(
      Of(Reference(), "probe@node-a"),
      ElementsAre("curl -H 'Accept: application/json' -H 'Content-Type: application/json' -X POST "
                  "-d '{\"model\": \"Qwen3-235B-A22B\", \"messages\": [{\"role\": \"user\", "
                  "\"content\": \"你是谁\"}], \"max_tokens\": 16, \"stream\": false}' "
                  "http://192.168.0.15:8006/v1/chat/completions"));
}

TEST(CommandsTest, EveryVerbHasCommands) {
  const google::protobuf::OneofDescriptor& verbs = *v1::Verb::descriptor()->oneof_decl(0);
  for (int i = 0; i < verbs.field_count(); ++i) {
    v1::Verb verb;
    verb.GetReflection()->MutableMessage(&verb, verbs.field(i));
    if (verb.has_install_packages()) verb.mutable_install_packages()->add_install("wget");
    if (verb.has_load_image()) verb.mutable_load_image()->add_sources()->set_registry("r");
    EXPECT_FALSE(ApplyCommands(verb, {}).empty()) << verbs.field(i)->name();
  }
}

TEST(CommandsTest, WhatIsStartedCanBeStopped) {
  const DeploymentPlan plan = PlanOf(Reference(), 1);
  for (const core::TaskPlan& task : plan.graph.tasks)
    EXPECT_EQ(StopCommands(plan.verbs.at(task.id)).empty(), !task.running) << task.id;
}

TEST(CommandsTest, SecretsAreMasked) {
  v1::Deployment deployment = Reference();
  v1::DeploymentSpec& spec = *deployment.mutable_spec();
  (*spec.mutable_container()->mutable_environment())["HF_TOKEN"] = "hunter2";
  (*spec.mutable_ray()->mutable_environment())["MY_PASSWORD"] = "hunter2";
  (*spec.mutable_engine()->mutable_environment())["VLLM_API_KEY"] = "hunter2";
  for (auto* environment :
       {spec.mutable_container()->mutable_environment(), spec.mutable_ray()->mutable_environment(),
        spec.mutable_engine()->mutable_environment()}) {
    (*environment)["HTTPS_PROXY"] = "http://me:hunter2@proxy:3128";
  }
  for (const char* argument : {"--api-key", "hunter2", "--max-log-len", "7", "--token=hunter2"})
    spec.mutable_engine()->add_extra_args(argument);
  spec.mutable_ray()->add_head_extra_args("--storage=https://me:hunter2@store/x");
  spec.mutable_runtime()->mutable_installer()->set_url("https://me:hunter2@example.org/r.run");
  spec.mutable_model()->mutable_sources(1)->mutable_hugging_face()->set_token_file("/root/token");
  spec.mutable_driver()->mutable_firmware()->set_url(
      "https://b.obs.example/f.run?AccessKeyId=me&Signature=hunter2");
  const DeploymentPlan plan = PlanOf(deployment, 1);
  for (const auto& [task, verb] : plan.verbs)
    EXPECT_THAT(ApplyCommands(verb, {}), Each(Not(HasSubstr("hunter2")))) << task;
  EXPECT_THAT(Of(deployment, "serve@node-a"),
              Contains("--api-key ******** --max-log-len 7 --token=********"));
  for (const char* task : {"container@node-a", "ray-head@node-a", "ray-worker@node-b"}) {
    EXPECT_THAT(Of(deployment, task),
                Contains(HasSubstr("HTTPS_PROXY='http://********@proxy:3128'")));
  }
  EXPECT_THAT(Of(deployment, "ray-head@node-a"),
              Contains(HasSubstr("'--storage=https://********@store/x'")));
  EXPECT_THAT(Of(deployment, "installers@node-a"),
              IsSupersetOf({"wget 'https://********@example.org/r.run'",
                            "wget 'https://b.obs.example/f.run?…'"}));
  EXPECT_THAT(Of(deployment, "model@node-a"),
              Contains(HasSubstr("--token \"$(cat /root/token)\"")));
}

TEST(ShellLineTest, QuotesWhatTheShellWouldRead) {
  EXPECT_EQ(Quoted("/data2/a-b_c.run"), "/data2/a-b_c.run");
  EXPECT_EQ(Quoted("it's $HOME"), "'it'\\''s $HOME'");
  EXPECT_EQ(Quoted(""), "''");
  EXPECT_EQ(Assignment("TOKENIZER_MODE", "auto"), "TOKENIZER_MODE=auto");
  EXPECT_EQ(ShellLine({"--max-tokens", "16"}), "--max-tokens 16");
}

TEST(ShellLineTest, MasksThePasswordOfAProxyAndOfAUrl) {
  EXPECT_EQ(Assignment("https_proxy", "http://me:hunter2@proxy:3128"),
            "https_proxy='http://********@proxy:3128'");
  EXPECT_EQ(Assignment("HTTP_PROXY", "me:hunter2@proxy:3128"), "HTTP_PROXY='********@proxy:3128'");
  EXPECT_EQ(Assignment("HTTP_PROXY", "http://proxy:3128"), "HTTP_PROXY=http://proxy:3128");
  EXPECT_EQ(Assignment("NO_PROXY", "localhost,192.168.0.0/16"),
            "NO_PROXY=localhost,192.168.0.0/16");
  EXPECT_EQ(ShellLine({"--download-dir", "https://me:hunter2@store/x"}),
            "--download-dir 'https://********@store/x'");
}

}  // namespace
}  // namespace npufleet::stages
