// SPDX-License-Identifier: Apache-2.0
#include "agent/service/program.h"

#include <malloc.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "agent/npu/inventory.h"
#include "agent/service/agent.h"
#include "agent/service/join.h"
#include "agent/verbs/obs.h"
#include "agent/verbs/verb.h"
#include "common/log.h"
#include "common/notify.h"
#include "common/status_macros.h"

namespace npufleet::service {
namespace {

constexpr absl::Duration kStopLimit = absl::Milliseconds(1200);

std::string HostName() {
  char name[256] = {};
  gethostname(name, sizeof name - 1);
  return name;
}

// Without TLS there need be no certificate that would name the node.
absl::StatusOr<std::string> NameOf(const Config& config, bool insecure_loopback) {
  if (insecure_loopback) return config.name.empty() ? HostName() : config.name;
  ASSIGN_OR_RETURN(const std::string joined, JoinedName(config.identity_directory));
  return config.name.empty() ? joined : config.name;
}

absl::StatusOr<std::unique_ptr<Agent>> StartAgent(host::Host& host, const Config& config,
                                                  const std::string& name, bool insecure_loopback,
                                                  const std::string& version) {
  AgentOptions options;
  options.node = name;
  options.listen = config.listen;
  options.state_directory = config.state_directory;
  options.version = version;
  options.make_verb = [&host](const v1::Subject& subject) {
    return verbs::MakeVerb(subject, host);
  };
  options.read_inventory = npu::ReadInventory;
  if (insecure_loopback) {
    if (!absl::StartsWith(config.listen, "127.0.0.1:")) {
      return absl::InvalidArgumentError(
          absl::StrCat("--insecure-loopback listens on 127.0.0.1 only, not on ", config.listen));
    }
    options.credentials = grpc::InsecureServerCredentials();
  } else {
    ASSIGN_OR_RETURN(options.credentials, ControllerOnly(config.identity_directory));
  }
  return Agent::Start(host, std::move(options));
}

// Renews this node's certificate when that is due, and asks again an hour after it failed.
class Renewal {
 public:
  Renewal(host::Host& host, const Config& config, bool wanted)
      : host_(host), directory_(config.identity_directory), wanted_(wanted) {}

  // True when there is a new certificate.
  bool Try() {
    const absl::Duration now = host_.clock->Elapsed();
    if (!wanted_ || now < next_) return false;
    next_ = now + absl::Hours(1);
    absl::StatusOr<bool> renewed = RenewIfDue(host_, directory_, host_.clock->Now());
    if (!renewed.ok()) {
      log::Warning("the certificate in ", directory_,
                   " is due and was not renewed: ", renewed.status().message(),
                   "; again in an hour, or join again");
    }
    return renewed.ok() && *renewed;
  }

 private:
  host::Host& host_;
  const std::string directory_;
  const bool wanted_;
  absl::Duration next_ = -absl::InfiniteDuration();
};

// Tells the watchdog that the agent lives, for as long as it does, until something asks it to stop,
// which is returned: a signal, a new certificate, or a wall clock that was set back.
std::string WaitForEnd(const sigset_t& signals, Agent& agent, Renewal& renewal, Clock& clock) {
  SetBackClock wall_clock(clock);
  const absl::Duration period = notify::WatchdogPeriod();
  const timespec timeout = absl::ToTimespec(std::min(period, absl::Hours(1)));
  while (true) {
    int signal = sigtimedwait(&signals, nullptr, &timeout);
    if (signal > 0) return absl::StrCat("signal ", signal);
    if (renewal.Try()) return "for a new certificate";
    if (wall_clock.Look()) return "the clock was set back, and what waits by it starts anew";
    if (period == absl::InfiniteDuration()) continue;
    absl::Status health = agent.CheckHealth();
    if (!health.ok()) log::Error("the journal does not answer: ", health.message());
    // A full disk is no reason to be restarted: that it answered at all is what counts.
    notify::Send("WATCHDOG=1");
  }
}

}  // namespace

int ServeUntilStopped(const Config& config, bool insecure_loopback, const std::string& version) {
  log::SetLevel(log::LevelFromName(config.log_level));
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  sigprocmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
  // Each thread's own heap would keep what its first busy minute needed.
  mallopt(M_ARENA_MAX, 2);

  std::unique_ptr<host::Host> host = host::MakeHost(config.host);
  if (const absl::Status removed = verbs::RemoveObsConfigs(*host); !removed.ok())
    log::Warning("removing the object store's keys of a former run: ", removed.message());
  const absl::StatusOr<std::string> name = NameOf(config, insecure_loopback);
  if (!name.ok()) {
    log::Error("cannot serve: ", name.status().message());
    return 1;
  }
  Renewal renewal(*host, config, !insecure_loopback);
  renewal.Try();
  absl::StatusOr<std::unique_ptr<Agent>> agent =
      StartAgent(*host, config, *name, insecure_loopback, version);
  if (!agent.ok()) {
    log::Error("cannot serve: ", agent.status().message());
    return 1;
  }
  log::Info("npufleet-agent ", version, " listens on port ", (*agent)->port());
  notify::Ready(absl::StrCat("listening on ", config.listen));
  const std::string why = WaitForEnd(signals, **agent, renewal, *host->clock);
  log::Info("stopping (", why, "); supervised steps go on");
  notify::Stopping();
  // What did not come back by then is resumed by the next agent from the journal, as after a crash.
  if (!(*agent)->Stop(kStopLimit)) log::Warning("an operation did not return in time");
  std::_Exit(0);
}

}  // namespace npufleet::service
