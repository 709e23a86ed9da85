// SPDX-License-Identifier: Apache-2.0
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <memory>
#include <string>

#include "CLI/CLI.hpp"
#include "agent/host/host.h"
#include "agent/npu/dcmi_child.h"
#include "agent/npu/inventory.h"
#include "agent/operations/supervisor.h"
#include "agent/service/config.h"
#include "agent/service/join.h"
#include "agent/service/program.h"
#include "common/tls/identity.h"
#include "google/protobuf/util/json_util.h"

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
    given[key] = command->add_option("--" + key, value, what);
  };
  add("name", serve.flags.name, "name of this node (default: its host name)");
  add("address", serve.flags.address, "where others reach this node");
  add("listen", serve.flags.listen, "HOST:PORT (default 0.0.0.0:7602)");
  add("state_directory", serve.flags.state_directory, "journal and steps");
  add("identity_directory", serve.flags.identity_directory, "ca.pem, cert.pem and key.pem");
  add("log_level", serve.flags.log_level, "debug, info, warning or error");
  add("root", serve.flags.host.root, "prefix of every path, for demonstrations");
  add("docker_socket", serve.flags.host.docker_socket, "under the root, for demonstrations");
  given["path"] = command->add_option("--path", serve.flags.host.path,
                                      "where programs are searched, for demonstrations");
  command->add_flag("--insecure-loopback", serve.insecure_loopback,
                    "no TLS; listens on 127.0.0.1 only");
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
  take("address", config.address, flags.address);
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
}

void AddInventory(CLI::App& app, InventoryFlags& inventory) {
  CLI::App* command = app.add_subcommand("inventory", "Show the NPUs of this node.");
  command->add_option("-o,--output", inventory.output, "table or json")
      ->check(CLI::IsMember({"table", "json"}));
  command
      ->add_option("--npu-smi-output", inventory.npu_smi_output,
                   "show what is read out of a pasted output of npu-smi info")
      ->check(CLI::ExistingFile);
  command->add_option("--root", inventory.host.root, "prefix of every path, for demonstrations");
  command->add_option("--path", inventory.host.path, "where programs are searched");
}

int ShowInventory(const InventoryFlags& flags) {
  npufleet::v1::Inventory inventory;
  if (!flags.npu_smi_output.empty()) {
    std::ifstream file(flags.npu_smi_output, std::ios::binary);
    inventory = npufleet::npu::InventoryFromText(
        std::string(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()));
  } else {
    inventory = npufleet::npu::ReadInventory(*npufleet::host::MakeHost(flags.host));
  }
  if (flags.output == "table") {
    std::cout << npufleet::npu::RenderInventoryTable(inventory);
    return 0;
  }
  google::protobuf::util::JsonPrintOptions print;
  print.add_whitespace = true;
  std::string json;
  auto printed = google::protobuf::util::MessageToJsonString(inventory, &json, print);
  std::cout << json << "\n";
  return printed.ok() ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string version = NPUFLEET_VERSION " (" NPUFLEET_COMMIT ")";
  CLI::App app("npufleet-agent: what runs on each node of the fleet", "npufleet-agent");
  app.require_subcommand(1);
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
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (app.got_subcommand("serve")) return Serve(serve, given, version);
  if (app.got_subcommand("join")) {
    return Report(npufleet::service::Join(*npufleet::host::MakeHost({}), join));
  }
  if (app.got_subcommand("inventory")) return ShowInventory(inventory);
  if (app.got_subcommand("read-dcmi")) return npufleet::npu::ReadDcmiForParent(dcmi_root);
  if (app.got_subcommand("supervise")) return npufleet::operations::Supervise(step_folder);
  std::cout << "npufleet-agent " << version << "\n";
  return 0;
}
