// SPDX-License-Identifier: Apache-2.0
#include "controller/ctl/follow.h"

#include <algorithm>
#include <deque>
#include <thread>
#include <variant>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "common/clock.h"
#include "controller/ctl/text.h"

namespace npufleet::ctl {
namespace {

// A stream that a power cut has silenced looks like a quiet one: each is opened anew after this.
constexpr absl::Duration kStreamLife = absl::Seconds(30);
constexpr absl::Duration kRetryAfter = absl::Seconds(1);

// What the reader thread saw: the rollout, or why it sees nothing.
using Update = std::variant<v1::Rollout, grpc::Status>;

// Reads WatchRollout again and again on its own thread, until it is destroyed or the controller
// refuses.
class RolloutReader {
 public:
  RolloutReader(v1::Controller::Stub& stub, std::string name)
      : stub_(stub), name_(std::move(name)), thread_([this] { Run(); }) {}
  ~RolloutReader() {
    {
      absl::MutexLock lock(&mutex_);
      stopped_ = true;
      if (call_ != nullptr) call_->TryCancel();
    }
    thread_.join();
  }

  // The next update, or nothing within `timeout`.
  std::optional<Update> Next(absl::Duration timeout) {
    absl::MutexLock lock(&mutex_);
    mutex_.AwaitWithTimeout(
        absl::Condition(
            +[](std::deque<Update>* queue) { return !queue->empty(); }, &queue_),
        timeout);
    if (queue_.empty()) return std::nullopt;
    Update update = std::move(queue_.front());
    queue_.pop_front();
    return update;
  }

 private:
  void Push(Update update) {
    absl::MutexLock lock(&mutex_);
    queue_.push_back(std::move(update));
  }

  // False when stopped.
  bool Begin(grpc::ClientContext* call) {
    absl::MutexLock lock(&mutex_);
    call_ = stopped_ ? nullptr : call;
    return !stopped_;
  }
  void End() {
    absl::MutexLock lock(&mutex_);
    call_ = nullptr;
  }

  void Run() {
    v1::GetRolloutRequest request;
    request.set_name(name_);
    bool ever_answered = false;
    while (true) {
      grpc::ClientContext call;
      SetDeadline(call, kStreamLife);
      // A call that fails at once leaves the channel without anybody who polls: the next
      // connection's handshake then never ends. The first call must fail at once, the others may
      // wait for it.
      call.set_wait_for_ready(ever_answered);
      if (!Begin(&call)) return;
      auto stream = stub_.WatchRollout(&call, request);
      v1::Rollout rollout;
      bool answered = false;
      while (stream->Read(&rollout)) {
        answered = ever_answered = true;
        Push(rollout);
      }
      grpc::Status status = stream->Finish();
      End();
      bool lived = answered && status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED;
      if (lived || status.ok()) {
        if (status.ok() && Paused()) return;
        continue;
      }
      Push(status);
      if (!IsUnreachable(status) || Paused()) return;
    }
  }

  // Waits before the next attempt; true when stopped meanwhile.
  bool Paused() {
    absl::MutexLock lock(&mutex_);
    return mutex_.AwaitWithTimeout(absl::Condition(&stopped_), kRetryAfter);
  }

  v1::Controller::Stub& stub_;
  const std::string name_;
  absl::Mutex mutex_;
  std::deque<Update> queue_;
  grpc::ClientContext* call_ = nullptr;
  bool stopped_ = false;
  std::thread thread_;  // last: it uses the others
};

class Follower {
 public:
  Follower(Context& context, const FollowOptions& options)
      : context_(context), options_(options), live_(context.terminal.out) {}

  ExitCode Run();

 private:
  bool IsLive() const { return context_.terminal.interactive && context_.output == Output::kTable; }
  void Show(const v1::Rollout& rollout);
  void Redraw();
  ExitCode Finish(ExitCode code);
  std::optional<ExitCode> Lost(const grpc::Status& status);

