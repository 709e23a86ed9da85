// SPDX-License-Identifier: Apache-2.0
#include "agent/verbs/start_engine/startup_faults.h"

#include <re2/re2.h>

#include <algorithm>
#include <iterator>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "agent/verbs/signatures.h"

namespace npufleet::verbs {
namespace {

constexpr size_t kTailLines = 40;
// vLLM reports its wait for Ray's NPUs after 10, 30, 70, 150 … seconds and gives up after 1800.
constexpr int kPlacementPatience = 150;

// Lines of a failure whose cause stands in another line.
constexpr const char* kWrappers[] = {"NET-11", "SRV-23", "SRV-24", "RUN-01", "RUN-14"};
// Lines of who waits for a rank that has died, or that name one that was killed: why, stands in
// another line, of another rank, or in the kernel's log.
constexpr const char* kConsequences[] = {"NET-06", "NET-08", "NET-09", "NET-14", "NET-15", "SRV-25",
                                         "SRV-27", "RUN-02", "RUN-03", "RUN-15", "RAW-05"};
// Lines that a start that succeeds shows, too.
constexpr const char* kHarmless[] = {"SRV-04", "SRV-05", "NET-16", "RUN-05"};
// One rank has failed, and its server waits for it.
constexpr const char* kFatal[] = {"SRV-09", "SRV-11", "SRV-20", "SRV-24", "NET-06",
                                  "NET-07", "NET-08", "NET-09", "NET-10", "NET-13",
                                  "RUN-03", "RUN-07", "RUN-08"};

template <size_t size>
bool IsAmong(const std::string& signature, const char* const (&signatures)[size]) {
  return std::find(std::begin(signatures), std::end(signatures), signature) != std::end(signatures);
}

int SecondsWithoutPlacement(std::string_view line) {
  constexpr std::string_view kText = "Waiting for creating a placement group of specs for ";
  const size_t at = line.find(kText);
  if (at == std::string_view::npos) return 0;
  const std::string_view rest = line.substr(at + kText.size());
  int seconds = 0;
  return absl::SimpleAtoi(std::string(rest.substr(0, rest.find(' '))), &seconds) ? seconds : 0;
}

// Ray passes a worker's lines on: "(RayWorkerWrapper pid=860, ip=192.168.0.16) …"; those of the
// head's own ranks have no ip.
std::string AddressOf(std::string_view line) {
  static const RE2& kPrefix = *new RE2(R"(\(\w+ pid=\d+, ip=([0-9a-fA-F.:]+)\))");
  std::string address;
  RE2::PartialMatch(re2::StringPiece(line.data(), line.size()), kPrefix, &address);
  return address;
}

}  // namespace

void StartupFaults::Read(std::string_view line) {
  tail_.emplace_back(line);
  if (tail_.size() > kTailLines) tail_.pop_front();
  std::optional<v1::Failure> failure = MatchSignature("serve", line);
  if (!failure.has_value()) return;
  if (IsAmong(failure->signature(), kHarmless) &&
      SecondsWithoutPlacement(line) < kPlacementPatience) {
    return;
  }
  if (IsAmong(failure->signature(), kFatal) || IsAmong(failure->signature(), kHarmless)) {
    fatal_ = true;
  }
  std::optional<v1::Failure>& kept = IsAmong(failure->signature(), kWrappers)       ? wrapper_
                                     : IsAmong(failure->signature(), kConsequences) ? consequence_
                                                                                    : cause_;
  if (kept.has_value()) return;
  const std::string node = node_of_ ? node_of_(AddressOf(line)) : "";
  if (!node.empty()) failure->set_symptom(absl::StrCat("on ", node, ": ", failure->symptom()));
  kept = std::move(failure);
}

v1::Failure StartupFaults::Cause(std::string_view symptom) const {
  v1::Failure cause;
  if (cause_.has_value()) {
    cause = *cause_;
  } else if (consequence_.has_value()) {
    cause = *consequence_;
  } else if (wrapper_.has_value()) {
    cause = *wrapper_;
  } else {
    cause.set_class_(v1::Failure::TRANSIENT);
    cause.set_symptom(std::string(symptom));
    cause.set_advice("Read the server's log.");
  }
  cause.clear_log_tail();
  for (const std::string& line : tail_) cause.add_log_tail(line);
  return cause;
}

}  // namespace npufleet::verbs
