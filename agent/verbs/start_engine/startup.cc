// SPDX-License-Identifier: Apache-2.0
#include "agent/verbs/start_engine/startup.h"

#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "agent/host/line_splitter.h"
#include "agent/verbs/container_exec.h"
#include "agent/verbs/kernel_log.h"
#include "agent/verbs/observation.h"
#include "agent/verbs/start_engine/engine_log.h"
#include "agent/verbs/start_engine/startup_faults.h"
#include "agent/verbs/start_engine/startup_progress.h"
#include "common/status_macros.h"

namespace npufleet::verbs {
namespace {

constexpr absl::Duration kPeriod = absl::Milliseconds(500);
constexpr absl::Duration kHttpDeadline = absl::Seconds(5);
constexpr absl::Duration kStall = absl::Minutes(10);
constexpr absl::Duration kFirstSight = absl::Seconds(10);  // from docker exec to a process
// A daemon that is busy or restarts (live-restore) takes no server with it: it loads on, unseen.
constexpr absl::Duration kUnseen = absl::Minutes(2);
// A rank's error is followed by its traceback, which names the cause.
constexpr absl::Duration kLastWords = absl::Seconds(3);

class Startup {
 public:
  Startup(host::Host& host, const StartupWant& want, Execution& execution)
      : host_(host), want_(want), execution_(execution) {}

  absl::Status Await() {
    const absl::Duration start = host_.clock->Elapsed();
    last_line_ = start;
    bool was_alive = false;
    while (true) {
      if (execution_.IsCancelled()) return absl::CancelledError();
      std::optional<int> server;
      if (const absl::Status looked = Look(&server); !looked.ok()) {
        RETURN_IF_ERROR(MayStayUnseen(looked));
        host_.clock->Sleep(kPeriod);
        continue;
      }
      unseen_since_.reset();
      const bool is_alive = server.has_value();
      was_alive |= is_alive;
      if (is_alive) FollowCut(*server);
      const absl::Duration now = host_.clock->Elapsed();
      if (!is_alive && (was_alive || now - start > kFirstSight)) {
        ReadLastWords();
        return Lost("vllm serve ended");
      }
      if (faults_.IsFatal()) return LostRank();
      if (now - last_line_ > kStall) {
        return Lost(absl::StrCat("no new line in the log for ", absl::FormatDuration(kStall)));
      }
      if (now - start > want_.deadline) {
        return Lost(absl::StrCat("not up within ", absl::FormatDuration(want_.deadline)));
      }
      if (Get("/health", nullptr) == 200) return MustListModel();
      host_.clock->Sleep(kPeriod);
    }
  }

 private:
  absl::Status Look(std::optional<int>* server) {
    RETURN_IF_ERROR(ReadLog());
    ASSIGN_OR_RETURN(*server, want_.server());
    return absl::OkStatus();
  }

  absl::Status MayStayUnseen(const absl::Status& why) {
    const absl::StatusOr<bool> runs = ContainerRuns(host_, want_.container);
    if (runs.ok() && !*runs) return why;
    const absl::Duration now = host_.clock->Elapsed();
    if (!unseen_since_.has_value()) {
      unseen_since_ = now;
      execution_.Log(absl::StrCat("not seen: ", std::string(why.message())));
    }
    if (now - *unseen_since_ <= kUnseen) return absl::OkStatus();
    return absl::UnavailableError(absl::StrCat("the server has not been seen for ",
                                               absl::FormatDuration(kUnseen), ": ",
                                               std::string(why.message())));
  }

  absl::Status ReadLog() {
    host::ExecSpec tail;
    tail.container = want_.container;
    tail.argv = {"tail", "-c", absl::StrCat("+", offset_ + 1), want_.log_path};
    absl::StatusOr<host::ExecResult> result = host_.docker->Exec(tail);
    if (!result.ok()) return Annotate(result.status(), "reading the server's log");
    if (result->exit_code != 0) return absl::OkStatus();  // not made yet
    offset_ += result->out.size();
    lines_.Add(result->out);
    return absl::OkStatus();
  }

