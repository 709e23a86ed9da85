// SPDX-License-Identifier: Apache-2.0
//
// ctl's way to the controller: its config.yaml, mTLS, and what each gRPC error means for the user.
#ifndef CONTROLLER_CTL_CONNECTION_H_
#define CONTROLLER_CTL_CONNECTION_H_

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "controller/ctl/exit_code.h"
#include "grpcpp/grpcpp.h"
#include "npufleet/v1/controller.grpc.pb.h"

namespace npufleet::ctl {

// config.yaml: controller: HOST:7600, ca, certificate, key (paths relative to the file).
struct Config {
  std::string controller;
  std::string ca;
  std::string certificate;
  std::string key;
};

// InvalidArgument says what is wrong in which file. NotFound: there is none at `path`.
absl::StatusOr<Config> ReadConfig(const std::string& path);

// `flag`, $NPUFLEET_CONFIG, ~/.npufleet/config.yaml, /etc/npufleet/ctl/config.yaml: the first two
// when they are given, else the first that exists and may be looked at. NotFound names where it
// looked, what it may not read, and how to get one.
absl::StatusOr<std::string> FindConfig(const std::string& flag);

struct ConnectionOptions {
  std::string config;             // --config
  std::string insecure_loopback;  // --insecure-loopback: plaintext to this loopback address
};

// Opens nothing yet: gRPC connects with the first call. InvalidArgument or NotFound: the
// configuration. A certificate that has expired or will within 30 days is told to `warnings`:
// nobody renews a person's certificate but the person.
absl::StatusOr<std::shared_ptr<grpc::Channel>> OpenChannel(const ConnectionOptions& options,
                                                           absl::Time now, std::ostream& warnings);

// Unary calls answer within this; plan and apply ask the agents and get longer.
constexpr absl::Duration kCallDeadline = absl::Seconds(10);
constexpr absl::Duration kPlanDeadline = absl::Seconds(90);

void SetDeadline(grpc::ClientContext& context, absl::Duration deadline);

ExitCode ExitCodeOf(const grpc::Status& status);
// What the status of a call over `channel` means, with advice where there is some. UNAVAILABLE is
// gRPC's word when the controller is not reachable, and the controller's own when it is busy or
// stopping: the connection, which is watched for a moment, tells which.
std::string Explain(const grpc::Status& status, grpc::Channel& channel);
// The connection or the controller's process is gone; asking again later may help.
bool IsUnreachable(const grpc::Status& status);

}  // namespace npufleet::ctl

#endif  // CONTROLLER_CTL_CONNECTION_H_
