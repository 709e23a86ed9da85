// SPDX-License-Identifier: Apache-2.0
#include "controller/ctl/connection.h"

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status_macros.h"
#include "common/tls/certificate_authority.h"
#include "common/tls/grpc_credentials.h"
#include "common/tls/identity.h"
#include "yaml-cpp/yaml.h"

namespace npufleet::ctl {
namespace {

namespace fs = std::filesystem;

constexpr absl::Duration kExpiryNotice = absl::Hours(24 * 30);

// Plaintext is for this machine only.
bool IsLoopback(const std::string& address) {
  std::string host = address.substr(0, address.rfind(':'));
  bool is_number = host.find_first_not_of("0123456789.") == std::string::npos;
  return (is_number && absl::StartsWith(host, "127.")) || host == "localhost" || host == "[::1]" ||
         absl::StartsWith(address, "unix:");
}

// Whether it is still taken is for the controller to say, by its own clock.
void WarnOfExpiry(const Config& config, const tls::Identity& identity, absl::Time now,
                  std::ostream& warnings) {
  const absl::StatusOr<tls::CertificateInfo> info = tls::ReadCertificate(identity.certificate_pem);
  if (!info.ok() || now + kExpiryNotice < info->not_after) return;
  warnings << "ctl: " << config.certificate
           << (now < info->not_after ? " expires on " : " expired on ")
           << absl::FormatTime("%Y-%m-%d", info->not_after, absl::UTCTimeZone())
           << "; another one is made on the controller's machine: npufleet-controller identity "
              "create --role "
           << info->role << " --name " << info->name << " --out DIR\n"
           << std::flush;
}

grpc::ChannelArguments Arguments() {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetMaxReceiveMessageSize(64 << 20);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 200);
  // Also how long one attempt, its TLS handshake included, may take: a loaded node is slow.
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 5000);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 2000);
  return arguments;
}

// Whether the connection over which `status` came is still up: then the controller itself said it.
bool CameFromTheController(grpc::Channel& channel) {
  // A call that fails because its connection is lost ends a moment before the channel knows.
  constexpr absl::Duration kMoment = absl::Milliseconds(100);
  return channel.GetState(/*try_to_connect=*/false) == GRPC_CHANNEL_READY &&
         !channel.WaitForStateChange(GRPC_CHANNEL_READY, std::chrono::system_clock::now() +
                                                             absl::ToChronoMilliseconds(kMoment));
}

absl::Status BadConfig(const std::string& path, std::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(path, ": ", std::string(what)));
}

}  // namespace

absl::StatusOr<Config> ReadConfig(const std::string& path) {
  std::ifstream file(path);
  if (!file) {
    return absl::NotFoundError(absl::StrCat(path, " cannot be read: ", std::strerror(errno)));
  }
  std::ostringstream text;
  text << file.rdbuf();
  Config config;
  try {
    YAML::Node node = YAML::Load(text.str());
    if (!node.IsMap()) return BadConfig(path, "needs controller, ca, certificate and key");
    for (const auto& entry : node) {
      std::string key = entry.first.Scalar();
      std::string* value = key == "controller"    ? &config.controller
                           : key == "ca"          ? &config.ca
                           : key == "certificate" ? &config.certificate
                           : key == "key"         ? &config.key
                                                  : nullptr;
      std::string place = absl::StrCat(path, ":", entry.first.Mark().line + 1);
      if (value == nullptr) {
        return BadConfig(place, absl::StrCat("unknown key \"", key,
                                             "\"; known are controller, ca, certificate, key"));
      }
      if (!entry.second.IsScalar()) return BadConfig(place, absl::StrCat(key, " needs one value"));
      *value = entry.second.Scalar();
    }
  } catch (const YAML::Exception& error) {
    return BadConfig(absl::StrCat(path, ":", error.mark.line + 1),
                     absl::StrCat("bad YAML: ", error.msg));
  }
  if (config.controller.empty()) return BadConfig(path, "controller is missing (HOST:7600)");
  fs::path folder = fs::path(path).parent_path();
  for (std::string* file_path : {&config.ca, &config.certificate, &config.key}) {
    if (file_path->empty()) return BadConfig(path, "needs ca, certificate and key");
    *file_path = (folder / *file_path).string();  // an absolute path stays as it is
  }
  return config;
}

