// SPDX-License-Identifier: Apache-2.0
#include "controller/ctl/commands.h"
#include "controller/ctl/follow.h"

namespace npufleet::ctl {
namespace {

ExitCode Said(Context& context, const v1::Rollout& rollout, v1::ControlRolloutRequest::Verb verb,
              const WaitOptions& wait, bool until_deleted) {
  if (!wait.wait) {
    context.Print(rollout, [&] { return RenderControl(verb, rollout, context.Now()); });
    return ExitCode::kDone;
  }
  FollowOptions follow;
  follow.name = rollout.name();
  follow.timeout = wait.timeout;
  follow.revision = rollout.revision();
  follow.until_deleted = until_deleted;
  return Follow(context, follow);
}

}  // namespace

ExitCode ControlRollout(Context& context, v1::ControlRolloutRequest request,
                        const WaitOptions& wait) {
  if (!context.Connect()) return ExitCode::kUsage;
  v1::Rollout rollout;
  grpc::ClientContext call;
  SetDeadline(call, kCallDeadline);
  grpc::Status status = context.stub->ControlRollout(&call, request, &rollout);
  if (!status.ok()) return context.Fail(status);
  return Said(context, rollout, request.verb(), wait, false);
}

ExitCode DeleteRollout(Context& context, const std::string& name, const WaitOptions& wait) {
  if (!context.Connect()) return ExitCode::kUsage;
  v1::DeleteDeploymentRequest request;
  request.set_name(name);
  v1::Rollout rollout;
  grpc::ClientContext call;
  SetDeadline(call, kCallDeadline);
  grpc::Status status = context.stub->DeleteDeployment(&call, request, &rollout);
  if (!status.ok()) return context.Fail(status);
  return Said(context, rollout, v1::ControlRolloutRequest::VERB_UNSPECIFIED, wait, true);
}

}  // namespace npufleet::ctl
