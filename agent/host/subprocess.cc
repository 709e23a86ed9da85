// SPDX-License-Identifier: Apache-2.0
#include "agent/host/subprocess.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "agent/host/line_splitter.h"
#include "common/clock.h"
#include "common/status_macros.h"

extern char** environ;

namespace npufleet::host {
namespace {

constexpr absl::Duration kGrace = absl::Seconds(5);       // between SIGTERM and SIGKILL
constexpr absl::Duration kKillLimit = absl::Seconds(10);  // a dead process ends in far less

class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor() { Close(); }
  int get() const { return fd_; }
  bool ok() const { return fd_ >= 0; }
  void Close() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }

 private:
  int fd_ = -1;
};

absl::Status MakePipe(Descriptor& reader, Descriptor& writer) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return absl::ErrnoToStatus(errno, "making a pipe");
  reader = Descriptor(ends[0]);
  writer = Descriptor(ends[1]);
  fcntl(reader.get(), F_SETFL, O_NONBLOCK);
  return absl::OkStatus();
}

// A file in memory rather than a pipe: the child can end without reading it, and nobody has to feed
// it.
absl::StatusOr<Descriptor> OpenStdin(const std::string& text) {
  if (text.empty()) return Descriptor(open("/dev/null", O_RDONLY | O_CLOEXEC));
  Descriptor file(memfd_create("stdin", MFD_CLOEXEC));
  if (!file.ok()) return absl::ErrnoToStatus(errno, "making the standard input");
  for (size_t at = 0; at < text.size();) {
    ssize_t written = write(file.get(), text.data() + at, text.size() - at);
    if (written < 0) return absl::ErrnoToStatus(errno, "writing the standard input");
    at += static_cast<size_t>(written);
  }
  lseek(file.get(), 0, SEEK_SET);
  return file;
}

// What systemd addresses to the agent alone.
bool IsForAgentOnly(std::string_view name) {
  return name == "NOTIFY_SOCKET" || name == "WATCHDOG_PID" || name == "WATCHDOG_USEC" ||
         name == "LISTEN_PID" || name == "LISTEN_FDS" || name == "LISTEN_FDNAMES";
}

