// SPDX-License-Identifier: Apache-2.0
#include "controller/api/program.h"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <vector>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "common/clock.h"
#include "common/durable_folders.h"
#include "common/status_macros.h"
#include "common/tls/certificate_authority.h"
#include "common/tls/identity.h"
#include "common/tls/join_token.h"
#include "common/tls/keys.h"
#include "controller/api/enrolment.h"
#include "controller/api/store_lock.h"
#include "controller/store/backup.h"
#include "controller/store/node_store.h"

namespace npufleet::api {
namespace {

namespace fs = std::filesystem;

absl::Status RefuseExisting(const std::vector<std::string>& paths) {
  std::vector<std::string> existing;
  std::error_code error;
  for (const std::string& path : paths) {
    if (fs::exists(path, error)) existing.push_back(path);
  }
  if (existing.empty()) return absl::OkStatus();
  return absl::AlreadyExistsError(
      absl::StrCat("nothing was changed, because there is already: ", absl::StrJoin(existing, ", "),
                   ". Take these away first if they are no longer needed"));
}

absl::Status MakeFolder(const std::string& path, unsigned mode) {
  RETURN_IF_ERROR(MakeFoldersDurably(path));
  std::error_code error;
  fs::permissions(path, static_cast<fs::perms>(mode), error);
  if (error) return absl::ErrnoToStatus(error.value(), absl::StrCat("setting the mode of ", path));
  return absl::OkStatus();
}

absl::StatusOr<tls::CertificateAuthority> LoadAuthority(const Config& config) {
  ASSIGN_OR_RETURN(const std::string ca_pem,
                   tls::ReadWholeFile(config.AuthorityDirectory() + "/ca.pem"));
  ASSIGN_OR_RETURN(const std::string key_pem,
                   tls::ReadWholeFile(config.AuthorityDirectory() + "/key.pem"));
  return tls::CertificateAuthority::Load(ca_pem, key_pem);
}

absl::StatusOr<tls::Identity> MakeIdentity(const tls::CertificateAuthority& authority,
                                           const std::string& role, const std::string& name,
                                           const std::vector<std::string>& addresses) {
  tls::Identity identity;
  identity.ca_pem = authority.ca_pem();
  ASSIGN_OR_RETURN(identity.key_pem, tls::GenerateKey());
  ASSIGN_OR_RETURN(const std::string csr, tls::MakeCsr(identity.key_pem, name, ""));
  ASSIGN_OR_RETURN(identity.certificate_pem, authority.Sign(csr, role, name, addresses));
  return identity;
}

std::string CtlConfig(const Config& config) {
  const size_t colon = config.listen.rfind(':');
  const std::string port = colon == std::string::npos ? ":7600" : config.listen.substr(colon);
  std::string host = config.Hosts().empty() ? "127.0.0.1" : config.Hosts().front();
  if (host.find(':') != std::string::npos) host = absl::StrCat("[", host, "]");
  return absl::StrCat("controller: \"", host, port,
                      "\"\nca: ca.pem\ncertificate: cert.pem\nkey: key.pem\n");
}

std::vector<std::string> IdentityFiles(const std::string& directory, bool bearer) {
  std::vector<std::string> files;
  for (const char* name : {"/ca.pem", "/cert.pem", "/key.pem", "/config.yaml"}) {
    files.push_back(directory + name);
  }
  if (bearer) files.push_back(directory + "/bearer");
  return files;
}

absl::Status WriteIdentity(const Config& config, const tls::CertificateAuthority& authority,
                           store::NodeStore& store, const IdentityRequest& request) {
  ASSIGN_OR_RETURN(const tls::Identity identity,
                   MakeIdentity(authority, request.role, request.name, {}));
  RETURN_IF_ERROR(tls::SaveIdentity(request.directory, identity));
  if (request.bearer) {
    ASSIGN_OR_RETURN(const std::string secret, tls::RandomHex(32));
    RETURN_IF_ERROR(
        store.AddBearer(tls::Sha256Hex(secret), {request.name, request.role}, Clock::Real().Now()));
    RETURN_IF_ERROR(tls::WriteFileAtomically(request.directory + "/bearer", secret + "\n", 0600));
  }
  // Last: who finds it finds the rest.
  return tls::WriteFileAtomically(request.directory + "/config.yaml", CtlConfig(config), 0644);
}

absl::Status MakeFleet(const Config& config, const std::string& config_directory,
                       const std::string& ctl_directory) {
  ASSIGN_OR_RETURN(const auto authority, tls::CertificateAuthority::Create("npufleet CA"));
  std::vector<std::string> addresses = config.Hosts();
  addresses.insert(addresses.end(), {"127.0.0.1", "::1", "localhost"});
  ASSIGN_OR_RETURN(const tls::Identity identity,
                   MakeIdentity(authority, "controller", "controller", addresses));
  RETURN_IF_ERROR(MakeFolder(config.state_directory, 0700));
  RETURN_IF_ERROR(MakeFolder(config.AuthorityDirectory(), 0700));
  const std::string ca = config.AuthorityDirectory();
  RETURN_IF_ERROR(tls::WriteFileAtomically(ca + "/key.pem", authority.key_pem(), 0600));
  RETURN_IF_ERROR(tls::WriteFileAtomically(ca + "/ca.pem", authority.ca_pem(), 0644));
  RETURN_IF_ERROR(tls::SaveIdentity(config.IdentityDirectory(), identity));
  ASSIGN_OR_RETURN(const auto store, store::NodeStore::Open(config.Database(), /*create=*/true));
  RETURN_IF_ERROR(store->SetEpoch(Clock::Real().Now()));
  RETURN_IF_ERROR(MakeFolder(config_directory, 0755));
  RETURN_IF_ERROR(
      tls::WriteFileAtomically(config_directory + "/controller.yaml", WriteConfig(config), 0644));
  RETURN_IF_ERROR(MakeFolder(ctl_directory, 0700));
  return WriteIdentity(config, authority, *store, {"admin", "admin", ctl_directory, true});
}

}  // namespace

absl::Status Init(const Config& config, const std::string& config_directory, std::ostream& out) {
  if (config.Hosts().empty()) {
    return absl::InvalidArgumentError(
        "needs --address HOST[,HOST…]: where nodes and clients reach this controller");
  }
  const std::string ctl_directory = config_directory + "/ctl";
  std::vector<std::string> made = IdentityFiles(ctl_directory, true);
  made.insert(made.end(), {config.Database(), config.AuthorityDirectory(),
                           config.IdentityDirectory(), config_directory + "/controller.yaml"});
  RETURN_IF_ERROR(RefuseExisting(made));
  if (const absl::Status status = MakeFleet(config, config_directory, ctl_directory);
      !status.ok()) {
    std::error_code ignored;
    made.insert(made.end(), {config.Database() + "-wal", config.Database() + "-shm"});
    for (const std::string& path : made) fs::remove_all(path, ignored);
    return status;
  }
  out << "The fleet is made: " << config_directory << "/controller.yaml, " << config.state_directory
      << " (CA, store) and " << ctl_directory << " (the admin's identity).\n"
      << "Next: systemctl enable --now npufleet-controller\n"
      << "then, for each node: npufleet-controller token create --node NAME\n";
  return absl::OkStatus();
}

absl::Status CreateToken(const Config& config, const std::string& node, absl::Duration valid_for,
                         std::ostream& out) {
  ASSIGN_OR_RETURN(const auto store, store::NodeStore::Open(config.Database(), /*create=*/false));
  ASSIGN_OR_RETURN(tls::CertificateAuthority authority, LoadAuthority(config));
  Enrolment enrolment(*store, std::move(authority), Clock::Real(), nullptr);
  ASSIGN_OR_RETURN(const std::string token, enrolment.CreateJoinToken(node, valid_for));
  out << token << "\n";
  return absl::OkStatus();
}

absl::Status CreateIdentity(const Config& config, const IdentityRequest& request,
                            std::ostream& out) {
  const std::vector<std::string> roles = {"viewer", "operator", "admin"};
  if (std::find(roles.begin(), roles.end(), request.role) == roles.end()) {
    return absl::InvalidArgumentError(
        absl::StrCat("role \"", request.role, "\" is not viewer, operator or admin"));
  }
  RETURN_IF_ERROR(tls::CheckNodeName(request.name));
  RETURN_IF_ERROR(RefuseExisting(IdentityFiles(request.directory, request.bearer)));
  ASSIGN_OR_RETURN(const auto store, store::NodeStore::Open(config.Database(), /*create=*/false));
  ASSIGN_OR_RETURN(const tls::CertificateAuthority authority, LoadAuthority(config));
  RETURN_IF_ERROR(MakeFolder(request.directory, 0700));
  RETURN_IF_ERROR(WriteIdentity(config, authority, *store, request));
  out << "ctl --config " << request.directory << "/config.yaml is " << request.name << ", "
      << request.role << "\n";
  return absl::OkStatus();
}

absl::Status ListNodes(const Config& config, std::ostream& out) {
  ASSIGN_OR_RETURN(const auto store, store::NodeStore::Open(config.Database(), /*create=*/false));
  ASSIGN_OR_RETURN(const std::vector<store::Node> nodes, store->ListNodes());
  out << absl::StreamFormat("%-20s %-28s %s\n", "NAME", "ADDRESS", "JOINED");
  for (const store::Node& node : nodes) {
    const std::string joined =
        absl::FormatTime("%Y-%m-%d %H:%M:%S UTC", node.joined, absl::UTCTimeZone());
    out << absl::StreamFormat("%-20s %-28s %s\n", node.name, node.address, joined);
  }
  return absl::OkStatus();
}

}  // namespace npufleet::api
