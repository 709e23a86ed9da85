// SPDX-License-Identifier: Apache-2.0
#include "controller/stages/commands.h"

#include <map>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "common/shown_url.h"
#include "controller/stages/container_commands.h"
#include "controller/stages/shell_line.h"

namespace npufleet::stages {
namespace {

using Lines = std::vector<std::string>;

void Append(Lines& lines, Lines more) {
  for (std::string& line : more) lines.push_back(std::move(line));
}

bool HasApt(const Circumstances& circumstances) {
  return absl::StartsWith(circumstances.os, "ubuntu") ||
         absl::StartsWith(circumstances.os, "debian");
}

std::string FolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos || slash == 0 ? "/" : path.substr(0, slash);
}

// The last part of a path or URL, without a query.
std::string FileOf(const std::string& path) {
  const std::string plain = path.substr(0, path.find_first_of("?#"));
  return absl::StrReplaceAll(plain.substr(plain.rfind('/') + 1), {{"%20", " "}});
}

// The artifact in the present folder, checked.
Lines Fetch(const v1::Artifact& artifact) {
  const std::string file = FileOf(artifact.url());
  Lines lines;
  if (absl::StartsWith(artifact.url(), "/")) {
    lines.push_back(absl::StrCat("cp ", Quoted(artifact.url()), " ."));
  } else {
    lines.push_back(absl::StrCat("wget ", Quoted(MaskedUrl(artifact.url()))));
  }
  if (!artifact.sha256().empty()) {
    lines.push_back(absl::StrCat("echo ", Quoted(absl::StrCat(artifact.sha256(), "  ", file)),
                                 " | sha256sum -c"));
  }
  return lines;
}

Lines Into(const std::string& folder) {
  return {absl::StrCat("mkdir -p ", Quoted(folder)), absl::StrCat("cd ", Quoted(folder))};
}

Lines CheckHost(const v1::CheckHost& check) {
  Lines lines = {"cat /etc/os-release"};
  if (!check.architecture().empty())
    lines.push_back(absl::StrCat("uname -m                       # ", check.architecture()));
  lines.push_back(
      absl::StrCat("ip -4 address show dev ", Quoted(check.nic()), "   # has ", check.address()));
  // A map of the wire has no order of its own.
  for (const auto& [path, gib] :
       std::map<std::string, uint64_t>(check.min_free_gib().begin(), check.min_free_gib().end())) {
    lines.push_back(
        absl::StrCat("df -BG --output=avail ", Quoted(path), "   # at least ", gib, "G"));
  }
  for (const uint32_t port : check.free_ports()) {
    lines.push_back(absl::StrCat("ss -ltnp 'sport = :", port, "'   # nobody",
                                 check.own_containers().empty() ? "" : " but our own container"));
  }
  return lines;
}

Lines InstallPackages(const v1::InstallPackages& install, const Circumstances& circumstances) {
  if (HasApt(circumstances)) {
    if (install.skip_on_apt()) return {};
    Lines lines = {"apt-get update"};
    if (install.update()) lines.push_back("apt-get upgrade -y");
    if (install.install_size() > 0)
      lines.push_back(absl::StrCat("apt-get install -y ", absl::StrJoin(install.install(), " ")));
    return lines;
  }
  Lines lines;
  if (install.update()) lines.push_back("yum update -y");
  if (install.install_size() > 0)
    lines.push_back(absl::StrCat("yum install ", absl::StrJoin(install.install(), " "), " -y"));
  return lines;
}

Lines RunInstaller(const v1::Artifact& artifact, const std::string& arguments) {
  const std::string file = FileOf(artifact.url());
  return {absl::StrCat("chmod +x ", Quoted(file)),
          absl::StrCat("./", Quoted(file), " ", arguments)};
}

// What the three installs need, each file where the runbook has it.
Lines FetchInstallers(const v1::FetchInstallers& fetch, const Circumstances& circumstances) {
  const std::set<std::string> missing =
      absl::StrSplit(circumstances.missing, '\n', absl::SkipEmpty());
  const auto lines_of = [&missing](const v1::Artifact& artifact) {
    const bool is_here = !missing.empty() && missing.count(ShownUrl(artifact.url())) == 0;
    return is_here || artifact.url().empty() ? Lines{} : Fetch(artifact);
  };
  Lines drivers;
  for (const v1::Artifact& artifact :
       {fetch.driver().driver(), fetch.driver().firmware(), fetch.runtime().installer()}) {
    Append(drivers, lines_of(artifact));
  }
  const Lines docker = lines_of(fetch.docker().docker().binary().archive());
  Lines lines;
  if (!drivers.empty()) Append(lines, Into("/data/drivers"));
  Append(lines, drivers);
  if (!docker.empty()) lines.push_back("cd ~");
  Append(lines, docker);
  if (lines.empty()) lines.push_back("# the installs name no file");
  return lines;
}

Lines InstallDriver(const v1::InstallDriver& install, const Circumstances& circumstances) {
  Lines lines = {"npu-smi info"};
  // "25.0.rc1/7.7", or "25.0.rc1/-" without firmware.
  const std::string& standing = circumstances.standing;
  const std::string driver = standing.substr(0, standing.find('/'));
  const std::string firmware =
      absl::StrContains(standing, '/') ? standing.substr(standing.find('/') + 1) : "";
  const bool upgrade = !driver.empty();
  Lines driver_lines, firmware_lines;
  if (driver != install.version()) {
    std::string arguments = upgrade ? "--upgrade --quiet" : "--full --quiet";
    if (!upgrade && !install.install_path().empty() &&
        install.install_path() != "/usr/local/Ascend") {
      absl::StrAppend(&arguments, " --install-path=", Quoted(install.install_path()));
    }
    if (!upgrade && install.install_for_all()) absl::StrAppend(&arguments, " --install-for-all");
    driver_lines = RunInstaller(install.driver(), arguments);
  }
  if (!install.firmware().url().empty() && firmware != install.firmware_version()) {
    firmware_lines = RunInstaller(install.firmware(), "--full --quiet");
  }
  Append(lines, Into("/data/drivers"));
  if (!upgrade) {
    lines.push_back("groupadd HwHiAiUser");
    lines.push_back("useradd -g HwHiAiUser -d /home/HwHiAiUser -m HwHiAiUser -s /bin/bash");
  }
  // The maker's order: the driver first on a bare node, the firmware first on an upgrade.
  Append(lines, upgrade ? firmware_lines : driver_lines);
  Append(lines, upgrade ? driver_lines : firmware_lines);
  return lines;
}

Lines CheckFabric(const v1::CheckFabric& check) {
  if (check.peers_size() > 0) {
    Lines lines;
    for (const v1::CheckFabric::Peer& peer : check.peers()) {
      lines.push_back(absl::StrCat("# the address of chip i on ", peer.node(),
                                   ": hccn_tool -i $i -ip -g there"));
      lines.push_back(absl::StrCat("for i in ", absl::StrJoin(check.chips(), " "),
                                   "; do hccn_tool -i $i -ping -g address $CHIP_ADDRESS; done"));
    }
    return lines;
  }
  return {absl::StrCat(
      "for i in ", absl::StrJoin(check.chips(), " "),
      "; do hccn_tool -i $i -ip -g; hccn_tool -i $i -tls -g; hccn_tool -i $i -link -g", "; done")};
}

// A package of Docker as the package manager takes it.
std::string DockerPackage(const std::string& name, const std::string& version, bool apt) {
  // containerd.io has versions of its own.
  if (version.empty() || !absl::StartsWith(name, "docker")) return name;
  if (!apt) return absl::StrCat(name, "-", version);
  if (absl::StrContains(version, ':')) return Quoted(absl::StrCat(name, "=", version));
  // apt takes only the whole version, with Docker's epoch in front and a revision behind.
  const char* epoch = absl::StartsWith(name, "docker-ce") ? "5:" : "";
  return Quoted(absl::StrCat(name, "=", epoch, version, "*"));
}

Lines InstallDocker(const v1::Docker& docker, const Circumstances& circumstances) {
  if (docker.has_packages()) {
    const bool apt = HasApt(circumstances);
    Lines names;
    for (const std::string& name : docker.packages().names())
      names.push_back(DockerPackage(name, docker.packages().version(), apt));
    return {
        absl::StrCat(apt ? "apt-get install -y " : "yum install -y ", absl::StrJoin(names, " ")),
        "systemctl enable --now docker", "docker version"};
  }
  const std::string file = FileOf(docker.binary().archive().url());
  Lines lines = {"cd ~"};
  Append(lines, {absl::StrCat("tar zxf ", Quoted(file)),
                 "mv docker/* /usr/bin",
                 "cat > /usr/lib/systemd/system/docker.service << 'EOF'",
                 "[Unit]",
                 "Description=Docker Application Container Engine",
                 "Documentation=https://docs.docker.com",
                 "After=network-online.target firewalld.service",
                 "Wants=network-online.target",
                 "[Service]",
                 "Type=notify",
                 "ExecStart=/usr/bin/dockerd",
                 "ExecReload=/bin/kill -s HUP $MAINPID",
                 "LimitNOFILE=infinity",
                 "LimitNPROC=infinity",
                 "TimeoutStartSec=0",
                 "Delegate=yes",
                 "KillMode=process",
                 "Restart=on-failure",
                 "StartLimitBurst=3",
                 "StartLimitInterval=60s",
                 "[Install]",
                 "WantedBy=multi-user.target",
                 "EOF",
                 "systemctl daemon-reload",
                 "systemctl start docker",
                 "systemctl enable docker",
                 "docker version"});
  return lines;
}

Lines InstallRuntime(const v1::InstallRuntime& install) {
  Lines lines = Into("/data/drivers");
  Append(lines, RunInstaller(install.installer(), "--install"));
  lines.push_back("systemctl daemon-reload && systemctl restart docker");
  return lines;
}

Lines InstallObsutil(const v1::InstallObsutil& install) {
  Lines lines = Into("/data/drivers");
  Append(lines, Fetch(install.archive()));
  Append(lines, {absl::StrCat("tar -zxvf ", Quoted(FileOf(install.archive().url()))),
                 "chmod +x obsutil_*/obsutil", "mv obsutil_*/obsutil /usr/local/bin/obsutil"});
  return lines;
}

// The keys come from the file on the node: typed, they would stay in the shell's history.
Lines CopyFromObs(const v1::ObsAccess& access, const std::string& copy) {
  // Of a spec without obsutil, whose notes say that this source is skipped.
  if (access.endpoint().empty()) return {copy};
  return {absl::StrCat(". ", Quoted(access.credentials_file()),
                       "   # ak=… and sk=…; npufleet hands them over in a 0600 file, in no argv"),
          absl::StrCat("obsutil config -i=\"$ak\" -k=\"$sk\" -e=", Quoted(access.endpoint())),
          copy};
}

// docker reads the logins of a folder's config.json, which the operator's file may not be named.
Lines Pull(const std::string& reference, const std::string& credentials_file) {
  if (credentials_file.empty()) return {absl::StrCat("docker pull ", Quoted(reference))};
  if (FileOf(credentials_file) == "config.json") {
    return {absl::StrCat("docker --config ", Quoted(FolderOf(credentials_file)), " pull ",
                         Quoted(reference))};
  }
  return {"logins=$(mktemp -d)",
          absl::StrCat("ln -s ", Quoted(credentials_file), " \"$logins/config.json\""),
          absl::StrCat("docker --config \"$logins\" pull ", Quoted(reference)),
          "rm -r \"$logins\""};
}

Lines LoadImage(const v1::LoadImage& load) {
  Lines lines;
  if (load.sources_size() > 1)
    lines.push_back(
        absl::StrCat("# the first of these ", load.sources_size(), " sources that works:"));
  for (int i = 0; i < load.sources_size(); ++i) {
    const v1::Image::Source& source = load.sources(i);
    if (i > 0) lines.push_back("# or");
    if (source.has_registry()) {
      Append(lines, Pull(source.registry(), load.credentials_file()));
      if (source.registry() != load.name())
        lines.push_back(
            absl::StrCat("docker tag ", Quoted(source.registry()), " ", Quoted(load.name())));
      continue;
    }
    Append(lines, Into("/data/docker_images"));
    const std::string file = FileOf(source.has_archive() ? source.archive().url() : source.obs());
    if (source.has_archive()) {
      Append(lines, Fetch(source.archive()));
    } else {
      Append(lines, CopyFromObs(load.obs(), absl::StrCat("obsutil cp ", Quoted(source.obs()), " ./",
                                                         Quoted(file))));
    }
    lines.push_back(absl::StrCat("docker load -i ", Quoted(file)));
  }
  lines.push_back(absl::StrCat("docker images ", Quoted(load.name())));
  return lines;
}

Lines FetchModel(const v1::FetchModel& fetch) {
  Lines lines = Into(FolderOf(fetch.path()));
  const std::string target = absl::StrCat("./", FileOf(fetch.path()));
  if (fetch.sources_size() > 1)
    lines.push_back(
        absl::StrCat("# the first of these ", fetch.sources_size(), " sources that works:"));
  for (int i = 0; i < fetch.sources_size(); ++i) {
    const v1::Model::Source& source = fetch.sources(i);
    if (i > 0) lines.push_back("# or");
    if (source.has_obs()) {
      Append(lines, CopyFromObs(fetch.obs(), absl::StrCat("obsutil cp ", Quoted(source.obs()), " ",
                                                          Quoted(target), "/ -f -r -flat")));
    } else if (source.has_modelers()) {
      const std::string endpoint = source.modelers().endpoint().empty()
                                       ? "https://modelers.cn"
                                       : MaskedUrl(source.modelers().endpoint());
      Append(lines,
             {"git lfs install",
              absl::StrCat("git clone ",
                           Quoted(absl::StrCat(endpoint, "/", source.modelers().id(), ".git")), " ",
                           Quoted(target))});
    } else if (source.has_local_directory()) {
      lines.push_back(absl::StrCat("ls -l ", Quoted(target)));
    } else {
      const bool modelscope = source.has_modelscope();
      const v1::Model::Hub& hub = modelscope ? source.modelscope() : source.hugging_face();
      lines.push_back(modelscope ? "pip install modelscope" : "pip install huggingface_hub");
      if (!hub.endpoint().empty())
        lines.push_back(absl::StrCat("export ", modelscope ? "MODELSCOPE_DOMAIN=" : "HF_ENDPOINT=",
                                     Quoted(MaskedUrl(hub.endpoint()))));
      std::string line = modelscope ? absl::StrCat("modelscope download --model ", Quoted(hub.id()),
                                                   " --local_dir ", Quoted(target))
                                    : absl::StrCat("hf download ", Quoted(hub.id()),
                                                   " --local-dir ", Quoted(target));
      // The hub's own branch needs no name.
      const char* branch = modelscope ? "master" : "main";
      if (!hub.revision().empty() && hub.revision() != branch)
        absl::StrAppend(&line, " --revision ", Quoted(hub.revision()));
      if (!hub.token_file().empty())
        absl::StrAppend(&line, " --token \"$(cat ", Quoted(hub.token_file()), ")\"");
      lines.push_back(line);
    }
  }
  return lines;
}

}  // namespace

