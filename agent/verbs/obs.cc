// SPDX-License-Identifier: Apache-2.0
#include "agent/verbs/obs.h"

#include <map>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "agent/artifacts/secret_file.h"
#include "agent/npu/npu_smi.h"
#include "agent/verbs/observation.h"
#include "agent/verbs/signatures.h"
#include "common/digest.h"
#include "common/failure.h"
#include "common/status_macros.h"
#include "common/string_views.h"

namespace npufleet::verbs {
namespace {

// obsutil keeps its logs and what it needs to go on after an interruption in its home.
constexpr char kHome[] = "/var/lib/npufleet/agent/obsutil";
// A file for each use: image and model may run side by side.
constexpr char kConfigs[] = "/var/lib/npufleet/agent/obsutil/config";
constexpr absl::Duration kDeadline = absl::Hours(48);

using Keys = std::map<std::string, std::string>;

// The lines ak=…, sk=… and token=… of the operator's file.
absl::StatusOr<Keys> ReadKeys(host::Host& host, const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text,
                   artifacts::ReadSecretFile(host, path, "the keys of the object store"));
  Keys keys;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    const size_t equals = line.find('=');
    if (equals == absl::string_view::npos) continue;
    const std::string name(absl::StripAsciiWhitespace(line.substr(0, equals)));
    const std::string value(absl::StripAsciiWhitespace(line.substr(equals + 1)));
    if ((name == "ak" || name == "sk" || name == "token") && !value.empty()) keys[name] = value;
  }
  if (keys.count("ak") != 0 && keys.count("sk") != 0) return keys;
  return FailureStatus(v1::Failure::CONFIG, absl::StrCat(path, " lacks the line ak=… or sk=…"),
                       "Write both keys there, one a line.");
}

std::string Masked(std::string text, const Keys& keys) {
  for (const auto& [name, value] : keys) absl::StrReplaceAll({{value, "***"}}, &text);
  return text;
}

absl::Status WriteConfig(host::Host& host, const std::string& path, const v1::ObsAccess& access,
                         const Keys& keys) {
  RETURN_IF_ERROR(host.filesystem->MakeFolders(kHome, 0700));
  std::string config = absl::StrCat("endpoint=", access.endpoint(), "\n");
  for (const auto& [name, value] : keys) absl::StrAppend(&config, name, "=", value, "\n");
  return host.filesystem->Write(path, config, 0600);
}

// Classes of what obsutil's exit codes mean, where no line of its output tells more.
v1::Failure FailureOfExit(const std::string& url, int exit_code) {
  constexpr int kParameters = 3, kBucket = 4, kConfiguration = 5, kNotFound = 1;
  v1::Failure failure;
  const bool is_wrong = exit_code == kParameters || exit_code == kBucket ||
                        exit_code == kConfiguration || exit_code == kNotFound;
  failure.set_class_(is_wrong ? v1::Failure::CONFIG : v1::Failure::TRANSIENT);
  failure.set_symptom(absl::StrCat("obsutil cp ", url, " ended with status ", exit_code));
  failure.set_advice(is_wrong ? "Correct the obs source, the endpoint or the keys."
                              : "It goes on where it was when the object store answers again.");
  return failure;
}

}  // namespace

absl::Status RemoveObsConfigs(host::Host& host) { return host.filesystem->RemoveAll(kConfigs); }

absl::Status CopyFromObs(host::Host& host, Execution& execution, const v1::ObsAccess& access,
                         const std::string& url, const std::string& target,
                         std::string_view stage) {
  if (access.endpoint().empty()) {
    return FailureStatus(v1::Failure::CONFIG,
                         absl::StrCat(url, ": obs sources need obsutil, and the spec has none"),
                         "Add spec.obsutil, or name an archive, a registry or a hub as source.");
  }
  const absl::StatusOr<std::string> program = host.subprocess->Which("obsutil");
  if (!program.ok()) {
    return SignedFailure(v1::Failure::REDO, "", absl::StrCat(url, ": this node has no obsutil"),
                         "The stage obsutil installs it again.", "obsutil");
  }
  ASSIGN_OR_RETURN(const Keys keys, ReadKeys(host, access.credentials_file()));
  // The same after a restart of the agent, as the step goes on with its first arguments.
  const std::string use = Sha256Hex(url).substr(0, 12);
  const std::string config = absl::StrCat(kConfigs, "/", Absl(stage), "-", use);
  RETURN_IF_ERROR(WriteConfig(host, config, access, keys));
  std::vector<std::string> argv = {*program, "cp",       url, host.filesystem->Real(target),
                                   "-f",     "-vlength", "-u"};
  if (absl::EndsWith(url, "/")) argv.insert(argv.end(), {"-r", "-flat"});
  argv.push_back(absl::StrCat("-config=", host.filesystem->Real(config)));
  execution.Log(absl::StrCat("$ ", absl::StrJoin(argv, " ")));
  host::ProcessOptions options;
  options.deadline = kDeadline;
  options.environment["HOME"] = host.filesystem->Real(kHome);
  options.cancelled = [&] { return execution.IsCancelled(); };
  options.on_line = [&](std::string_view line) {
    execution.Log(Masked(npu::Printable(line, 1000), keys));
  };
  const absl::StatusOr<host::ProcessResult> result =
      execution.RunDurably(absl::StrCat("obsutil-", use), argv, options);
  const absl::Status removed = host.filesystem->Remove(config);
  RETURN_IF_ERROR(result.status());
  RETURN_IF_ERROR(removed);
  if (!result->ok()) {
    return FailureOfOutput(stage, Masked(result->Combined(), keys),
                           FailureOfExit(url, result->exit_code));
  }
  if (host.filesystem->Exists(target)) return absl::OkStatus();
  v1::Failure nothing = FailureOfExit(url, 0);
  nothing.set_symptom(absl::StrCat("obsutil cp ", url, " ended well, and nothing is at ", target));
  return FailureOfOutput(stage, Masked(result->Combined(), keys), nothing);
}

}  // namespace npufleet::verbs
