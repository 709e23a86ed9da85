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

// Every key of controller.yaml as a flag of the same name; a flag goes before the file.
struct Flags {
  std::string config_file = kDefaultConfig;
  Config values;
  std::vector<std::pair<CLI::Option*, std::string Config::*>> options;

  void AddTo(CLI::App* command, bool with_file) {
    if (with_file) {
      command->add_option("--config", config_file, "the controller's configuration")
          ->capture_default_str();
    }
    Add(command, "--address", &Config::address, "HOST[,HOST…] where others reach the controller");
    Add(command, "--listen", &Config::listen, "HOST:PORT of gRPC (default 0.0.0.0:7600)");
    Add(command, "--rest-listen,--rest_listen", &Config::rest_listen,
        "HOST:PORT of HTTPS (default 0.0.0.0:7601)");
    Add(command, "--state-directory,--state_directory", &Config::state_directory,
        "store and CA (default /var/lib/npufleet/controller)");
    Add(command, "--log-level,--log_level", &Config::log_level, "debug, info, warning or error");
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
  void Add(CLI::App* command, const std::string& name, std::string Config::*field,
           const std::string& help) {
    options.emplace_back(command->add_option(name, values.*field, help), field);
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

  CLI::App* init = app.add_subcommand("init", "make a new fleet: CA, store, admin's identity");
  Flags init_flags;
  init_flags.AddTo(init, /*with_file=*/false);
  std::string config_directory = "/etc/npufleet";
  init->add_option("--config-directory", config_directory, "")->capture_default_str();

  CLI::App* serve = app.add_subcommand("serve", "run the controller");
  Flags serve_flags;
  serve_flags.AddTo(serve, /*with_file=*/true);
  npufleet::api::ServeOptions serve_options;
  serve->add_flag("--insecure-loopback", serve_options.insecure_loopback,
                  "the REST view over plain HTTP on 127.0.0.1, without joining");

  CLI::App* token = app.add_subcommand("token", "join tokens");
  token->require_subcommand(1);
  CLI::App* token_create = token->add_subcommand("create", "print a token for one node to join");
  Flags token_flags;
  token_flags.AddTo(token_create, /*with_file=*/true);
  std::string node;
  std::string valid_for = "1h";
  token_create->add_option("--node", node, "the name that the node gets")->required();
  token_create->add_option("--valid-for", valid_for, "such as 30m or 24h")->capture_default_str();

  CLI::App* identity = app.add_subcommand("identity", "certificates for people and scripts");
  identity->require_subcommand(1);
  CLI::App* identity_create =
      identity->add_subcommand("create", "make one, with ctl's config.yaml");
  Flags identity_flags;
  identity_flags.AddTo(identity_create, /*with_file=*/true);
  npufleet::api::IdentityRequest request;
  identity_create->add_option("--role", request.role, "viewer, operator or admin")->required();
  identity_create->add_option("--name", request.name, "of the holder, for the audit")->required();
  identity_create->add_option("--out", request.directory, "folder to write to")->required();
  identity_create->add_flag("--bearer", request.bearer, "also a token for the REST view");

  CLI::App* nodes = app.add_subcommand("node", "nodes of the fleet");
  nodes->require_subcommand(1);
  CLI::App* node_list = nodes->add_subcommand("list", "those that have joined");
  Flags node_flags;
  node_flags.AddTo(node_list, /*with_file=*/true);

  CLI::App* restore = app.add_subcommand(
      "restore", "take a backup as the store, under a new epoch; the controller must be stopped");
  Flags restore_flags;
  restore_flags.AddTo(restore, /*with_file=*/true);
  std::string backup;
  restore->add_option("BACKUP", backup, "a copy of npufleet.db")->required();

  CLI::App* version = app.add_subcommand("version", "print the version");

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }

  if (*version) {
    std::cout << "npufleet-controller " << NPUFLEET_VERSION << " (" << NPUFLEET_COMMIT << ")\n";
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