std::vector<std::string> EnvironmentOf(const std::map<std::string, std::string>& added,
                                       const std::string& path) {
  std::map<std::string, std::string> variables;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const size_t equals = text.find('=');
    if (equals == std::string_view::npos || IsForAgentOnly(text.substr(0, equals))) continue;
    variables[std::string(text.substr(0, equals))] = std::string(text.substr(equals + 1));
  }
  variables["PATH"] = path;
  for (const auto& [name, value] : added) variables[name] = value;
  std::vector<std::string> lines;
  for (const auto& [name, value] : variables) lines.push_back(absl::StrCat(name, "=", value));
  return lines;
}

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (const std::string& string : strings) pointers.push_back(const_cast<char*>(string.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

bool IsExecutable(const std::string& path) {
  struct stat found;
  return stat(path.c_str(), &found) == 0 && S_ISREG(found.st_mode) &&
         access(path.c_str(), X_OK) == 0;
}

// One running child: its pipes, its process group and what it has said so far.
class Child {
 public:
  Child(std::string program, const ProcessOptions& options)
      : program_(std::move(program)),
        options_(options),
        out_lines_(options.on_line),
        err_lines_(options.on_line) {}

  absl::Status Start(const std::vector<std::string>& argv, const std::string& search_path);
  absl::StatusOr<ProcessResult> Wait();

  pid_t pid() const { return pid_; }
  // It outlives its SIGKILL: Wait() gave it up, and nobody has reaped it.
  bool given_up() const { return given_up_; }

 private:
  void Read(Descriptor& from, std::string& into, LineSplitter& lines);
  bool HasExited();
  void Signal(int signal) { kill(-pid_, signal); }
  void EndWhenAsked();

  const std::string program_;
  const ProcessOptions& options_;
  Descriptor out_, err_, handle_;
  LineSplitter out_lines_, err_lines_;
  ProcessResult result_;
  pid_t pid_ = 0;
  absl::Status ended_;  // why we end it
  bool given_up_ = false;
  absl::Duration start_, kill_at_ = absl::InfiniteDuration();
};

// The kernel says of such a process that it is "blocked for more than 120 seconds", which is what
// signature UPG-03 looks for.
absl::Status OutlivesKill(absl::string_view why, pid_t pid) {
  return absl::DeadlineExceededError(absl::StrCat(
      why, "; process ", pid, " is blocked for more than ", absl::ToInt64Seconds(kKillLimit),
      " seconds since its SIGKILL: it is stuck in the kernel, the node must reboot"));
}

absl::Status Child::Start(const std::vector<std::string>& argv, const std::string& search_path) {
  Descriptor out_writer, err_writer;
  RETURN_IF_ERROR(MakePipe(out_, out_writer));
  RETURN_IF_ERROR(MakePipe(err_, err_writer));
  ASSIGN_OR_RETURN(Descriptor in, OpenStdin(options_.stdin_text));

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addchdir_np(
      &actions, options_.working_directory.empty() ? "/" : options_.working_directory.c_str());
  posix_spawn_file_actions_adddup2(&actions, in.get(), 0);
  posix_spawn_file_actions_adddup2(&actions, out_writer.get(), 1);
  posix_spawn_file_actions_adddup2(&actions, err_writer.get(), 2);
  // Libraries may have opened files without O_CLOEXEC.
  posix_spawn_file_actions_addclosefrom_np(&actions, 3);

  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setflags(&attributes,
                           POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);

  const std::vector<std::string> environment = EnvironmentOf(options_.environment, search_path);
  start_ = Clock::Real().Elapsed();
  const int error = posix_spawn(&pid_, program_.c_str(), &actions, &attributes,
                                Pointers(argv).data(), Pointers(environment).data());
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) {
    return absl::ErrnoToStatus(
        error, absl::StrCat("starting ", program_,
                            options_.working_directory.empty()
                                ? ""
                                : absl::StrCat(" in ", options_.working_directory)));
  }
  // Only wakes poll() up at once; without it (kernels before 5.3) its timeout does.
  handle_ = Descriptor(static_cast<int>(syscall(SYS_pidfd_open, pid_, 0)));
  return absl::OkStatus();
}

void Child::Read(Descriptor& from, std::string& into, LineSplitter& lines) {
  char buffer[65536];
  while (from.ok()) {
    const ssize_t count = read(from.get(), buffer, sizeof(buffer));
    if (count < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN) return;
    }
    if (count <= 0) {
      from.Close();
      return;
    }
    const size_t used = result_.out.size() + result_.err.size();
    const size_t room = options_.max_output_bytes - std::min(used, options_.max_output_bytes);
    const size_t kept = std::min(room, static_cast<size_t>(count));
    into.append(buffer, kept);
    if (kept < static_cast<size_t>(count)) result_.truncated = true;
    lines.Add(std::string_view(buffer, static_cast<size_t>(count)));
    if (count < static_cast<ssize_t>(sizeof(buffer))) return;  // let poll() see the other pipe
  }
}

// Leaves it a zombie, so that its process group cannot become somebody else's.
bool Child::HasExited() {
  siginfo_t info = {};
  return waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
         info.si_pid == pid_;
}

void Child::EndWhenAsked() {
  const absl::Duration now = Clock::Real().Elapsed() - start_;
  if (!ended_.ok()) {
    if (now >= kill_at_) Signal(SIGKILL);
    given_up_ = now >= kill_at_ + kKillLimit;
    return;
  }
  if (options_.cancelled && options_.cancelled()) {
    ended_ = absl::CancelledError(absl::StrCat(program_, ": cancelled"));
  } else if (now >= options_.deadline) {
    ended_ = absl::DeadlineExceededError(
        absl::StrCat(program_, ": did not end within ", absl::FormatDuration(options_.deadline)));
  } else {
    return;
  }
  Signal(SIGTERM);
  Signal(SIGCONT);
  kill_at_ = now + kGrace;
}

