// SPDX-License-Identifier: Apache-2.0
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/spec/deployment.h"
#include "common/time_conversion.h"
#include "controller/ctl/commands.h"
#include "controller/ctl/follow.h"
#include "controller/ctl/text.h"

namespace npufleet::ctl {
namespace {

// The deployment in the file. Its errors are printed as they are, one a line, for editors to jump
// to.
absl::StatusOr<v1::Deployment> ReadDeployment(Context& context, const std::string& file) {
  absl::StatusOr<std::string> text = ReadInput(context, file);
  absl::StatusOr<v1::Deployment> deployment =
      text.ok() ? spec::ParseDeployment(*text, file == "-" ? "stdin" : file) : text.status();
  if (!deployment.ok()) context.terminal.err << deployment.status().message() << "\n" << std::flush;
  return deployment;
}

std::string NextSteps(const v1::Rollout& rollout) {
  return absl::StrCat("  ctl rollout watch ", rollout.name(),
                      "     # until it serves\n  ctl rollout status ", rollout.name(), "\n");
}

// "24 tasks were checked now; checked earlier: npu@node-a 12s, probe@node-a 41s ago".
std::string CheckedText(const v1::ApplyDeploymentReply& reply) {
  int now = 0;
  std::vector<std::string> earlier;
  for (const v1::Task& task : reply.rollout().tasks()) {
    const absl::Duration age = FromTimestamp(reply.time()) - FromTimestamp(task.observed_time());
    if (!task.has_observed_time()) {
      earlier.push_back(absl::StrCat(task.id(), " never"));
    } else if (age > absl::ZeroDuration()) {
      earlier.push_back(absl::StrCat(task.id(), " ", ShortDuration(age), " ago"));
    } else {
      ++now;
    }
  }
  return absl::StrCat(
      "  ", now, now == 1 ? " task was" : " tasks were", " checked now",
      earlier.empty() ? "" : "; checked in their own period: ", absl::StrJoin(earlier, ", "), "\n");
}

std::string AppliedText(const v1::ApplyDeploymentReply& reply, const View& view) {
  const v1::Rollout& rollout = reply.rollout();
  if (reply.unchanged() && IsSettled(rollout)) {
    return absl::StrCat(rollout.name(), ": nothing to do; revision ", rollout.revision(),
                        " serves at ", rollout.endpoint(), "\n", CheckedText(reply));
  }
  std::string text = RenderNotes(reply.notes(), view);
  if (reply.unchanged()) {
    absl::StrAppend(&text, rollout.name(), ": unchanged; revision ", rollout.revision(), " is ",
                    PhaseName(rollout.phase()), rollout.reason().empty() ? "" : ": ",
                    rollout.reason(), "\n");
  } else {
    absl::StrAppend(&text, rollout.name(), ": revision ", rollout.revision(), " accepted\n");
  }
  return text;
}

}  // namespace

ExitCode ApplyRollout(Context& context, const std::string& file, const WaitOptions& wait) {
  absl::StatusOr<v1::Deployment> deployment = ReadDeployment(context, file);
  if (!deployment.ok() || !context.Connect()) return ExitCode::kUsage;
  v1::ApplyDeploymentRequest request;
  *request.mutable_deployment() = *std::move(deployment);
  v1::ApplyDeploymentReply reply;
  grpc::ClientContext call;
  SetDeadline(call, kPlanDeadline);
  grpc::Status status = context.stub->ApplyDeployment(&call, request, &reply);
  if (!status.ok()) return context.Fail(status);
  const v1::Rollout& rollout = reply.rollout();
  bool done = reply.unchanged() && IsSettled(rollout);
  if (wait.wait && !done) {
    if (context.output == Output::kTable)
      context.terminal.out << AppliedText(reply, context.Now()) << std::flush;
    FollowOptions follow;
    follow.name = rollout.name();
    follow.timeout = wait.timeout;
    follow.revision = rollout.revision();
    return Follow(context, follow);
  }
  context.Print(reply, [&] {
    return absl::StrCat(AppliedText(reply, context.Now()), done ? "" : NextSteps(rollout));
  });
  return ExitCode::kDone;
}

ExitCode PlanRollout(Context& context, const std::string& file, bool commands) {
  absl::StatusOr<v1::Deployment> deployment = ReadDeployment(context, file);
  if (!deployment.ok() || !context.Connect()) return ExitCode::kUsage;
  v1::PlanDeploymentRequest request;
  *request.mutable_deployment() = *std::move(deployment);
  request.set_commands(commands);
  v1::Plan plan;
  grpc::ClientContext call;
  SetDeadline(call, kPlanDeadline);
  grpc::Status status = context.stub->PlanDeployment(&call, request, &plan);
  if (!status.ok()) return context.Fail(status);
  context.Print(plan, [&] {
    return commands ? RenderCommands(plan, context.Now()) : RenderPlan(plan, context.Now());
  });
  return ExitCode::kDone;
}

}  // namespace npufleet::ctl
