// SPDX-License-Identifier: Apache-2.0
#include "agent/operations/supervisor.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "agent/operations/step_files.h"
#include "common/clock.h"

namespace npufleet::operations {
namespace {

constexpr absl::Duration kGrace = absl::Seconds(5);       // between SIGTERM and SIGKILL
constexpr absl::Duration kKillLimit = absl::Seconds(10);  // a dead process ends in far less

// The fields of /proc/PID/stat behind the command's name, from field 3 (state) on.
std::vector<std::string> StatOf(const std::string& pid) {
  std::ifstream file("/proc/" + pid + "/stat");
  std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const size_t name_end = text.rfind(')');
  std::vector<std::string> fields;
  if (name_end == std::string::npos) return fields;
  std::istringstream rest(text.substr(name_end + 1));
  for (std::string field; rest >> field;) fields.push_back(field);
  return fields;
}

constexpr size_t kSessionField = 6 - 3;
constexpr size_t kStartField = 22 - 3;

std::vector<int> NumbersIn(const char* folder) {
  std::vector<int> numbers;
  DIR* listing = opendir(folder);
  if (listing == nullptr) return numbers;
  while (dirent* entry = readdir(listing)) {
    int number = 0;
    if (absl::SimpleAtoi(entry->d_name, &number)) numbers.push_back(number);
  }
  closedir(listing);
  return numbers;
}

// What the agent had open is not ours: its sockets must not live on in an installer.
void CloseInheritedFiles() {
  for (int file : NumbersIn("/proc/self/fd")) {
    if (file > 2) close(file);
  }
}

// One program, from start to end.
class SupervisedProgram {
 public:
  SupervisedProgram(const StepFiles& files, const StepCommand& command)
      : files_(files), command_(command) {}

  StepExit Run() {
    if (!Start()) return NotStarted();
    const absl::Duration start = Clock::Real().Elapsed();
    due_ = command_.deadline == absl::InfiniteDuration() ? absl::InfiniteDuration()
                                                         : start + command_.deadline;
    while (!over_) WaitForSomething();
    CopyOutput();
    // After a normal end the program may have left a daemon behind on purpose.
    if (ended_.outcome != StepExit::Outcome::kExited) kill(-child_, SIGKILL);
    fsync(output_);
    ended_.end_time = Clock::Real().Now();
    return ended_;
  }

 private:
  bool Start() {
    sigset_t watched;
    sigemptyset(&watched);
    sigaddset(&watched, SIGCHLD);
    sigprocmask(SIG_SETMASK, &watched, nullptr);
    signals_ = signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK);
    changes_ = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    inotify_add_watch(changes_, files_.folder().c_str(), IN_CREATE | IN_MOVED_TO);
    output_ = open(files_.output().c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    int output_pipe[2], error_pipe[2];
    if (output_ < 0 || signals_ < 0 || changes_ < 0 || pipe2(output_pipe, O_CLOEXEC) != 0 ||
        pipe2(error_pipe, O_CLOEXEC) != 0) {
      return Failed("cannot prepare", errno);
    }
    const int input = Input();
    const pid_t supervisor = getpid();
    child_ = fork();
    if (child_ < 0) return Failed("cannot fork", errno);
    if (child_ == 0) BecomeProgram(supervisor, input, output_pipe[1], error_pipe[1]);
    setpgid(child_, child_);  // both sides do it, so that neither depends on who runs first
    close(output_pipe[1]);
    close(error_pipe[1]);
    if (input >= 0) close(input);
    from_program_ = output_pipe[0];
    fcntl(from_program_, F_SETFL, O_NONBLOCK);
    int error = 0;
    const ssize_t got = read(error_pipe[0], &error, sizeof error);
    close(error_pipe[0]);
    if (got == sizeof error) {
      waitpid(child_, nullptr, 0);
      return Failed(absl::StrCat("cannot run ", command_.argv[0]), error);
    }
    return true;
  }

  int Input() const {
    if (command_.stdin_text.empty()) return open("/dev/null", O_RDONLY | O_CLOEXEC);
    int memory = memfd_create("stdin", MFD_CLOEXEC);
    const std::string& text = command_.stdin_text;
    for (size_t done = 0; memory >= 0 && done < text.size();) {
      ssize_t written = write(memory, text.data() + done, text.size() - done);
      if (written <= 0) break;
      done += static_cast<size_t>(written);
    }
    if (memory >= 0) lseek(memory, 0, SEEK_SET);
    return memory;
  }

  [[noreturn]] void BecomeProgram(pid_t supervisor, int input, int output, int error_pipe) const {
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != supervisor) _exit(127);  // it died before the line above
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    for (int number = 1; number < 32; ++number) signal(number, SIG_DFL);
    std::vector<char*> argv;
    for (const std::string& word : command_.argv) argv.push_back(const_cast<char*>(word.c_str()));
    argv.push_back(nullptr);
    const char* folder =
        command_.working_directory.empty() ? "/" : command_.working_directory.c_str();
    if (dup2(input, 0) >= 0 && dup2(output, 1) >= 0 && dup2(output, 2) >= 0 && chdir(folder) == 0) {
      execv(argv[0], argv.data());
    }
    const int error = errno;
    [[maybe_unused]] ssize_t told = write(error_pipe, &error, sizeof error);
    _exit(127);
  }

  void WaitForSomething() {
    pollfd watched[] = {{signals_, POLLIN, 0},
                        {changes_, POLLIN, 0},
                        {output_ended_ ? -1 : from_program_, POLLIN, 0}};
    int timeout = -1;
    if (due_ != absl::InfiniteDuration()) {
      const absl::Duration left = due_ - Clock::Real().Elapsed();
      timeout =
          static_cast<int>(std::clamp<int64_t>(absl::ToInt64Milliseconds(left) + 1, 0, 3600000));
    }
    poll(watched, 3, timeout);
    CopyOutput();
    DrainEvents();
    int status = 0;
    if (waitpid(child_, &status, WNOHANG) == child_) {
      over_ = true;
      ended_.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
      return;
    }
    Enforce();
  }

