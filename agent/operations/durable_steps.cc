// SPDX-License-Identifier: Apache-2.0
#include "agent/operations/durable_steps.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/inotify.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "agent/host/filesystem.h"
#include "agent/host/line_splitter.h"
#include "agent/operations/supervisor.h"
#include "common/digest.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "common/string_views.h"

extern char** environ;

namespace npufleet::operations {
namespace {

// How long a request to cancel, or the death of a supervisor, may go unseen. Output and the end
// of the program are seen at once.
constexpr int kLookMilliseconds = 200;

class File {
 public:
  explicit File(int descriptor) : descriptor_(descriptor) {}
  ~File() {
    if (descriptor_ >= 0) close(descriptor_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  int get() const { return descriptor_; }

 private:
  int descriptor_;
};

bool IsStepName(std::string_view step) {
  if (step.empty() || step.size() > 64) return false;
  for (char c : step) {
    if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-' && c != '_') return false;
  }
  return true;
}

// The supervisor's environment, which is the program's, too. It is handed over in memory: it may
// hold a secret.
std::vector<std::string> EnvironmentOf(const host::ProcessOptions& options) {
  std::vector<std::string> environment;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    std::string_view text(*entry);
    const std::string name(text.substr(0, text.find('=')));
    // What systemd says to the agent is not for an installer.
    if (options.environment.count(name) > 0 || name == "NOTIFY_SOCKET" || name == "WATCHDOG_USEC" ||
        name == "WATCHDOG_PID" || name == "JOURNAL_STREAM") {
      continue;
    }
    environment.emplace_back(text);
  }
  for (const auto& [name, value] : options.environment) {
    environment.push_back(absl::StrCat(name, "=", value));
  }
  return environment;
}

std::vector<char*> Pointers(std::vector<std::string>& words) {
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  return pointers;
}

// Reads what a step prints, from where a former agent stopped handing out lines.
class OutputReader {
 public:
  OutputReader(const StepFiles& files, const host::ProcessOptions& options)
      : path_(files.output()),
        position_(
            open((files.folder() + "/handed-out").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)),
        splitter_(options.on_line) {
    // Not fsynced: it has to outlive the agent, not the boot.
    if (pread(position_.get(), &handed_out_, sizeof handed_out_, 0) != sizeof handed_out_) {
      handed_out_ = 0;
    }
  }

  void ReadMore() {
    File file(open(path_.c_str(), O_RDONLY | O_CLOEXEC));
    char buffer[16384];
    while (true) {
      ssize_t got = pread(file.get(), buffer, sizeof buffer, static_cast<off_t>(text_.size()));
      if (got <= 0) return;
      const uint64_t old = text_.size();
      text_.append(buffer, static_cast<size_t>(got));
      if (text_.size() <= handed_out_) continue;
      splitter_.Add(std::string_view(text_).substr(std::max(old, handed_out_)));
      handed_out_ = text_.size();
      Remember();
    }
  }

  std::string Finish() {
    ReadMore();
    splitter_.Finish();
    return std::move(text_);
  }

 private:
  // Up to the last whole line: a line in two parts is handed out whole by the next agent.
  void Remember() {
    const size_t end = text_.find_last_of("\n\r");
    const uint64_t whole = end == std::string::npos ? 0 : end + 1;
    [[maybe_unused]] ssize_t written = pwrite(position_.get(), &whole, sizeof whole, 0);
  }

