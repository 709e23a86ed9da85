// SPDX-License-Identifier: Apache-2.0
#ifndef AGENT_SERVICE_GRPC_STATUS_H_
#define AGENT_SERVICE_GRPC_STATUS_H_

#include <string>

#include "absl/status/status.h"
#include "grpcpp/support/status.h"

namespace npufleet::service {

// Both count the codes alike.
inline grpc::Status ToGrpc(const absl::Status& status) {
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), std::string(status.message()));
}

}  // namespace npufleet::service

#endif  // AGENT_SERVICE_GRPC_STATUS_H_
