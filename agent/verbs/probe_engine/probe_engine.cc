// SPDX-License-Identifier: Apache-2.0
#include "agent/verbs/probe_engine/probe_engine.h"

#include <algorithm>
#include <atomic>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "agent/verbs/observation.h"
#include "agent/verbs/probe_engine/completion.h"
#include "agent/verbs/probe_engine/patience.h"
#include "agent/verbs/proto_duration.h"
#include "agent/verbs/signatures.h"
#include "common/status_macros.h"

namespace npufleet::verbs {
namespace {

constexpr char kToken[] = "tokens";
constexpr absl::Duration kMetricsDeadline = absl::Seconds(10);
constexpr absl::Duration kDefaultDeadline = absl::Seconds(120);
constexpr absl::Duration kDefaultPeriod = absl::Seconds(60);

class ProbeEngine : public Verb {
 public:
  ProbeEngine(const v1::ProbeEngine& probe, host::Host& host)
      : probe_(probe), deadline_(ToDuration(probe.deadline(), kDefaultDeadline)), host_(host) {}

  v1::Observation Check() override {
    v1::Observation observation;
    const absl::Status status = Ask({}, &observation);
    if (status.ok()) return observation;
    observation = Absent(std::string(status.message()));
    // Asking once more would say the same: a new server is needed, or another spec.
    const v1::Failure failure = ToFailure(status);
    if (failure.class_() == v1::Failure::CONFIG || failure.class_() == v1::Failure::REDO) {
      *observation.mutable_failure() = failure;
    }
    return observation;
  }

  absl::Status Apply(Execution& execution) override {
    v1::Observation observation;
    execution.Log(absl::StrCat("POST ", probe_.url(), "/v1/chat/completions"));
    RETURN_IF_ERROR(Ask([&execution] { return execution.IsCancelled(); }, &observation));
    for (const auto& [name, value] : observation.facts()) {
      execution.Log(absl::StrCat(name, ": ", value));
    }
    return absl::OkStatus();
  }

  void AbandonCheck() override { abandoned_ = true; }

  absl::Duration CheckPeriod() const override {
    return ToDuration(probe_.period(), kDefaultPeriod);
  }

 private:
  absl::Status Ask(const host::Cancelled& cancelled, v1::Observation* observation) {
    for (const absl::Duration limit : {deadline_, SecondLimit()}) {
      const std::optional<double> generated = Generated();
      const absl::Duration start = host_.clock->Elapsed();
      Patience patience(limit, start, generated);
      bool over = false;
      const auto is_over = [&] {
        const absl::Duration now = host_.clock->Elapsed();
        if (patience.WantsLook(now)) {
          const std::optional<double> tokens = Generated();
          patience.Looked(now, host_.clock->Elapsed(), tokens);
        }
        return over = patience.IsOver(now);
      };
      const host::HttpRequest request =
          Request([&] { return abandoned_ || (cancelled && cancelled()) || is_over(); });
      absl::StatusOr<host::HttpResponse> response = host_.http->Send(request);
      // Not even connected, as the server's queue is full: that is a part of the wait.
      while (absl::IsDeadlineExceeded(response.status()) && !is_over())
        response = host_.http->Send(request);
      const absl::Duration took = host_.clock->Elapsed() - start;
      if (response.ok()) return Judge(*response, took, observation);
      if (!over) {
        if (absl::IsCancelled(response.status())) return response.status();
        return Redo("", absl::StrCat("no connection to the engine: ",
                                     std::string(response.status().message())));
      }
      if (patience.IsBusy(start + took)) {
        *observation = Present(kToken);
        (*observation->mutable_facts())["busy"] =
            absl::StrFormat("no answer within %s, %.0f tokens generated for others meanwhile",
                            absl::FormatDuration(limit), patience.Generated());
        return absl::OkStatus();
      }
    }
    return Redo("RUN-04",
                absl::StrCat("no completion within ", absl::FormatDuration(deadline_),
                             ", nor another one within ", absl::FormatDuration(SecondLimit()),
                             ", and no token generated"));
  }

  // A look less: an engine may have hung since the look before the one that showed it busy.
  absl::Duration SecondLimit() const {
    return std::max(deadline_ - CheckPeriod(), deadline_ / 2) - deadline_ / kLooksPerLimit;
  }

  host::HttpRequest Request(host::Cancelled is_over) const {
    host::HttpRequest request;
    request.method = "POST";
    request.url = absl::StrCat(probe_.url(), "/v1/chat/completions");
    request.direct = true;
    request.headers = {{"Content-Type", "application/json"}, {"Accept", "application/json"}};
    request.body = CompletionRequest(probe_.model(), probe_.prompt(),
                                     probe_.max_tokens() == 0 ? 16 : probe_.max_tokens());
    request.deadline = absl::InfiniteDuration();
    request.stall_deadline = absl::InfiniteDuration();
    request.cancelled = std::move(is_over);
    return request;
  }

  std::optional<double> Generated() {
    host::HttpRequest request;
    request.url = absl::StrCat(probe_.url(), "/metrics");
    request.direct = true;
    request.deadline = kMetricsDeadline;
    absl::StatusOr<host::HttpResponse> response = host_.http->Send(request);
    if (!response.ok() || response->status != 200) return std::nullopt;
    return GeneratedTokens(response->body);
  }

  absl::Status Judge(const host::HttpResponse& response, absl::Duration took,
                     v1::Observation* observation) const {
    if (response.status >= 300) return Refused(response);
    absl::StatusOr<Completion> completion = ParseCompletion(response.body);
    if (!completion.ok()) return Redo("", std::string(completion.status().message()));
    *observation = Present(kToken);
    auto& facts = *observation->mutable_facts();
    facts["answer"] = completion->answer;
    facts["tokens"] = absl::StrCat(completion->tokens);
    facts["seconds"] = absl::StrFormat("%.1f", absl::ToDoubleSeconds(took));
    return absl::OkStatus();
  }

  absl::Status Refused(const host::HttpResponse& response) const {
    const std::string message =
        absl::StrCat("HTTP ", response.status, ": ", ErrorMessage(response.body));
    if (response.status == 404) {
      return SignedFailure(v1::Failure::CONFIG, "RUN-13", message,
                           "The probe must ask for engine.servedModelName: see /v1/models.");
    }
    if (response.status >= 500) {
      std::optional<v1::Failure> failure = MatchSignature("probe", response.body);
      if (failure.has_value()) return FailureStatus(*failure);
      return Redo("RUN-01", message);
    }
    return FailureStatus(v1::Failure::CONFIG, message,
                         "The engine refuses the probe's request: check the spec's probe.");
  }

  static absl::Status Redo(std::string_view signature, std::string_view symptom) {
    return SignedFailure(
        v1::Failure::REDO, signature, symptom,
        "The server is up and generates nothing. When a new one does so, too, read "
        "its log (ctl rollout logs) and look at all chips (npu-smi info).",
        "serve");
  }

  const v1::ProbeEngine probe_;
  const absl::Duration deadline_;
  std::atomic<bool> abandoned_ = false;
  host::Host& host_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Verb>> MakeProbeEngine(const v1::ProbeEngine& probe,
                                                      const v1::Subject& subject,
                                                      host::Host& host) {
  if (probe.url().empty()) return absl::InvalidArgumentError("probe_engine: no url");
  if (probe.model().empty()) return absl::InvalidArgumentError("probe_engine: no model");
  return std::make_unique<ProbeEngine>(probe, host);
}

}  // namespace npufleet::verbs
