// SPDX-License-Identifier: Apache-2.0
//
// What every command is given, and the few things that all of them do.
#ifndef CONTROLLER_CTL_CONTEXT_H_
#define CONTROLLER_CTL_CONTEXT_H_

#include <functional>
#include <memory>
#include <string>

#include "controller/ctl/connection.h"
#include "controller/ctl/exit_code.h"
#include "controller/ctl/render.h"
#include "controller/ctl/terminal.h"
#include "google/protobuf/message.h"
#include "npufleet/v1/controller.grpc.pb.h"

namespace npufleet::ctl {

enum class Output { kTable, kJson, kYaml };

struct Program {
  std::string version;
  std::string commit;
};

struct Context {
  Terminal& terminal;
  Program program;
  Output output = Output::kTable;
  ConnectionOptions connection;
  std::shared_ptr<grpc::Channel> channel;      // by Connect
  std::unique_ptr<v1::Controller::Stub> stub;  // by Connect

  // Now, in the local time zone.
  View Now() const;

  // False after it has said on stderr what is wrong with the configuration: exit with kUsage.
  bool Connect();

  // Says on stderr what went wrong.
  ExitCode Fail(ExitCode code, const std::string& message) const;
  // The same of a call that Connect has made possible.
  ExitCode Fail(const grpc::Status& status) const {
    return Fail(ExitCodeOf(status), Explain(status, *channel));
  }

  // The message by -o json or yaml, or what `table` renders.
  void Print(const google::protobuf::Message& message,
             const std::function<std::string()>& table) const;
  // The same for one of a stream: a line of JSON, or a YAML document.
  void PrintNext(const google::protobuf::Message& message,
                 const std::function<std::string()>& table) const;
};

}  // namespace npufleet::ctl

#endif  // CONTROLLER_CTL_CONTEXT_H_
