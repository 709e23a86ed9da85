// SPDX-License-Identifier: Apache-2.0
#include "absl/strings/str_cat.h"
#include "controller/ctl/commands.h"
#include "controller/ctl/follow.h"
#include "controller/ctl/text.h"

namespace npufleet::ctl {

ExitCode ShowRollouts(Context& context) {
  if (!context.Connect()) return ExitCode::kUsage;
  v1::ListRolloutsReply reply;
  grpc::ClientContext call;
  SetDeadline(call, kCallDeadline);
  grpc::Status status = context.stub->ListRollouts(&call, {}, &reply);
  if (!status.ok()) return context.Fail(status);
  context.Print(reply, [&] { return RenderRollouts(reply, context.Now()); });
  return ExitCode::kDone;
}

ExitCode ShowRollout(Context& context, const std::string& name) {
  if (!context.Connect()) return ExitCode::kUsage;
  v1::GetRolloutRequest request;
  request.set_name(name);
  v1::Rollout rollout;
  grpc::ClientContext call;
  SetDeadline(call, kCallDeadline);
  grpc::Status status = context.stub->GetRollout(&call, request, &rollout);
  if (!status.ok()) return context.Fail(status);
  context.Print(rollout, [&] { return RenderRollout(rollout, context.Now()); });
  // For scripts: a rollout that was given up is no success, whatever the call was.
  return rollout.phase() == v1::Rollout::FAILED ? ExitCode::kFailed : ExitCode::kDone;
}

ExitCode ExplainTask(Context& context, const std::string& rollout, const std::string& task) {
  if (!context.Connect()) return ExitCode::kUsage;
  v1::ExplainTaskRequest request;
  request.set_rollout(rollout);
  request.set_task(task);
  v1::Explanation explanation;
  grpc::ClientContext call;
  SetDeadline(call, kCallDeadline);
  grpc::Status status = context.stub->ExplainTask(&call, request, &explanation);
  if (!status.ok()) return context.Fail(status);
  context.Print(explanation, [&] { return RenderExplanation(explanation, context.Now()); });
  return ExitCode::kDone;
}

ExitCode WatchRollout(Context& context, const std::string& name, bool forever,
                      absl::Duration timeout) {
  if (!context.Connect()) return ExitCode::kUsage;
  FollowOptions options;
  options.name = name;
  options.forever = forever;
  options.timeout = timeout;
  return Follow(context, options);
}

ExitCode ShowHistory(Context& context, const std::string& name) {
  if (!context.Connect()) return ExitCode::kUsage;
  v1::ListRevisionsRequest request;
  request.set_name(name);
  v1::ListRevisionsReply reply;
  grpc::ClientContext call;
  SetDeadline(call, kCallDeadline);
  grpc::Status status = context.stub->ListRevisions(&call, request, &reply);
  if (!status.ok()) return context.Fail(status);
  context.Print(reply, [&] { return RenderRevisions(reply, context.Now()); });
  return ExitCode::kDone;
}

ExitCode ShowTaskLog(Context& context, const std::string& rollout, const std::string& task,
                     bool follow) {
  if (!context.Connect()) return ExitCode::kUsage;
  v1::WatchTaskLogRequest request;
  request.set_rollout(rollout);
  request.set_task(task);
  request.set_follow(follow);
  grpc::ClientContext call;
  if (!follow) SetDeadline(call, kPlanDeadline);
  auto stream = context.stub->WatchTaskLog(&call, request);
  v1::OperationEvent event;
  while (stream->Read(&event)) {
    bool is_log = event.event_case() == v1::OperationEvent::kLogLine;
    if (context.output == Output::kTable && !is_log) continue;
    context.PrintNext(event, [&] { return absl::StrCat(Printable(event.log_line()), "\n"); });
  }
  grpc::Status status = stream->Finish();
  return status.ok() ? ExitCode::kDone : context.Fail(status);
}

namespace {

// Pages until there is no more; `after` becomes the cursor behind the last event.
grpc::Status PrintEvents(Context& context, const std::string& rollout, uint64_t* after) {
  while (true) {
    v1::ListEventsRequest request;
    request.set_after(*after);
    request.set_page_size(1000);
    request.set_rollout(rollout);
    v1::ListEventsReply reply;
    grpc::ClientContext call;
    SetDeadline(call, kCallDeadline);
    grpc::Status status = context.stub->ListEvents(&call, request, &reply);
    if (!status.ok()) return status;
    for (const v1::Event& event : reply.events()) {
      context.PrintNext(event, [&] { return RenderEvent(event, context.Now()); });
      *after = event.id();
    }
    if (reply.events().empty()) return grpc::Status::OK;
  }
}

}  // namespace

ExitCode ShowEvents(Context& context, const std::string& rollout, bool follow, uint64_t after) {
  if (!context.Connect()) return ExitCode::kUsage;
  grpc::Status status = PrintEvents(context, rollout, &after);
  if (!status.ok() || !follow) return status.ok() ? ExitCode::kDone : context.Fail(status);
  v1::ListEventsRequest request;
  request.set_after(after);
  request.set_rollout(rollout);
  grpc::ClientContext call;
  auto stream = context.stub->WatchEvents(&call, request);
  v1::Event event;
  while (stream->Read(&event)) {
    context.PrintNext(event, [&] { return RenderEvent(event, context.Now()); });
  }
  status = stream->Finish();
  return status.ok() ? ExitCode::kDone : context.Fail(status);
}

}  // namespace npufleet::ctl
