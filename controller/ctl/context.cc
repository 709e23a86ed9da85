// SPDX-License-Identifier: Apache-2.0
#include "controller/ctl/context.h"

#include "common/clock.h"
#include "common/spec/yaml.h"

namespace npufleet::ctl {

View Context::Now() const { return {Clock::Real().Now(), absl::LocalTimeZone(), terminal.colour}; }

bool Context::Connect() {
  absl::StatusOr<std::shared_ptr<grpc::Channel>> opened =
      OpenChannel(connection, Clock::Real().Now(), terminal.err);
  if (!opened.ok()) {
    Fail(ExitCode::kUsage, std::string(opened.status().message()));
    return false;
  }
  channel = *std::move(opened);
  stub = v1::Controller::NewStub(channel);
  return true;
}

ExitCode Context::Fail(ExitCode code, const std::string& message) const {
  terminal.out << std::flush;
  terminal.err << "ctl: " << message << "\n" << std::flush;
  return code;
}

void Context::Print(const google::protobuf::Message& message,
                    const std::function<std::string()>& table) const {
  switch (output) {
    case Output::kTable:
      terminal.out << table();
      break;
    case Output::kJson:
      terminal.out << spec::WriteJson(message);
      break;
    case Output::kYaml:
      terminal.out << spec::WriteYaml(message);
      break;
  }
  terminal.out << std::flush;
}

void Context::PrintNext(const google::protobuf::Message& message,
                        const std::function<std::string()>& table) const {
  switch (output) {
    case Output::kTable:
      terminal.out << table();
      break;
    case Output::kJson:
      terminal.out << spec::WriteCompactJson(message) << "\n";
      break;
    case Output::kYaml:
      terminal.out << "---\n" << spec::WriteYaml(message);
      break;
  }
  terminal.out << std::flush;
}

}  // namespace npufleet::ctl
