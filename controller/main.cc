// SPDX-License-Identifier: Apache-2.0
//
// npufleet-controller: command lines only; what they do is in controller/api.
#include <CLI/CLI.hpp>
#include <iostream>

#include "absl/time/time.h"
#include "controller/api/config.h"
#include "controller/api/program.h"
#include "controller/api/serve.h"

namespace {

using npufleet::api::Config;

constexpr char kDefaultConfig[] = "/etc/npufleet/controller.yaml";

// The keys of controller.yaml that a command uses, as flags of the same name; a flag goes before
// the file.
struct Flags {
  std::string config_file = kDefaultConfig;
  Config values;
  std::vector<std::pair<CLI::Option*, std::string Config::*>> options;

  void AddFile(CLI::App* command) {
    command->add_option("--config", config_file, "the controller's configuration")
        ->capture_default_str();
  }
  void AddStore(CLI::App* command) {
    Add(command, "--state-directory,--state_directory", &Config::state_directory,
        "store and CA (default /var/lib/npufleet/controller)");
  }
  void AddAddress(CLI::App* command) {
    Add(command, "--address", &Config::address, "HOST[,HOST…] where others reach the controller");
    Add(command, "--listen", &Config::listen, "HOST:PORT of gRPC (default 0.0.0.0:7600)");
  }
  void AddServing(CLI::App* command) {
    AddAddress(command);
    Add(command, "--rest-listen,--rest_listen", &Config::rest_listen,
        "HOST:PORT of HTTPS (default 0.0.0.0:7601)");
    AddStore(command);
    Add(command, "--log-level,--log_level", &Config::log_level, "how much is logged (default info)")
        ->check(CLI::IsMember({"debug", "info", "warning", "error"}));
  }

  absl::StatusOr<Config> Read() const {
    absl::StatusOr<Config> config = npufleet::api::ReadConfig(config_file);
    const bool default_is_missing =
        absl::IsNotFound(config.status()) && config_file == kDefaultConfig;
    if (default_is_missing) config = Config();
    if (config.ok()) Override(*config);
    return config;
  }
  void Override(Config& config) const {
    for (const auto& [option, field] : options) {
      if (option->count() > 0) config.*field = values.*field;
    }
  }

