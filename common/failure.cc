// SPDX-License-Identifier: Apache-2.0
#include "common/failure.h"

#include <string>

namespace npufleet {
namespace {

constexpr absl::string_view kPayloadUrl = "npufleet.v1.Failure";

absl::StatusCode CodeOf(v1::Failure::Class failure_class) {
  switch (failure_class) {
    case v1::Failure::TRANSIENT:
      return absl::StatusCode::kUnavailable;
    case v1::Failure::CONFIG:
      return absl::StatusCode::kInvalidArgument;
    default:
      return absl::StatusCode::kFailedPrecondition;
  }
}

v1::Failure::Class ClassOf(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kResourceExhausted:
      return v1::Failure::TRANSIENT;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
      return v1::Failure::CONFIG;
    default:
      return v1::Failure::NEEDS_OPERATOR;
  }
}

}  // namespace

absl::Status FailureStatus(const v1::Failure& failure) {
  absl::Status status(CodeOf(failure.class_()), failure.symptom());
  status.SetPayload(kPayloadUrl, absl::Cord(failure.SerializeAsString()));
  return status;
}

absl::Status FailureStatus(v1::Failure::Class failure_class, std::string_view symptom,
                           std::string_view advice) {
  v1::Failure failure;
  failure.set_class_(failure_class);
  failure.set_symptom(std::string(symptom));
  failure.set_advice(std::string(advice));
  return FailureStatus(failure);
}

std::optional<v1::Failure> FailureOf(const absl::Status& status) {
  absl::optional<absl::Cord> payload = status.GetPayload(kPayloadUrl);
  v1::Failure failure;
  if (!payload || !failure.ParseFromString(std::string(*payload))) return std::nullopt;
  return failure;
}

v1::Failure ToFailure(const absl::Status& status) {
  if (std::optional<v1::Failure> failure = FailureOf(status)) return *failure;
  v1::Failure failure;
  failure.set_class_(ClassOf(status.code()));
  failure.set_symptom(std::string(status.message()));
  return failure;
}

}  // namespace npufleet