  const std::string path_;
  File position_;
  host::LineSplitter splitter_;
  std::string text_;
  uint64_t handed_out_ = 0;
};

absl::StatusOr<host::ProcessResult> ResultOf(const StepExit& ended, std::string output,
                                             const StepCommand& command) {
  switch (ended.outcome) {
    case StepExit::Outcome::kExited:
      break;
    case StepExit::Outcome::kNotStarted:
      return absl::NotFoundError(ended.message);
    case StepExit::Outcome::kDeadline:
      return absl::DeadlineExceededError(absl::StrCat(command.argv[0], " did not end within ",
                                                      absl::FormatDuration(command.deadline),
                                                      " and was killed"));
    case StepExit::Outcome::kCancelled:
      return absl::CancelledError(absl::StrCat(command.argv[0], " was killed: cancelled"));
  }
  host::ProcessResult result;
  result.exit_code = ended.exit_code;
  result.out = std::move(output);
  result.truncated = ended.truncated;
  return result;
}

absl::Status Interrupted(const StepFiles& files, std::string_view step) {
  // The kernel has killed the program itself; its own children are still there.
  if (std::optional<StepFiles::Session> session = files.ReadSession()) {
    KillSession(session->id, session->start_ticks);
  }
  return absl::AbortedError(
      absl::StrCat("step ", Absl(step), " was interrupted: its supervisor was killed"));
}

}  // namespace

DurableSteps::DurableSteps(std::string folder, std::string executable)
    : folder_(std::move(folder)), executable_(std::move(executable)) {}

std::string DurableSteps::FolderOf(std::string_view operation) const {
  return folder_ + "/" + Sha256Hex(operation).substr(0, 24);
}

absl::StatusOr<host::ProcessResult> DurableSteps::Run(std::string_view operation,
                                                      std::string_view step,
                                                      const std::vector<std::string>& argv,
                                                      const host::ProcessOptions& options) {
  if (!IsStepName(step)) {
    return absl::InvalidArgumentError(absl::StrCat("not a name of a step: ", Absl(step)));
  }
  if (argv.empty() || argv[0].empty() || argv[0][0] != '/') {
    return absl::InvalidArgumentError("a durable step needs the absolute path of its program");
  }
  const StepFiles files(absl::StrCat(FolderOf(operation), "/", Absl(step)));
  if (!files.ReadCommand().ok()) {
    RETURN_IF_ERROR(host::Filesystem("/").MakeFolders(files.folder(), 0700));
    StepCommand command;
    command.argv = argv;
    command.stdin_text = options.stdin_text;
    if (!options.working_directory.empty()) command.working_directory = options.working_directory;
    command.deadline = options.deadline;
    command.max_output_bytes = options.max_output_bytes;
    RETURN_IF_ERROR(files.WriteCommand(command));
  }
  // The lock is asked before the files that its holder writes.
  if (!files.IsSupervised() && !files.ReadExit()) {
    if (files.ReadSession()) return Interrupted(files, step);
    if (detached_) return absl::UnavailableError("the agent stops");
    RETURN_IF_ERROR(Launch(files, options));
  }
  return Follow(files, step, options);
}

absl::Status DurableSteps::Launch(const StepFiles& files,
                                  const host::ProcessOptions& options) const {
  std::vector<std::string> words = {"npufleet-agent", "supervise", files.folder()};
  std::vector<std::string> environment = EnvironmentOf(options);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 2, (files.folder() + "/errors").c_str(),
                                   O_WRONLY | O_CREAT | O_TRUNC, 0600);
  pid_t pid = -1;
  int error = posix_spawn(&pid, executable_.c_str(), &actions, nullptr, Pointers(words).data(),
                          Pointers(environment).data());
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) {
    return absl::InternalError(
        absl::StrCat("cannot start a supervisor from ", executable_, ": ", std::strerror(error)));
  }
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return absl::OkStatus();
  return absl::InternalError(
      absl::StrCat("the supervisor did not start: ",
                   host::Filesystem("/").Read(files.folder() + "/errors").value_or("")));
}

absl::StatusOr<host::ProcessResult> DurableSteps::Follow(
    const StepFiles& files, std::string_view step, const host::ProcessOptions& options) const {
  ASSIGN_OR_RETURN(const StepCommand command, files.ReadCommand());
  File changes(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  inotify_add_watch(changes.get(), files.folder().c_str(), IN_MODIFY | IN_MOVED_TO);
  OutputReader output(files, options);
  bool cancel_requested = false;
  while (true) {
    const bool supervised = files.IsSupervised();
    if (std::optional<StepExit> ended = files.ReadExit()) {
      return ResultOf(*ended, output.Finish(), command);
    }
    output.ReadMore();
    if (!supervised) {
      // It let go of the lock between the two looks, or it died.
      if (std::optional<StepExit> ended = files.ReadExit()) {
        return ResultOf(*ended, output.Finish(), command);
      }
      output.Finish();
      return Interrupted(files, step);
    }
    if (detached_) return absl::UnavailableError("the agent stops; the step goes on");
    // In this order: what is cancelled because the agent stops was detached before.
    if (!cancel_requested && options.cancelled && options.cancelled() && !detached_) {
      RETURN_IF_ERROR(files.RequestCancel());
      cancel_requested = true;
    }
    pollfd watched = {changes.get(), POLLIN, 0};
    poll(&watched, 1, kLookMilliseconds);
    char events[4096];
    while (read(changes.get(), events, sizeof events) > 0) continue;
  }
}

void DurableSteps::Forget(std::string_view operation) {
  absl::Status removed = host::Filesystem("/").RemoveAll(FolderOf(operation));
  if (!removed.ok()) log::Warning("removing recorded steps: ", removed.message());
}

void DurableSteps::ForgetAllBut(const std::set<std::string>& operations) {
  std::set<std::string> kept;
  for (const std::string& operation : operations) kept.insert(FolderOf(operation));
  const host::Filesystem filesystem("/");
  for (const std::string& name : filesystem.List(folder_).value_or(std::vector<std::string>{})) {
    const std::string path = folder_ + "/" + name;
    if (kept.count(path) == 0) filesystem.RemoveAll(path).IgnoreError();
  }
}

}  // namespace npufleet::operations
