// SPDX-License-Identifier: Apache-2.0
//
// Several sources for one thing, tried in the operator's order: the first that works.
#ifndef AGENT_VERBS_SOURCE_ATTEMPTS_H_
#define AGENT_VERBS_SOURCE_ATTEMPTS_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "agent/artifacts/fetch.h"
#include "agent/verbs/observation.h"
#include "agent/verbs/verb.h"

namespace npufleet::verbs {

// Keeps why each source was left out, and which of these failures is the whole's.
class SourceAttempts {
 public:
  explicit SourceAttempts(Execution& execution) : execution_(execution) {}

  // True when the next source may be tried after `failure`; false when none could help: cancelled,
  // or something that a person has to do on the node (no room).
  bool MayGoOn(std::string_view source, const absl::Status& failure) {
    reasons_.push_back(absl::StrCat(std::string(source), ": ", std::string(failure.message())));
    execution_.Log(reasons_.back());
    const v1::Failure::Class failure_class = ToFailure(failure).class_();
    // A source that may work later decides over one that never will.
    if (failure_.ok() || (failure_class == v1::Failure::TRANSIENT &&
                          ToFailure(failure_).class_() == v1::Failure::CONFIG)) {
      failure_ = failure;
    }
    if (absl::IsCancelled(failure) || failure_class == v1::Failure::NEEDS_OPERATOR) {
      failure_ = failure;
      return false;
    }
    return true;
  }

  // The failure of the whole: that of the source which decides, with why each was left out.
  absl::Status Failure() const {
    if (absl::IsCancelled(failure_)) return failure_;
    if (!failure_.ok()) {
      v1::Failure failure = ToFailure(failure_);
      if (reasons_.size() > 1) {
        for (const std::string& reason : reasons_) failure.add_log_tail(reason);
      }
      return FailureStatus(failure);
    }
    return FailureStatus(v1::Failure::CONFIG, "the spec names no source",
                         "Name at least one source in the spec.");
  }

 private:
  Execution& execution_;
  std::vector<std::string> reasons_;
  absl::Status failure_;
};

inline artifacts::FetchCallbacks CallbacksOf(Execution& execution, std::string activity) {
  artifacts::FetchCallbacks callbacks;
  callbacks.log = [&execution](std::string_view line) { execution.Log(line); };
  callbacks.cancelled = [&execution] { return execution.IsCancelled(); };
  callbacks.progress = [&execution, activity = std::move(activity)](uint64_t done, uint64_t total) {
    v1::Progress progress;
    progress.set_activity(activity);
    progress.set_done(done);
    progress.set_total(total);
    progress.set_unit("bytes");
    execution.Report(progress);
  };
  return callbacks;
}

}  // namespace npufleet::verbs

#endif  // AGENT_VERBS_SOURCE_ATTEMPTS_H_
