// SPDX-License-Identifier: Apache-2.0
#ifndef AGENT_VERBS_PROTO_DURATION_H_
#define AGENT_VERBS_PROTO_DURATION_H_

#include "absl/time/time.h"
#include "google/protobuf/duration.pb.h"

namespace npufleet::verbs {

// `otherwise` for a duration that is not set, or not positive.
inline absl::Duration ToDuration(const google::protobuf::Duration& duration,
                                 absl::Duration otherwise) {
  const absl::Duration value =
      absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos());
  return value > absl::ZeroDuration() ? value : otherwise;
}

}  // namespace npufleet::verbs

#endif  // AGENT_VERBS_PROTO_DURATION_H_
