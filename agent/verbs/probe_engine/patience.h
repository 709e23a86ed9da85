// SPDX-License-Identifier: Apache-2.0
//
// How long one completion of a probe is waited for. Pure: it is told the time (of a steady clock)
// and the engine's counter of generated tokens.
#ifndef AGENT_VERBS_PROBE_ENGINE_PATIENCE_H_
#define AGENT_VERBS_PROBE_ENGINE_PATIENCE_H_

#include <optional>

#include "absl/time/time.h"

namespace npufleet::verbs {

// How often in a limit the counter is looked at: what was generated before the engine began to hang
// is no life of it, also when it was the probe's own answer.
inline constexpr int kLooksPerLimit = 12;

// Ends when no token was generated for anybody for the limit (silent), or when the completion has
// had its limit and tokens are being generated (busy).
class Patience {
 public:
  Patience(absl::Duration limit, absl::Duration start, std::optional<double> tokens)
      : limit_(limit),
        start_(start),
        looked_(start),
        progress_(start),
        first_(tokens),
        last_(tokens) {}

  // Also once more before it is called busy: the last look may be almost one look old.
  bool WantsLook(absl::Duration now) const {
    return now - looked_ >= limit_ / kLooksPerLimit || IsBusy(now);
  }

  // What the counter said to a look from `begun` to `ended`; nothing: it could not be read.
  void Looked(absl::Duration begun, absl::Duration ended, std::optional<double> tokens) {
    looked_ = ended;
    grows_ = tokens.has_value() && last_.has_value() && *tokens > *last_;
    if (grows_) progress_ = begun;
    if (!first_.has_value()) first_ = tokens;
    if (tokens.has_value()) last_ = tokens;
  }

  bool IsOver(absl::Duration now) const { return now - progress_ >= limit_ || IsBusy(now); }
  bool IsBusy(absl::Duration now) const { return grows_ && now - start_ >= limit_; }
  // Since the start.
  double Generated() const { return last_.value_or(0) - first_.value_or(0); }

 private:
  absl::Duration limit_;
  absl::Duration start_;
  absl::Duration looked_;
  absl::Duration progress_;  // no token is known to be newer
  std::optional<double> first_;
  std::optional<double> last_;
  bool grows_ = false;  // at the last look
};

}  // namespace npufleet::verbs

#endif  // AGENT_VERBS_PROBE_ENGINE_PATIENCE_H_
