// SPDX-License-Identifier: Apache-2.0
//
// Staying with a rollout until it is done: `apply --wait`, `watch` and the like. The controller may
// go away meanwhile (its own node reboots in the middle of a first rollout): the follower comes
// back by itself.
#ifndef CONTROLLER_CTL_FOLLOW_H_
#define CONTROLLER_CTL_FOLLOW_H_

#include <optional>
#include <string>

#include "absl/time/time.h"
#include "controller/ctl/context.h"

namespace npufleet::ctl {

struct FollowOptions {
  std::string name;
  absl::Duration timeout = absl::InfiniteDuration();
  uint64_t revision = 0;  // older revisions are not done, whatever they say
  bool until_deleted = false;
  bool forever = false;  // never done
  // A controller that never answered is unreachable at once; one that did is waited for this long.
  absl::Duration patience = absl::Minutes(15);
};

// Whether the follower may stop here, and with what.
std::optional<ExitCode> Outcome(const v1::Rollout& rollout, const FollowOptions& options);

// Shows the rollout as it changes (in place on a terminal, lines otherwise) until it is done, and
// then what `status` shows. kTimedOut leaves the rollout going on.
ExitCode Follow(Context& context, const FollowOptions& options);

}  // namespace npufleet::ctl

#endif  // CONTROLLER_CTL_FOLLOW_H_