std::vector<std::string> ApplyCommands(const v1::Verb& verb, const Circumstances& circumstances) {
  switch (verb.verb_case()) {
    case v1::Verb::kCheckHost:
      return CheckHost(verb.check_host());
    case v1::Verb::kInstallPackages:
      return InstallPackages(verb.install_packages(), circumstances);
    case v1::Verb::kInstallDriver:
      return InstallDriver(verb.install_driver(), circumstances);
    case v1::Verb::kCheckNpus:
      return {"npu-smi info"};
    case v1::Verb::kCheckFabric:
      return CheckFabric(verb.check_fabric());
    case v1::Verb::kInstallDocker:
      return InstallDocker(verb.install_docker().docker(), circumstances);
    case v1::Verb::kInstallRuntime:
      return InstallRuntime(verb.install_runtime());
    case v1::Verb::kInstallObsutil:
      return InstallObsutil(verb.install_obsutil());
    case v1::Verb::kFetchInstallers:
      return FetchInstallers(verb.fetch_installers(), circumstances);
    case v1::Verb::kLoadImage:
      return LoadImage(verb.load_image());
    case v1::Verb::kFetchModel:
      return FetchModel(verb.fetch_model());
    case v1::Verb::kRunContainer:
      return RunContainerCommands(verb.run_container(), circumstances.standing);
    case v1::Verb::kStartRayHead:
      return StartRayHeadCommands(verb.start_ray_head());
    case v1::Verb::kStartRayWorker:
      return StartRayWorkerCommands(verb.start_ray_worker());
    case v1::Verb::kStartEngine:
      return StartEngineCommands(verb.start_engine(), circumstances.image);
    case v1::Verb::kProbeEngine:
      return ProbeEngineCommands(verb.probe_engine());
    case v1::Verb::kRebootNode:
      return {"systemctl reboot"};
    default:
      return {};
  }
}

std::vector<std::string> StopCommands(const v1::Verb& verb) {
  const auto in_container = [](const std::string& container, const std::string& command) {
    return Lines{absl::StrCat("docker exec ", Quoted(container), " ", command)};
  };
  switch (verb.verb_case()) {
    case v1::Verb::kRunContainer:
      return {absl::StrCat("docker rm -f ", Quoted(verb.run_container().name()))};
    case v1::Verb::kStartRayHead:
      return in_container(verb.start_ray_head().container(), "ray stop --force");
    case v1::Verb::kStartRayWorker:
      return in_container(verb.start_ray_worker().container(), "ray stop --force");
    case v1::Verb::kStartEngine:
      return in_container(verb.start_engine().container(), "pkill -f 'vllm serve'");
    default:
      return {};
  }
}

}  // namespace npufleet::stages
