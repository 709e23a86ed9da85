// SPDX-License-Identifier: Apache-2.0
//
// What any gRPC tool expects of a server: grpc.health.v1.Health, and reflection for grpcurl.
// Their messages are written as bytes: Debian ships the services, not their headers.
#include <gmock/gmock.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/integration/fleet.h"

namespace npufleet::integration {
namespace {

using ::testing::HasSubstr;

grpc::ByteBuffer Bytes(const std::string& text) {
  grpc::Slice slice(text);
  return grpc::ByteBuffer(&slice, 1);
}

// Sends one message to a method and reads one, as a unary call or as the first of a stream.
grpc::Status Ask(const std::shared_ptr<grpc::Channel>& channel, const std::string& method,
                 const std::string& request, std::string* reply) {
  grpc::GenericStub stub(channel);
  grpc::CompletionQueue queue;
  const auto context = Context();
  const auto stream = stub.PrepareCall(context.get(), method, &queue);
  const auto await = [&queue] {
    void* tag = nullptr;
    bool done = false;
    return queue.Next(&tag, &done) && done;
  };
  stream->StartCall(nullptr);
  grpc::ByteBuffer answer;
  if (await()) {
    stream->WriteLast(Bytes(request), {}, nullptr);
    if (await()) {
      stream->Read(&answer, nullptr);
      await();
    }
  }
  grpc::Status status;
  stream->Finish(&status, nullptr);
  await();
  std::vector<grpc::Slice> slices;
  if (answer.Valid() && answer.Dump(&slices).ok()) {
    for (const grpc::Slice& slice : slices) {
      reply->append(reinterpret_cast<const char*>(slice.begin()), slice.size());
    }
  }
  return status;
}

grpc::Status AskHealth(const std::shared_ptr<grpc::Channel>& channel, std::string* reply) {
  return Ask(channel, "/grpc.health.v1.Health/Check", "", reply);
}

grpc::Status ListServices(const std::shared_ptr<grpc::Channel>& channel, std::string* reply) {
  const std::string list_services = "\x3a\x01*";  // field 7 of ServerReflectionRequest
  return Ask(channel, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
             list_services, reply);
}

const char kServing[] = "\x08\x01";  // HealthCheckResponse{status: SERVING}

TEST(StandardServicesTest, TheControllerTellsItsHealthAndItsServices) {
  Fleet fleet(1);
  fleet.StartController();
  std::string health, services;
  const auto channel = fleet.ChannelToController("viewer");
  EXPECT_TRUE(AskHealth(channel, &health).ok());
  EXPECT_EQ(health, kServing);
  EXPECT_TRUE(ListServices(channel, &services).ok());
  EXPECT_THAT(services, HasSubstr("npufleet.v1.Controller"));
}

TEST(StandardServicesTest, TheAgentTellsThemToTheControllerOnly) {
  Fleet fleet(1);
  std::string health, services;
  const auto channel = fleet.ChannelToAgent(0, "controller");
  EXPECT_TRUE(AskHealth(channel, &health).ok());
  EXPECT_EQ(health, kServing);
  EXPECT_TRUE(ListServices(channel, &services).ok());
  EXPECT_THAT(services, HasSubstr("npufleet.v1.Agent"));

  std::string nothing;
  const auto stranger = fleet.ChannelToAgent(0, "admin");
  EXPECT_EQ(AskHealth(stranger, &nothing).error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(ListServices(stranger, &nothing).error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(nothing, "");
}

}  // namespace
}  // namespace npufleet::integration
