// SPDX-License-Identifier: Apache-2.0
//
// absl::Status over gRPC: code and message, and the v1::Failure payload as the error details.
#ifndef COMMON_GRPC_STATUS_H_
#define COMMON_GRPC_STATUS_H_

#include "absl/status/status.h"
#include "grpcpp/support/status.h"

namespace npufleet {

grpc::Status ToGrpcStatus(const absl::Status& status);
absl::Status FromGrpcStatus(const grpc::Status& status);

}  // namespace npufleet

#endif  // COMMON_GRPC_STATUS_H_
