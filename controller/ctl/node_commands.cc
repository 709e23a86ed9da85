// SPDX-License-Identifier: Apache-2.0
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "controller/ctl/commands.h"

namespace npufleet::ctl {
namespace {

grpc::Status Nodes(Context& context, v1::ListNodesReply* reply) {
  grpc::ClientContext call;
  SetDeadline(call, kCallDeadline);
  return context.stub->ListNodes(&call, {}, reply);
}

}  // namespace

ExitCode ListNodes(Context& context) {
  if (!context.Connect()) return ExitCode::kUsage;
  v1::ListNodesReply reply;
  grpc::Status status = Nodes(context, &reply);
  if (!status.ok()) return context.Fail(status);
  context.Print(reply, [&] { return RenderNodes(reply, context.Now()); });
  return ExitCode::kDone;
}

ExitCode ShowNode(Context& context, const std::string& name) {
  if (!context.Connect()) return ExitCode::kUsage;
  v1::ListNodesReply reply;
  grpc::Status status = Nodes(context, &reply);
  if (!status.ok()) return context.Fail(status);
  std::vector<std::string> names;
  for (const v1::NodeStatus& node : reply.nodes()) {
    names.push_back(node.name());
    if (node.name() != name) continue;
    context.Print(node, [&] { return RenderNode(node, context.Now()); });
    return ExitCode::kDone;
  }
  return context.Fail(ExitCode::kFailed,
                      absl::StrCat("no node ", name, "; known are: ", absl::StrJoin(names, ", ")));
}

ExitCode RebootNode(Context& context, const std::string& name) {
  if (!context.Connect()) return ExitCode::kUsage;
  v1::RebootNodeRequest request;
  request.set_name(name);
  v1::NodeStatus node;
  grpc::ClientContext call;
  SetDeadline(call, kCallDeadline);
  grpc::Status status = context.stub->RebootNode(&call, request, &node);
  if (!status.ok()) return context.Fail(status);
  context.Print(node, [&] {
    return absl::StrCat(node.name(), ": will reboot; its rollout goes on by itself afterwards\n",
                        "  ctl rollout watch ", node.rollout(), "\n  ctl node show ", node.name(),
                        "\n");
  });
  return ExitCode::kDone;
}

ExitCode RemoveNode(Context& context, const std::string& name) {
  if (!context.Connect()) return ExitCode::kUsage;
  v1::RemoveNodeRequest request;
  request.set_name(name);
  v1::NodeStatus node;
  grpc::ClientContext call;
  SetDeadline(call, kCallDeadline);
  grpc::Status status = context.stub->RemoveNode(&call, request, &node);
  if (!status.ok()) return context.Fail(status);
  context.Print(node, [&] {
    return absl::StrCat(
        node.name(), ": removed; its certificate is not renewed any more, and what ",
        "is installed on it stays. To admit it again: ctl token create --node ", node.name(), "\n");
  });
  return ExitCode::kDone;
}

ExitCode ShowChips(Context& context) {
  if (!context.Connect()) return ExitCode::kUsage;
  v1::ListNodesReply reply;
  grpc::Status status = Nodes(context, &reply);
  if (!status.ok()) return context.Fail(status);
  context.Print(reply, [&] { return RenderChips(reply, context.Now()); });
  return ExitCode::kDone;
}

ExitCode CreateToken(Context& context, const std::string& node, absl::Duration valid_for) {
  if (!context.Connect()) return ExitCode::kUsage;
  v1::CreateJoinTokenRequest request;
  request.set_node(node);
  request.mutable_valid_for()->set_seconds(absl::ToInt64Seconds(valid_for));
  v1::CreateJoinTokenReply reply;
  grpc::ClientContext call;
  SetDeadline(call, kCallDeadline);
  grpc::Status status = context.stub->CreateJoinToken(&call, request, &reply);
  if (!status.ok()) return context.Fail(status);
  // Alone on its line, for scripts.
  context.Print(reply, [&] { return absl::StrCat(reply.token(), "\n"); });
  return ExitCode::kDone;
}

}  // namespace npufleet::ctl
