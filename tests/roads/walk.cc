// SPDX-License-Identifier: Apache-2.0
//
// One call to a real agent on loopback, for scripts that have no gRPC:
//
//   roads_walk 127.0.0.1:PORT check         subject (JSON) on stdin; prints the observation
//   roads_walk 127.0.0.1:PORT apply ID      runs it to its end; prints each event as a line of JSON
//   roads_walk 127.0.0.1:PORT stop ID
//
// Exit status: 0 checked, or the operation succeeded; 1 it did not; 2 the call failed.
#include <iostream>
#include <iterator>
#include <string>

#include "google/protobuf/util/json_util.h"
#include "grpcpp/grpcpp.h"
#include "npufleet/v1/agent.grpc.pb.h"

namespace {

using npufleet::v1::Agent;

void Print(const google::protobuf::Message& message) {
  std::string json;
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  (void)google::protobuf::util::MessageToJsonString(message, &json, options);
  std::cout << json << std::endl;
}

int Fail(const grpc::Status& status) {
  std::cerr << "roads_walk: " << status.error_message() << "\n";
  return 2;
}

grpc::Status Check(Agent::Stub& agent, const npufleet::v1::Subject& subject,
                   npufleet::v1::CheckReply& reply) {
  grpc::ClientContext context;
  npufleet::v1::CheckRequest request;
  *request.add_subjects() = subject;
  return agent.Check(&context, request, &reply);
}

int RunOperation(Agent::Stub& agent, const npufleet::v1::StartOperationRequest& request) {
  grpc::ClientContext start;
  npufleet::v1::Operation operation;
  if (grpc::Status status = agent.StartOperation(&start, request, &operation); !status.ok()) {
    return Fail(status);
  }
  grpc::ClientContext watch;
  npufleet::v1::WatchOperationRequest watched;
  watched.set_id(request.id());
  auto events = agent.WatchOperation(&watch, watched);
  npufleet::v1::OperationEvent event;
  while (events->Read(&event)) {
    Print(event);
    if (event.has_operation()) operation = event.operation();
  }
  if (grpc::Status status = events->Finish(); !status.ok()) return Fail(status);
  return operation.state() == npufleet::v1::Operation::SUCCEEDED ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string action = argc > 2 ? argv[2] : "";
  const bool is_check = action == "check";
  if (argc != (is_check ? 3 : 4) || (!is_check && action != "apply" && action != "stop")) {
    std::cerr << "usage: roads_walk ADDRESS check | apply ID | stop ID  < subject.json\n";
    return 2;
  }
  npufleet::v1::StartOperationRequest request;
  const std::string json{std::istreambuf_iterator<char>(std::cin), {}};
  auto parsed = google::protobuf::util::JsonStringToMessage(json, request.mutable_subject());
  if (!parsed.ok()) {
    std::cerr << "roads_walk: " << parsed << "\n";
    return 2;
  }
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  std::unique_ptr<Agent::Stub> agent = Agent::NewStub(
      grpc::CreateCustomChannel(argv[1], grpc::InsecureChannelCredentials(), arguments));
  npufleet::v1::CheckReply reply;
  if (grpc::Status status = Check(*agent, request.subject(), reply); !status.ok()) {
    return Fail(status);
  }
  if (is_check) {
    Print(reply.observations(0).observation());
    return 0;
  }
  request.set_id(argv[3]);
  request.set_epoch(1);
  request.set_boot_id(reply.boot_id());
  request.set_action(action == "stop" ? npufleet::v1::Operation::STOP
                                      : npufleet::v1::Operation::APPLY);
  return RunOperation(*agent, request);
}