  // What is known of the end is worth more than why its rest cannot be read.
  void ReadLastWords() { ReadLog().IgnoreError(); }

  // A log that is shorter than what was read of it has been emptied, and is read from its start.
  void FollowCut(int server) {
    if (EngineLogSize(host_, server).value_or(offset_) < offset_) offset_ = 0;
  }

  void ReadLine(std::string_view line) {
    last_line_ = host_.clock->Elapsed();
    if (line.empty()) return;
    execution_.Log(line);
    faults_.Read(line);
    const std::optional<v1::Progress> progress = progress_.Read(line);
    if (progress.has_value()) execution_.Report(*progress);
  }

  absl::Status LostRank() {
    const absl::Duration end = host_.clock->Elapsed() + kLastWords;
    while (host_.clock->Elapsed() < end && !execution_.IsCancelled()) {
      host_.clock->Sleep(kPeriod);
      ReadLastWords();
    }
    return Lost("a rank has failed");
  }

  absl::Status Lost(std::string_view symptom) const {
    v1::Failure failure = faults_.Cause(absl::StrCat(std::string(symptom), "; log ", want_.log_path,
                                                     " in container ", want_.container));
    if (faults_.HasCause()) return FailureStatus(failure);
    if (std::optional<v1::Failure> kernel =
            KernelFailure(host_, "serve", want_.container, began_)) {
      *kernel->mutable_log_tail() = failure.log_tail();
      return FailureStatus(*kernel);
    }
    return FailureStatus(failure);
  }

  // The HTTP status, 0 without an answer.
  int Get(std::string_view path, std::string* body) {
    host::HttpRequest request;
    request.url = absl::StrCat(want_.url, std::string(path));
    request.direct = true;
    request.deadline = kHttpDeadline;
    request.cancelled = [this] { return execution_.IsCancelled(); };
    absl::StatusOr<host::HttpResponse> response = host_.http->Send(request);
    if (!response.ok()) return 0;
    if (body != nullptr) *body = std::move(response->body);
    return response->status;
  }

  absl::Status MustListModel() {
    std::string body;
    const int status = Get("/v1/models", &body);
    if (execution_.IsCancelled()) return absl::CancelledError();
    using Json = nlohmann::json;
    const Json models = Json::parse(body, nullptr, /*allow_exceptions=*/false);
    if (status == 200 && models.is_object() && models.contains("data") &&
        models["data"].is_array()) {
      for (const Json& model : models["data"]) {
        if (model.is_object() && model.value("id", Json()) == want_.model) {
          ReportUp();
          return absl::OkStatus();
        }
      }
    }
    return SignedFailure(v1::Failure::CONFIG, "RUN-13",
                         absl::StrCat("GET /v1/models answers ", status, " and does not list ",
                                      want_.model, ": ", body.substr(0, 300)),
                         "Another server may hold the port: check engine.port in the spec.");
  }

  void ReportUp() {
    v1::Progress progress;
    progress.set_activity("up");
    progress.set_done(100);
    progress.set_total(100);
    progress.set_unit("percent");
    execution_.Report(progress);
  }

  host::Host& host_;
  const StartupWant& want_;
  Execution& execution_;
  uint64_t offset_ = 0;
  absl::Duration last_line_;
  std::optional<absl::Duration> unseen_since_;
  host::LineSplitter lines_{[this](std::string_view line) { ReadLine(line); }};
  StartupProgress progress_;
  StartupFaults faults_{want_.node_of};
  const absl::Time began_ = host_.clock->Now();
};

}  // namespace

absl::Status AwaitStartup(host::Host& host, const StartupWant& want, Execution& execution) {
  return Startup(host, want, execution).Await();
}

}  // namespace npufleet::verbs
