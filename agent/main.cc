// SPDX-License-Identifier: Apache-2.0
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <memory>
#include <string>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "agent/host/host.h"
#include "agent/npu/dcmi_child.h"
#include "agent/npu/inventory.h"
#include "agent/operations/supervisor.h"
#include "agent/service/config.h"
#include "agent/service/join.h"
#include "agent/service/program.h"
#include "common/tls/identity.h"
#include "google/protobuf/util/json_util.h"
#include "nlohmann/json.hpp"

namespace {

using npufleet::service::Config;
using npufleet::service::JoinOptions;

int Report(const absl::Status& status) {
  if (status.ok()) return 0;
  std::cerr << "npufleet-agent: " << status.message() << "\n";
  return status.code() == absl::StatusCode::kInvalidArgument ? 2 : 1;
}

constexpr char kDefaultConfig[] = "/etc/npufleet/agent.yaml";

struct ServeFlags {
  std::string config_file = kDefaultConfig;
  Config flags;  // what was given wins over the file
  bool insecure_loopback = false;
};

struct InventoryFlags {
  std::string output = "table";
  std::string npu_smi_output;
  npufleet::host::HostOptions host;
};

void AddServe(CLI::App& app, ServeFlags& serve, std::map<std::string, CLI::Option*>& given) {
  CLI::App* command = app.add_subcommand("serve", "Run the agent of this node (root, by systemd).");
  command
      ->add_option("--config", serve.config_file,
                   "YAML file with the keys below; the default one may be missing")
      ->capture_default_str();
  const auto add = [&](const std::string& key, std::string& value, const std::string& what) {
    const std::string dashed = absl::StrReplaceAll(key, {{"_", "-"}});
    const std::string names =
        dashed == key ? absl::StrCat("--", key) : absl::StrCat("--", dashed, ",--", key);
    given[key] = command->add_option(names, value, what);
  };
  add("name", serve.flags.name, "name of this node (default: the one in its certificate)");
  add("listen", serve.flags.listen, "HOST:PORT (default 0.0.0.0:7602)");
  add("state_directory", serve.flags.state_directory,
      "journal and steps (default /var/lib/npufleet/agent)");
  add("identity_directory", serve.flags.identity_directory,
      "ca.pem, cert.pem and key.pem (default /etc/npufleet/agent)");
  add("log_level", serve.flags.log_level, "how much is logged (default info)");
  given["log_level"]->check(CLI::IsMember({"debug", "info", "warning", "error"}));
  add("root", serve.flags.host.root, "prefix of every path, for demonstrations");
  add("docker_socket", serve.flags.host.docker_socket, "under the root, for demonstrations");
  given["path"] = command->add_option("--path", serve.flags.host.path,
                                      "where programs are searched, for demonstrations");
  command->add_flag("--insecure-loopback", serve.insecure_loopback,
                    "no TLS; listens on 127.0.0.1 only");
  command->footer(
      "Examples:\n"
      "  npufleet-agent serve\n"
      "  npufleet-agent serve --insecure-loopback --listen 127.0.0.1:7602 --log-level debug");
}

int Serve(const ServeFlags& serve, const std::map<std::string, CLI::Option*>& given,
          const std::string& version) {
  Config config;
  absl::StatusOr<std::string> text = npufleet::tls::ReadWholeFile(serve.config_file);
  const bool default_is_missing =
      text.status().code() == absl::StatusCode::kNotFound && serve.config_file == kDefaultConfig;
  if (!default_is_missing) {
    if (!text.ok()) return Report(text.status());
    absl::Status read = npufleet::service::ReadConfig(*text, serve.config_file, config);
    if (!read.ok()) return Report(read);
  }
  const Config& flags = serve.flags;
  const auto take = [&](const char* key, auto& to, const auto& from) {
    if (given.at(key)->count() > 0) to = from;
  };
  take("name", config.name, flags.name);
  take("listen", config.listen, flags.listen);
  take("state_directory", config.state_directory, flags.state_directory);
  take("identity_directory", config.identity_directory, flags.identity_directory);
  take("log_level", config.log_level, flags.log_level);
  take("root", config.host.root, flags.host.root);
  take("docker_socket", config.host.docker_socket, flags.host.docker_socket);
  take("path", config.host.path, flags.host.path);
  return npufleet::service::ServeUntilStopped(config, serve.insecure_loopback, version);
}

void AddJoin(CLI::App& app, JoinOptions& join) {
  CLI::App* command = app.add_subcommand("join", "Get this node its certificate, with a token.");
  command->add_option("--controller", join.controller, "https://HOST:7601")->required();
  command->add_option("--token", join.token, "from `npufleet-controller token create`")->required();
  command->add_option("--name", join.name, "name of this node (default: the token's)");
  command
      ->add_option("--address", join.address, "HOST:PORT where the controller reaches this agent")
      ->required();
  command->add_option("--ca-file", join.ca_file, "the controller's CA, when it is here already")
      ->check(CLI::ExistingFile);
  command
      ->add_option("--identity-directory,--identity_directory", join.identity_directory,
                   "where ca.pem, cert.pem and key.pem go")
      ->capture_default_str();
  command->footer(
      "Example:\n"
      "  npufleet-agent join --controller https://192.168.0.15:7601 --token npufleet.node-a.… "
      "--address 192.168.0.16:7602");
}

void AddInventory(CLI::App& app, InventoryFlags& inventory) {
  CLI::App* command = app.add_subcommand("inventory", "Show the NPUs of this node.");
  command->add_option("-o,--output", inventory.output, "table or json")
      ->check(CLI::IsMember({"table", "json"}));
  command
      ->add_option("--npu-smi-output", inventory.npu_smi_output,
                   "show what is read out of a pasted output of npu-smi info; - is stdin")
      ->check([](const std::string& path) {
        return path == "-" ? std::string() : CLI::ExistingFile(path);
      });
  command->add_option("--root", inventory.host.root, "prefix of every path, for demonstrations");
  command->add_option("--path", inventory.host.path, "where programs are searched");
  command->footer(
      "Examples:\n"
      "  npufleet-agent inventory -o json\n"
      "  ssh 192.168.0.16 npu-smi info | npufleet-agent inventory --npu-smi-output -");
}

int Join(const JoinOptions& join) {
  const absl::Status joined = npufleet::service::Join(*npufleet::host::MakeHost({}), join);
  if (!joined.ok()) return Report(joined);
  const absl::StatusOr<std::string> name = npufleet::service::JoinedName(join.identity_directory);
  if (!name.ok()) return Report(name.status());
  std::cout << "joined as " << *name
            << "; next: systemctl enable npufleet-agent && systemctl restart npufleet-agent\n";
  return 0;
}

std::string ReadPasted(const std::string& path) {
  std::ifstream file;
  if (path != "-") file.open(path, std::ios::binary);
  std::istream& in = path == "-" ? std::cin : file;
  return std::string(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
}

// As the REST view writes it, zeros too, but for what is not known of a chip: that is absent.
absl::StatusOr<std::string> JsonOf(const npufleet::v1::Inventory& inventory) {
  google::protobuf::util::JsonPrintOptions print;
  print.always_print_primitive_fields = true;
  std::string text;
  const auto printed = google::protobuf::util::MessageToJsonString(inventory, &text, print);
  if (!printed.ok()) return absl::InternalError(printed.ToString());
  auto body = nlohmann::ordered_json::parse(text, nullptr, /*allow_exceptions=*/false);
  for (auto& chip : body["chips"]) {
    for (const char* reading : {"name", "health", "busId"}) {
      if (chip[reading] == "" || chip[reading] == "HEALTH_UNKNOWN") chip.erase(reading);
    }
  }
  return body.dump(2);
}

int ShowInventory(const InventoryFlags& flags) {
  npufleet::v1::Inventory inventory;
  if (!flags.npu_smi_output.empty()) {
    inventory = npufleet::npu::InventoryFromText(ReadPasted(flags.npu_smi_output));
    // JSON has the warnings in it.
    if (flags.output == "table" && inventory.chips().empty() &&
        inventory.driver_version().empty() && inventory.tool_version().empty()) {
      return Report(absl::NotFoundError(
          absl::StrCat(flags.npu_smi_output == "-" ? "stdin" : flags.npu_smi_output, ": ",
                       absl::StrJoin(inventory.warnings(), "; "))));
    }
  } else {
    inventory = npufleet::npu::ReadInventory(*npufleet::host::MakeHost(flags.host));
  }
  if (flags.output == "table") {
    std::cout << npufleet::npu::RenderInventoryTable(inventory);
    return 0;
  }
  const absl::StatusOr<std::string> json = JsonOf(inventory);
  if (!json.ok()) return Report(json.status());
  std::cout << *json << "\n";
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string version = NPUFLEET_VERSION " (" NPUFLEET_COMMIT ")";
  CLI::App app("npufleet-agent: what runs on each node of the fleet", "npufleet-agent");
  app.require_subcommand(1);
  app.set_version_flag("--version", "npufleet-agent " + version);
  ServeFlags serve;
  JoinOptions join;
  InventoryFlags inventory;
  std::string step_folder;
  std::string dcmi_root;
  std::map<std::string, CLI::Option*> given;
  AddServe(app, serve, given);
  AddJoin(app, join);
  AddInventory(app, inventory);
  app.add_subcommand("supervise", "")->group("")->add_option("folder", step_folder)->required();
  app.add_subcommand("read-dcmi", "")->group("")->add_option("root", dcmi_root)->required();
  app.add_subcommand("version", "Print the version.");
  // Last, as each command would take it over.
  app.footer(
      "Examples:\n"
      "  npufleet-agent join --controller https://192.168.0.15:7601 --token npufleet.node-a.… "
      "--address 192.168.0.16:7602\n"
      "  npufleet-agent inventory");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (app.got_subcommand("serve")) return Serve(serve, given, version);
  if (app.got_subcommand("join")) return Join(join);
  if (app.got_subcommand("inventory")) return ShowInventory(inventory);
  if (app.got_subcommand("read-dcmi")) return npufleet::npu::ReadDcmiForParent(dcmi_root);
  if (app.got_subcommand("supervise")) return npufleet::operations::Supervise(step_folder);
  std::cout << "npufleet-agent " << version << "\n";
  return 0;
}
