// SPDX-License-Identifier: Apache-2.0
//
// One error type: absl::Status, which may carry a v1::Failure as payload (docs/architecture.md,
// "Failures are data").
#ifndef COMMON_FAILURE_H_
#define COMMON_FAILURE_H_

#include <optional>
#include <string_view>

#include "absl/status/status.h"
#include "npufleet/v1/operation.pb.h"

namespace npufleet {

// A status whose message is the failure's symptom. Its code follows the class: TRANSIENT ->
// Unavailable, CONFIG -> InvalidArgument, all others FailedPrecondition.
absl::Status FailureStatus(const v1::Failure& failure);

// Shorthand for a failure found by our own code rather than by a signature.
absl::Status FailureStatus(v1::Failure::Class failure_class, std::string_view symptom,
                           std::string_view advice);

// The payload, or nothing when the status carries none.
std::optional<v1::Failure> FailureOf(const absl::Status& status);

// The payload, or a failure made from code and message: Unavailable, DeadlineExceeded, Aborted and
// ResourceExhausted are TRANSIENT, InvalidArgument and NotFound CONFIG, all others NEEDS_OPERATOR.
v1::Failure ToFailure(const absl::Status& status);

}  // namespace npufleet

#endif  // COMMON_FAILURE_H_