 private:
  CLI::Option* Add(CLI::App* command, const std::string& name, std::string Config::*field,
                   const std::string& help) {
    options.emplace_back(command->add_option(name, values.*field, help), field);
    return options.back().first;
  }
};

int Report(const absl::Status& status) {
  if (status.ok()) return 0;
  std::cerr << "npufleet-controller: " << status.message() << "\n";
  return absl::IsInvalidArgument(status) ? 2 : 1;
}

template <typename Action>
int WithConfig(const Flags& flags, Action action) {
  const absl::StatusOr<Config> config = flags.Read();
  return Report(config.ok() ? action(*config) : config.status());
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("The controller of a fleet of servers with Ascend NPUs.", "npufleet-controller");
  app.require_subcommand(1);
  const std::string version_line = "npufleet-controller " NPUFLEET_VERSION " (" NPUFLEET_COMMIT ")";
  app.set_version_flag("--version", version_line);

  CLI::App* init = app.add_subcommand("init", "make a new fleet: CA, store, admin's identity");
  Flags init_flags;
  init_flags.AddServing(init);
  std::string config_directory = "/etc/npufleet";
  init->add_option("--config-directory", config_directory,
                   "where controller.yaml and ctl/ (the admin's identity) go")
      ->capture_default_str();
  init->footer("Example:\n  npufleet-controller init --address 192.168.0.15");

  CLI::App* serve = app.add_subcommand("serve", "run the controller");
  Flags serve_flags;
  serve_flags.AddFile(serve);
  serve_flags.AddServing(serve);
  npufleet::api::ServeOptions serve_options;
  serve->add_flag("--insecure-loopback", serve_options.insecure_loopback,
                  "the REST view over plain HTTP on 127.0.0.1, without joining");
  serve->footer(
      "Examples:\n"
      "  npufleet-controller serve\n"
      "  npufleet-controller serve --log-level debug");

  CLI::App* token = app.add_subcommand("token", "join tokens");
  token->require_subcommand(1);
  CLI::App* token_create = token->add_subcommand("create", "print a token for one node to join");
  Flags token_flags;
  token_flags.AddFile(token_create);
  token_flags.AddStore(token_create);
  std::string node;
  std::string valid_for = "1h";
  token_create->add_option("--node", node, "the name that the node gets")->required();
  token_create->add_option("--valid-for", valid_for, "such as 30m or 24h")->capture_default_str();
  token_create->footer(
      "Example:\n  npufleet-controller token create --node node-a --valid-for 24h");

  CLI::App* identity = app.add_subcommand("identity", "certificates for people and scripts");
  identity->require_subcommand(1);
  CLI::App* identity_create =
      identity->add_subcommand("create", "make one, with ctl's config.yaml");
  Flags identity_flags;
  identity_flags.AddFile(identity_create);
  identity_flags.AddAddress(identity_create);  // ctl's config.yaml names it
  identity_flags.AddStore(identity_create);
  npufleet::api::IdentityRequest request;
  identity_create->add_option("--role", request.role, "viewer, operator or admin")->required();
  identity_create->add_option("--name", request.name, "of the holder, for the audit")->required();
  identity_create->add_option("--out", request.directory, "folder to write to")->required();
  identity_create->add_flag("--bearer", request.bearer, "also a token for the REST view");
  identity_create->footer(
      "Example:\n"
      "  npufleet-controller identity create --role operator --name zhang --out ./zhang");

  CLI::App* nodes = app.add_subcommand("node", "nodes of the fleet");
  nodes->require_subcommand(1);
  CLI::App* node_list = nodes->add_subcommand("list", "those that have joined");
  Flags node_flags;
  node_flags.AddFile(node_list);
  node_flags.AddStore(node_list);
  node_list->footer("Example:\n  npufleet-controller node list");

  CLI::App* restore = app.add_subcommand(
      "restore", "take a backup as the store, under a new epoch; the controller must be stopped");
  Flags restore_flags;
  restore_flags.AddFile(restore);
  restore_flags.AddStore(restore);
  std::string backup;
  restore->add_option("BACKUP", backup, "a copy of npufleet.db")->required();
  restore->footer(
      "Example:\n"
      "  systemctl stop npufleet-controller; npufleet-controller restore /backup/npufleet.db");

  CLI::App* version = app.add_subcommand("version", "print the version");
  // Last, as each command would take it over.
  app.footer(
      "Examples:\n"
      "  npufleet-controller init --address 192.168.0.15\n"
      "  npufleet-controller token create --node node-a");

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }

  if (*version) {
    std::cout << version_line << "\n";
    return 0;
  }
  if (*init) {
    Config config;
    init_flags.Override(config);
    return Report(npufleet::api::Init(config, config_directory, std::cout));
  }
  if (*serve) {
    return WithConfig(serve_flags, [&](const Config& config) {
      serve_options.config = config;
      serve_options.version = NPUFLEET_VERSION;
      serve_options.commit = NPUFLEET_COMMIT;
      return npufleet::api::Serve(serve_options);
    });
  }
  if (*restore) {
    return WithConfig(restore_flags, [&](const Config& config) {
      return npufleet::api::Restore(config, backup, std::cout);
    });
  }
  if (*token_create) {
    absl::Duration duration;
    if (!absl::ParseDuration(valid_for, &duration)) {
      return Report(absl::InvalidArgumentError("--valid-for \"" + valid_for +
                                               "\" is not a time such as 30m or 24h"));
    }
    return WithConfig(token_flags, [&](const Config& config) {
      return npufleet::api::CreateToken(config, node, duration, std::cout);
    });
  }
  if (*identity_create) {
    return WithConfig(identity_flags, [&](const Config& config) {
      return npufleet::api::CreateIdentity(config, request, std::cout);
    });
  }
  return WithConfig(node_flags, [&](const Config& config) {
    return npufleet::api::ListNodes(config, std::cout);
  });
}