  void DrainEvents() {
    char buffer[4096];
    while (read(changes_, buffer, sizeof buffer) > 0) continue;
    while (read(signals_, buffer, sizeof(signalfd_siginfo)) > 0) continue;
  }

  void Enforce() {
    const absl::Duration now = Clock::Real().Elapsed();
    if (kill_sent_) {
      if (now >= due_) GiveUp();
      return;
    }
    if (term_sent_) {
      if (now < due_) return;
      kill(-child_, SIGKILL);
      kill_sent_ = true;
      due_ = now + kKillLimit;
      return;
    }
    const bool cancelled = access(files_.cancel().c_str(), F_OK) == 0;
    if (!cancelled && now < due_) return;
    ended_.outcome = cancelled ? StepExit::Outcome::kCancelled : StepExit::Outcome::kDeadline;
    kill(-child_, SIGTERM);
    term_sent_ = true;
    due_ = now + kGrace;
  }

  // When this process has ended, init inherits the program, and reaps it if it ever ends.
  void GiveUp() {
    over_ = true;
    ended_.exit_code = 128 + SIGKILL;
    // The kernel says of such a process that it is "blocked for more than 120 seconds", which is
    // what signature UPG-03 looks for.
    const std::string line = absl::StrCat(
        "\n", command_.argv[0], ": process ", child_, " is blocked for more than ",
        absl::ToInt64Seconds(kKillLimit),
        " seconds since its SIGKILL: it is stuck in the kernel, the node must reboot\n");
    [[maybe_unused]] ssize_t written = write(output_, line.data(), line.size());
  }

  void CopyOutput() {
    char buffer[16384];
    while (!output_ended_) {
      ssize_t got = read(from_program_, buffer, sizeof buffer);
      if (got < 0) return;
      if (got == 0) output_ended_ = true;
      const size_t room = command_.max_output_bytes - std::min(copied_, command_.max_output_bytes);
      const size_t wanted = std::min(static_cast<size_t>(got), room);
      const ssize_t written = wanted > 0 ? write(output_, buffer, wanted) : 0;
      // Without room on the disk the program goes on; only its words are lost.
      if (written < got) ended_.truncated = true;
      if (written > 0) copied_ += static_cast<size_t>(written);
    }
  }

  bool Failed(const std::string& what, int error) {
    ended_.message = absl::StrCat(what, ": ", std::strerror(error));
    return false;
  }

  StepExit NotStarted() {
    ended_.outcome = StepExit::Outcome::kNotStarted;
    ended_.exit_code = 127;
    ended_.end_time = Clock::Real().Now();
    return ended_;
  }

  const StepFiles& files_;
  const StepCommand& command_;
  StepExit ended_;
  pid_t child_ = -1;
  int signals_ = -1;
  int changes_ = -1;
  int output_ = -1;
  int from_program_ = -1;
  bool output_ended_ = false;
  bool over_ = false;
  bool term_sent_ = false;
  bool kill_sent_ = false;
  size_t copied_ = 0;
  absl::Duration due_;  // of the SIGTERM, then of the SIGKILL, then of giving the program up
};

[[noreturn]] void SuperviseHere(const StepFiles& files, const StepCommand& command) {
  setsid();
  // Before the program: without this file the agent takes it that nothing was ever started.
  if (!files.WriteSession({getpid(), StartTicks(getpid())}).ok()) _exit(1);
  const StepExit ended = SupervisedProgram(files, command).Run();
  // A full disk may get room again; the result of a long installation is worth the wait.
  for (int attempt = 0; attempt < 600 && !files.WriteExit(ended).ok(); ++attempt) {
    Clock::Real().Sleep(absl::Seconds(1));
  }
  _exit(0);
}

}  // namespace

int Supervise(const std::string& folder) {
  CloseInheritedFiles();
  StepFiles files(folder);
  absl::StatusOr<StepCommand> command = files.ReadCommand();
  if (!command.ok()) {
    std::fprintf(stderr, "%s\n", command.status().ToString().c_str());
    return 2;
  }
  int lock = open(files.lock().c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock < 0 || flock(lock, LOCK_EX | LOCK_NB) != 0) {
    std::fprintf(stderr, "%s: %s\n", files.lock().c_str(), std::strerror(errno));
    return 3;
  }
  const pid_t child = fork();
  if (child < 0) return 4;
  if (child == 0) SuperviseHere(files, *command);
  return 0;  // the child holds the lock: flock belongs to the open file, which both share
}

uint64_t StartTicks(int pid) {
  const std::vector<std::string> fields = StatOf(absl::StrCat(pid));
  uint64_t ticks = 0;
  if (fields.size() <= kStartField || !absl::SimpleAtoi(fields[kStartField], &ticks)) return 0;
  return ticks;
}

void KillSession(int session, uint64_t start_ticks) {
  if (session <= 1) return;
  for (int pid : NumbersIn("/proc")) {
    const std::vector<std::string> fields = StatOf(absl::StrCat(pid));
    int of = 0;
    uint64_t started = 0;
    if (fields.size() > kStartField && absl::SimpleAtoi(fields[kSessionField], &of) &&
        absl::SimpleAtoi(fields[kStartField], &started) && of == session &&
        started >= start_ticks) {
      kill(pid, SIGKILL);
    }
  }
}

}  // namespace npufleet::operations
