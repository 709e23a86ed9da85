// SPDX-License-Identifier: Apache-2.0
//
// The gRPC API (proto/npufleet/v1/controller.proto): who may do what, the audit, and nothing else:
// reads go to View, changes to Control. Beside it on the same port: reflection and grpc.health.v1.
#ifndef CONTROLLER_API_SERVICE_H_
#define CONTROLLER_API_SERVICE_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "common/tls/identity.h"
#include "controller/api/audit.h"
#include "controller/api/enrolment.h"
#include "controller/runtime/control.h"
#include "controller/runtime/view.h"

namespace npufleet::api {

// What the API stands on. All of it outlives the server.
struct ServiceParts {
  runtime::View* view = nullptr;
  runtime::Control* control = nullptr;
  Enrolment* enrolment = nullptr;
  Clock* clock = nullptr;
  AuditSink audit;
};

// Serves until it is destroyed: watches are cancelled, calls that run get two seconds.
class ApiServer {
 public:
  virtual ~ApiServer() = default;
  virtual int port() const = 0;

  // `listen` is HOST:PORT; port 0 takes a free one. mTLS, always. Unavailable: cannot listen there.
  static absl::StatusOr<std::unique_ptr<ApiServer>> Start(const std::string& listen,
                                                          const tls::Identity& identity,
                                                          ServiceParts parts);
};

}  // namespace npufleet::api

#endif  // CONTROLLER_API_SERVICE_H_