  Context& context_;
  const FollowOptions& options_;
  LiveText live_;
  ChangeLines lines_;
  std::optional<v1::Rollout> rollout_;
  absl::Duration lost_since_ = absl::InfiniteDuration();
};

void Follower::Show(const v1::Rollout& rollout) {
  // A stream that is opened anew begins with what is known already.
  bool is_news = !rollout_ || rollout.change() != rollout_->change() || rollout.change() == 0;
  rollout_ = rollout;
  if (IsLive()) return Redraw();
  if (!is_news) return;
  context_.PrintNext(rollout, [&] {
    std::string text;
    for (const std::string& line : lines_.Next(rollout, context_.Now()))
      absl::StrAppend(&text, line, "\n");
    return text;
  });
}

void Follower::Redraw() {
  if (!IsLive() || !rollout_) return;
  std::string text = RenderProgress(*rollout_, context_.Now());
  if (lost_since_ != absl::InfiniteDuration()) {
    absl::StrAppend(&text, "\n",
                    Styled("the controller is not reachable; waiting for it", Style::kYellow,
                           context_.terminal.colour),
                    "\n");
  }
  live_.Draw(text);
}

std::optional<ExitCode> Follower::Lost(const grpc::Status& status) {
  if (!IsUnreachable(status)) {
    if (status.error_code() == grpc::StatusCode::NOT_FOUND && options_.until_deleted)
      return ExitCode::kDone;
    return context_.Fail(status);
  }
  absl::Duration now = Clock::Real().Elapsed();
  if (lost_since_ == absl::InfiniteDuration()) {
    lost_since_ = now;
    if (rollout_ && !IsLive()) {
      context_.terminal.err << "ctl: the controller is not reachable; waiting for it\n"
                            << std::flush;
    }
  }
  if (!rollout_ || now - lost_since_ > options_.patience) return context_.Fail(status);
  return std::nullopt;
}

ExitCode Follower::Finish(ExitCode code) {
  if (context_.output != Output::kTable) return code;
  std::string text = RenderRollout(*rollout_, context_.Now());
  if (IsLive()) {
    live_.Draw("");
  } else {
    context_.terminal.out << "\n";
  }
  context_.terminal.out << text << std::flush;
  return code;
}

ExitCode Follower::Run() {
  RolloutReader reader(*context_.stub, options_.name);
  absl::Duration deadline = Clock::Real().Elapsed() + options_.timeout;
  while (true) {
    absl::Duration left = deadline - Clock::Real().Elapsed();
    if (left <= absl::ZeroDuration()) {
      return context_.Fail(
          ExitCode::kTimedOut,
          absl::StrCat(options_.name, " is not done after ", ShortDuration(options_.timeout),
                       "; it goes on: ctl rollout watch ", options_.name));
    }
    std::optional<Update> update = reader.Next(std::min(left, absl::Seconds(1)));
    if (!update) {
      Redraw();  // the durations grow
    } else if (const auto* status = std::get_if<grpc::Status>(&*update)) {
      if (std::optional<ExitCode> code = Lost(*status)) return *code;
    } else {
      lost_since_ = absl::InfiniteDuration();
      Show(std::get<v1::Rollout>(*update));
      if (std::optional<ExitCode> code = Outcome(*rollout_, options_)) return Finish(*code);
    }
  }
}

}  // namespace

std::optional<ExitCode> Outcome(const v1::Rollout& rollout, const FollowOptions& options) {
  if (options.forever || rollout.revision() < options.revision) return std::nullopt;
  switch (rollout.phase()) {
    case v1::Rollout::SERVING:
      if (options.until_deleted || !IsSettled(rollout)) return std::nullopt;
      return ExitCode::kDone;
    case v1::Rollout::FAILED:
    case v1::Rollout::CANCELLED:
      return ExitCode::kFailed;
    case v1::Rollout::DELETED:
      return options.until_deleted ? ExitCode::kDone : ExitCode::kFailed;
    default:
      return std::nullopt;
  }
}

ExitCode Follow(Context& context, const FollowOptions& options) {
  return Follower(context, options).Run();
}

}  // namespace npufleet::ctl
