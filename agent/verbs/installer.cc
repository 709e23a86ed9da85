// SPDX-License-Identifier: Apache-2.0
#include "agent/verbs/installer.h"

#include <atomic>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "agent/artifacts/fetch.h"
#include "agent/npu/npu_smi.h"
#include "agent/verbs/kernel_log.h"
#include "agent/verbs/signatures.h"
#include "common/failure.h"
#include "common/status_macros.h"
#include "common/string_views.h"

namespace npufleet::verbs {
namespace {

constexpr int kPatienceWithAQuestion = 5;
constexpr size_t kKeptOutput = 1 << 20;

bool IsQuestion(absl::string_view line) {
  const std::string lower = absl::AsciiStrToLower(line);
  return absl::StrContains(lower, "[y/n]") || absl::StrContains(lower, "(y/n)");
}

// "upgradePercentage: 30%" -> 30; negative: no such line.
int PercentageIn(absl::string_view line) {
  size_t at = line.find("Percentage:");
  if (at == line.npos) return -1;
  absl::string_view number = absl::StripAsciiWhitespace(line.substr(at + 11));
  number = number.substr(0, number.find('%'));
  int percent = -1;
  return absl::SimpleAtoi(number, &percent) && percent >= 0 && percent <= 100 ? percent : -1;
}

// What comes out of an installer while it runs.
class Listener {
 public:
  Listener(Execution& execution, std::string step)
      : execution_(execution), step_(std::move(step)) {}

  void OnLine(std::string_view raw) {
    std::string line = npu::Printable(raw, 1000);
    if (IsQuestion(line)) {
      question_ = line;
      // Its answer was on stdin or never will be: after a few repeats nobody has to see more of it.
      if (++questions_ > kPatienceWithAQuestion) {
        asks_ = true;
        return;
      }
    }
    if (output_.size() < kKeptOutput) absl::StrAppend(&output_, line, "\n");
    execution_.Log(line);
    if (int percent = PercentageIn(line); percent >= 0) {
      v1::Progress progress;
      progress.set_activity(absl::StrCat("installing ", step_));
      progress.set_done(percent);
      progress.set_total(100);
      progress.set_unit("percent");
      execution_.Report(progress);
    }
  }

  bool asks() const { return asks_; }
  const std::string& question() const { return question_; }
  const std::string& output() const { return output_; }

 private:
  Execution& execution_;
  const std::string step_;
  std::string output_;
  std::string question_;
  int questions_ = 0;
  std::atomic<bool> asks_ = false;
};

// What its output says, else `otherwise` with what the kernel said meanwhile (a disk that fails, a
// process that hangs in the driver). That is no more than a hint: it speaks of the whole node.
absl::Status FailureOfInstaller(host::Host& host, const InstallerRun& run, std::string_view output,
                                v1::Failure otherwise, absl::Time began) {
  if (!MatchSignature(run.stage, output).has_value()) {
    if (std::optional<v1::Failure> kernel = KernelFailure(host, run.stage, "", began))
      otherwise.set_symptom(absl::StrCat(otherwise.symptom(), "; meanwhile: ", kernel->symptom()));
  }
  return FailureOfOutput(run.stage, output, std::move(otherwise));
}

}  // namespace

absl::StatusOr<std::string> FetchToNode(host::Host& host, Execution& execution,
                                        const v1::Artifact& artifact) {
  const std::string name = FileNameOf(artifact);
  if (name.empty()) {
    return FailureStatus(
        v1::Failure::CONFIG,
        absl::StrCat("the URL names no file: ", artifacts::ShownUrl(artifact.url())),
        "Correct the artifact's url in the spec.");
  }
  artifacts::FetchCallbacks callbacks;
  callbacks.log = [&](std::string_view line) { execution.Log(line); };
  callbacks.cancelled = [&] { return execution.IsCancelled(); };
  callbacks.progress = [&](uint64_t done, uint64_t total) {
    v1::Progress progress;
    progress.set_activity(absl::StrCat("downloading ", name));
    progress.set_done(done);
    progress.set_total(total);
    progress.set_unit("bytes");
    execution.Report(progress);
  };
  const std::string place = PlaceOf(artifact);
  if (artifact.sha256().empty() && HasVerifiedBytes(host, artifact)) return place;
  RETURN_IF_ERROR(artifacts::FetchArtifact(host, artifact, place, callbacks).status());
  RETURN_IF_ERROR(NoteVerified(host, artifact));
  return place;
}

absl::StatusOr<host::ProcessResult> RunInstaller(host::Host& host, Execution& execution,
                                                 const InstallerRun& run) {
  RETURN_IF_ERROR(Annotate(host.filesystem->SetMode(run.path, 0755), run.path));
  Listener listener(execution, run.step);
  host::ProcessOptions options;
  options.stdin_text = run.stdin_text;
  options.deadline = run.deadline;
  options.cancelled = [&] { return listener.asks() || execution.IsCancelled(); };
  options.on_line = [&](std::string_view line) { listener.OnLine(line); };
  std::vector<std::string> argv = {host.filesystem->Real(run.path)};
  argv.insert(argv.end(), run.arguments.begin(), run.arguments.end());
  execution.Log(absl::StrCat("$ ", absl::StrJoin(argv, " ")));
  const absl::Time began = host.clock->Now();
  absl::StatusOr<host::ProcessResult> result = execution.RunDurably(run.step, argv, options);
  if (result.ok()) return result;
  v1::Failure failure;
  if (absl::IsCancelled(result.status()) && listener.asks()) {
    failure.set_class_(v1::Failure::NEEDS_OPERATOR);
    failure.set_symptom(
        absl::StrCat("the installer of ", run.step, " asks: ", listener.question()));
    failure.set_advice("Run it by hand once and answer, or name a package that does not ask.");
  } else if (absl::IsDeadlineExceeded(result.status())) {
    failure.set_class_(v1::Failure::TRANSIENT);
    failure.set_symptom(absl::StrCat("the installer of ", run.step, " did not end within ",
                                     absl::FormatDuration(run.deadline), " and was killed"));
    failure.set_advice("See its last lines; a longer deadline is the spec's.");
  } else {
    return result.status();
  }
  return FailureOfInstaller(host, run, listener.output(), std::move(failure), began);
}

absl::Status FailedInstall(host::Host& host, const InstallerRun& run,
                           const host::ProcessResult& result, absl::Time began) {
  v1::Failure failure;
  failure.set_class_(v1::Failure::TRANSIENT);
  failure.set_symptom(absl::StrCat("the installer of ", run.step, " ended with status ",
                                   result.exit_code, " and what it was to install is not there"));
  failure.set_advice(absl::StrCat("See its last lines, and run it by hand: ", run.path, " ",
                                  absl::StrJoin(run.arguments, " ")));
  return FailureOfInstaller(host, run, result.Combined(), std::move(failure), began);
}

}  // namespace npufleet::verbs
