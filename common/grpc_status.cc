// SPDX-License-Identifier: Apache-2.0
#include "common/grpc_status.h"

#include <string>

#include "common/failure.h"

namespace npufleet {

grpc::Status ToGrpcStatus(const absl::Status& status) {
  std::string details;
  if (const std::optional<v1::Failure> failure = FailureOf(status)) {
    details = failure->SerializeAsString();
  }
  // Both enumerations have the canonical numbers.
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), std::string(status.message()),
                      details);
}

absl::Status FromGrpcStatus(const grpc::Status& status) {
  const absl::Status plain(static_cast<absl::StatusCode>(status.error_code()),
                           status.error_message());
  v1::Failure failure;
  if (status.ok() || status.error_details().empty() ||
      !failure.ParseFromString(status.error_details())) {
    return plain;
  }
  absl::Status with_failure = plain;
  FailureStatus(failure).ForEachPayload([&](absl::string_view url, const absl::Cord& payload) {
    with_failure.SetPayload(url, payload);
  });
  return with_failure;
}

}  // namespace npufleet