absl::StatusOr<std::string> FindConfig(const std::string& flag) {
  if (!flag.empty()) return flag;
  if (const char* variable = std::getenv("NPUFLEET_CONFIG");
      variable != nullptr && *variable != '\0') {
    return std::string(variable);
  }
  std::vector<std::string> places;
  if (const char* home = std::getenv("HOME"); home != nullptr) {
    places.push_back(absl::StrCat(home, "/.npufleet/config.yaml"));
  }
  places.push_back("/etc/npufleet/ctl/config.yaml");
  for (std::string& place : places) {
    std::error_code error;
    if (fs::exists(place, error)) return place;
    if (error == std::errc::permission_denied) {
      absl::StrAppend(&place, " (not readable by you: sudo?)");
    }
  }
  return absl::NotFoundError(absl::StrCat("no configuration in ", absl::StrJoin(places, " or "),
                                          "; `npufleet-controller identity create` makes one on "
                                          "the controller's machine (or name one with --config)"));
}

absl::StatusOr<std::shared_ptr<grpc::Channel>> OpenChannel(const ConnectionOptions& options,
                                                           absl::Time now, std::ostream& warnings) {
  if (!options.insecure_loopback.empty()) {
    if (!IsLoopback(options.insecure_loopback)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "--insecure-loopback needs an address of this machine, not ", options.insecure_loopback));
    }
    return grpc::CreateCustomChannel(options.insecure_loopback, grpc::InsecureChannelCredentials(),
                                     Arguments());
  }
  ASSIGN_OR_RETURN(std::string path, FindConfig(options.config));
  ASSIGN_OR_RETURN(Config config, ReadConfig(path));
  ASSIGN_OR_RETURN(tls::Identity identity,
                   tls::LoadIdentity(config.ca, config.certificate, config.key));
  WarnOfExpiry(config, identity, now, warnings);
  return grpc::CreateCustomChannel(config.controller, tls::ClientCredentials(identity),
                                   Arguments());
}

void SetDeadline(grpc::ClientContext& context, absl::Duration deadline) {
  context.set_deadline(std::chrono::system_clock::now() + absl::ToChronoMilliseconds(deadline));
}

bool IsUnreachable(const grpc::Status& status) {
  return status.error_code() == grpc::StatusCode::UNAVAILABLE ||
         status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED;
}

ExitCode ExitCodeOf(const grpc::Status& status) {
  if (status.ok()) return ExitCode::kDone;
  if (IsUnreachable(status)) return ExitCode::kUnreachable;
  return status.error_code() == grpc::StatusCode::INVALID_ARGUMENT ? ExitCode::kUsage
                                                                   : ExitCode::kFailed;
}

std::string Explain(const grpc::Status& status, grpc::Channel& channel) {
  switch (status.error_code()) {
    case grpc::StatusCode::UNAVAILABLE:
      if (CameFromTheController(channel)) {
        return absl::StrCat(status.error_message(),
                            "\n  ask again in a moment; on the controller's machine "
                            "`journalctl -u npufleet-controller` says more");
      }
      return absl::StrCat(
          "the controller is not reachable: ", status.error_message(),
          "\n  is npufleet-controller.service up, is the address in config.yaml right, "
          "and is this certificate of its CA?");
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      return "the controller did not answer in time; on its machine `journalctl -u "
             "npufleet-controller` says more";
    case grpc::StatusCode::PERMISSION_DENIED:
      return absl::StrCat("not allowed: ", status.error_message());
    case grpc::StatusCode::UNIMPLEMENTED:
      return "the controller does not know this request: it is older than this ctl";
    default:
      return status.error_message();
  }
}

}  // namespace npufleet::ctl
