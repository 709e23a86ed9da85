// SPDX-License-Identifier: Apache-2.0
#include "controller/api/serve.h"

#include <signal.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <optional>

#include "absl/strings/ascii.h"
#include "common/log.h"
#include "common/notify.h"
#include "common/status_macros.h"
#include "common/tls/certificate_authority.h"
#include "common/tls/grpc_credentials.h"
#include "common/tls/identity.h"
#include "common/tls/keys.h"
#include "controller/api/audit.h"
#include "controller/api/backup_thread.h"
#include "controller/api/enrolment.h"
#include "controller/api/rest.h"
#include "controller/api/rest_server.h"
#include "controller/api/service.h"
#include "controller/api/store_lock.h"
#include "controller/runtime/runtime.h"
#include "controller/store/backup.h"
#include "controller/store/node_store.h"
#include "controller/store/rollout_store.h"

namespace npufleet::api {
namespace {

constexpr absl::Duration kRenewalCheck = absl::Hours(1);

absl::StatusOr<tls::CertificateAuthority> LoadAuthority(const Config& config) {
  const std::string folder = config.AuthorityDirectory();
  ASSIGN_OR_RETURN(const std::string ca_pem, tls::ReadWholeFile(folder + "/ca.pem"));
  ASSIGN_OR_RETURN(const std::string key_pem, tls::ReadWholeFile(folder + "/key.pem"));
  return tls::CertificateAuthority::Load(ca_pem, key_pem);
}

// The controller's own identity; renewed when it is due or when controller.yaml names other hosts.
absl::StatusOr<tls::Identity> LoadOwnIdentity(const Config& config,
                                              const tls::CertificateAuthority& authority) {
  ASSIGN_OR_RETURN(tls::Identity identity, tls::LoadIdentity(config.IdentityDirectory()));
  ASSIGN_OR_RETURN(const auto info, tls::ReadCertificate(identity.certificate_pem));
  std::vector<std::string> addresses = config.Hosts();
  const bool all_hosts = std::all_of(addresses.begin(), addresses.end(), [&](const auto& host) {
    return std::count(info.addresses.begin(), info.addresses.end(), host) > 0;
  });
  if (all_hosts && !tls::NeedsRenewal(identity.certificate_pem, Clock::Real().Now())) {
    return identity;
  }
  addresses.insert(addresses.end(), {"127.0.0.1", "::1", "localhost"});
  ASSIGN_OR_RETURN(const std::string csr, tls::MakeCsr(identity.key_pem, "controller", ""));
  ASSIGN_OR_RETURN(identity.certificate_pem,
                   authority.Sign(csr, "controller", "controller", addresses));
  RETURN_IF_ERROR(tls::SaveIdentity(config.IdentityDirectory(), identity));
  log::Info("the controller's certificate was renewed");
  return identity;
}

std::string OwnBootId() {
  const auto boot_id = tls::ReadWholeFile("/proc/sys/kernel/random/boot_id");
  return boot_id.ok() ? std::string(absl::StripAsciiWhitespace(*boot_id)) : "";
}

// Blocks the signals that WaitForEnd() takes, for this thread and those that it starts.
sigset_t BlockSignals() {
  signal(SIGPIPE, SIG_IGN);
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return signals;
}

void WaitForEnd(const sigset_t& signals, runtime::View& view, const tls::Identity& identity) {
  const timespec period = absl::ToTimespec(std::min(notify::WatchdogPeriod(), kRenewalCheck));
  SetBackClock wall_clock(Clock::Real());
  while (true) {
    const int signal_number = sigtimedwait(&signals, nullptr, &period);
    if (signal_number > 0) {
      log::Info("stopping on signal ", signal_number);
      return;
    }
    if (errno != EAGAIN) continue;  // interrupted by another signal
    if (tls::NeedsRenewal(identity.certificate_pem, Clock::Real().Now())) {
      log::Info("stopping: the next start renews the controller's certificate");
      return;
    }
    if (wall_clock.Look()) {
      log::Info("stopping: the clock was set back, and the next start waits by the new time");
      return;
    }
    if (view.ListRollouts().ok()) notify::Send("WATCHDOG=1");  // a stuck runtime never answers
  }
}

}  // namespace

absl::Status Serve(const ServeOptions& options) {
  const Config& config = options.config;
  log::SetLevel(log::LevelFromName(config.log_level));
  const sigset_t signals = BlockSignals();
  ASSIGN_OR_RETURN(const auto lock, StoreLock::Take(config));
  RETURN_IF_ERROR(store::CheckIntegrity(config.Database()));
  ASSIGN_OR_RETURN(const auto nodes, store::NodeStore::Open(config.Database(), /*create=*/false));
  ASSIGN_OR_RETURN(const auto rollouts, store::RolloutStore::Open(config.Database()));
  ASSIGN_OR_RETURN(const tls::CertificateAuthority authority, LoadAuthority(config));
  ASSIGN_OR_RETURN(const tls::Identity identity, LoadOwnIdentity(config, authority));
  ASSIGN_OR_RETURN(const AuditSink audit, OpenAuditFile(config.AuditLog()));

  // Before the runtime and the servers: at the end a backup that is being made holds up none of
  // them.
  const BackupThread backups(store::DailyBackups(config.Database(), Clock::Real()));
  runtime::RuntimeOptions runtime_options;
  runtime_options.store = rollouts.get();
  runtime_options.nodes = nodes.get();
  runtime_options.credentials = tls::ClientCredentials(identity);
  runtime_options.boot_id = OwnBootId();
  runtime_options.version = options.version;
  runtime_options.commit = options.commit;
  runtime::Runtime runtime(std::move(runtime_options));
  Enrolment enrolment(*nodes, authority, Clock::Real(),
                      [&](const std::string& node, const std::string& address) {
                        runtime.NodeJoined(node, address);
                      });
  Rest rest(runtime, *nodes, options.insecure_loopback ? nullptr : &enrolment);
  RETURN_IF_ERROR(runtime.Start());
  const std::optional<tls::Identity> rest_identity =
      options.insecure_loopback ? std::nullopt : std::make_optional(identity);
  ASSIGN_OR_RETURN(const auto rest_server,
                   RestServer::Start(config.rest_listen, rest_identity, rest));
  ServiceParts parts{&runtime, &runtime, &enrolment, &Clock::Real(), audit};
  ASSIGN_OR_RETURN(const auto api_server, ApiServer::Start(config.listen, identity, parts));
  log::Info("serving gRPC on ", config.listen, " and ",
            options.insecure_loopback ? "plain HTTP" : "HTTPS", " on ", config.rest_listen);
  notify::Ready(absl::StrCat("serving on ", config.listen));
  WaitForEnd(signals, runtime, identity);
  notify::Stopping();
  return absl::OkStatus();
}

}  // namespace npufleet::api