absl::StatusOr<ProcessResult> Child::Wait() {
  bool exited = false;
  while (!exited && !given_up_) {
    pollfd watched[] = {
        {out_.get(), POLLIN, 0}, {err_.get(), POLLIN, 0}, {handle_.get(), POLLIN, 0}};
    poll(watched, 3, handle_.ok() ? 50 : 10);
    // Asked before the pipes are read: what it wrote before its end is then in them.
    exited = HasExited();
    Read(out_, result_.out, out_lines_);
    Read(err_, result_.err, err_lines_);
    if (!exited) EndWhenAsked();
  }
  // What it started in the background may hold the pipes for ever: only what is there is read, and
  // twice our buffer is more than a pipe holds.
  for (int pass = 0; pass < 2; ++pass) {
    Read(out_, result_.out, out_lines_);
    Read(err_, result_.err, err_lines_);
  }
  if (!ended_.ok()) Signal(SIGKILL);  // the rest of its group
  int status = 0;
  while (!given_up_ && waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  out_lines_.Finish();
  err_lines_.Finish();
  if (given_up_) return OutlivesKill(ended_.message(), pid_);
  if (!ended_.ok()) return ended_;
  result_.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return std::move(result_);
}

class PosixSubprocess : public Subprocess {
 public:
  PosixSubprocess(const std::string& root, const std::vector<std::string>& path) {
    root_ = root == "/" ? "" : root;
    if (!root_.empty()) {
      for (const std::string& folder : path) folders_.push_back(root_ + folder);
    }
    folders_.insert(folders_.end(), path.begin(), path.end());
  }

  absl::StatusOr<ProcessResult> Run(const std::vector<std::string>& argv,
                                    const ProcessOptions& options) override {
    if (argv.empty()) return absl::InvalidArgumentError("no program: argv is empty");
    if (options.cancelled && options.cancelled()) {
      return absl::CancelledError(absl::StrCat(argv[0], ": cancelled"));
    }
    ASSIGN_OR_RETURN(const std::string program, Which(argv[0]));
    if (const pid_t stuck = StuckIn(argv); stuck != 0) return OutlivesKill(argv[0], stuck);
    Child child(program, options);
    RETURN_IF_ERROR(child.Start(argv, absl::StrJoin(folders_, ":")));
    absl::StatusOr<ProcessResult> result = child.Wait();
    if (child.given_up()) {
      absl::MutexLock lock(&mutex_);
      stuck_.push_back({argv, child.pid()});
    }
    return result;
  }

  absl::StatusOr<std::string> Which(std::string_view program) override {
    const std::string name(program);
    std::vector<std::string> candidates;
    if (name.find('/') != std::string::npos) {
      if (!root_.empty() && name[0] == '/') candidates.push_back(root_ + name);
      candidates.push_back(name);
    } else {
      for (const std::string& folder : folders_) {
        candidates.push_back(absl::StrCat(folder, "/", name));
      }
    }
    for (const std::string& candidate : candidates) {
      if (IsExecutable(candidate)) return candidate;
    }
    return absl::NotFoundError(
        name.find('/') != std::string::npos
            ? absl::StrCat(name, ": no such program, or not executable")
            : absl::StrCat(name, ": no such program in ", absl::StrJoin(folders_, ":")));
  }

 private:
  struct StuckProcess {
    std::vector<std::string> argv;
    pid_t pid = 0;
  };

  // The process in which this command is stuck, or 0; reaps those that have ended meanwhile. What
  // is asked every few seconds would otherwise leave one more of them each time.
  pid_t StuckIn(const std::vector<std::string>& argv) {
    absl::MutexLock lock(&mutex_);
    std::erase_if(stuck_, [](const StuckProcess& process) {
      return waitpid(process.pid, nullptr, WNOHANG) != 0;
    });
    for (const StuckProcess& process : stuck_) {
      if (process.argv == argv) return process.pid;
    }
    return 0;
  }

  std::string root_;                  // empty for "/"
  std::vector<std::string> folders_;  // where programs are searched, in order
  absl::Mutex mutex_;
  std::vector<StuckProcess> stuck_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

std::unique_ptr<Subprocess> MakeSubprocess(const std::string& root,
                                           const std::vector<std::string>& path) {
  return std::make_unique<PosixSubprocess>(root, path);
}

}  // namespace npufleet::host
