// SPDX-License-Identifier: Apache-2.0
//
// The Docker Engine API (v1.24 and later) over its unix socket. Only what the verbs need; no docker
// CLI. Blocking and threadsafe. Errors: Unavailable when the daemon does not answer (socket missing
// or refused: the message says which), NotFound, AlreadyExists (409), otherwise FailedPrecondition
// with the daemon's own message.
#ifndef AGENT_HOST_DOCKER_H_
#define AGENT_HOST_DOCKER_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "agent/host/http.h"
#include "common/clock.h"

namespace npufleet::host {

struct DockerInfo {
  std::string server_version;
  std::string default_runtime;
  std::vector<std::string> runtimes;
  std::string root_dir;      // /var/lib/docker
  std::string architecture;  // x86_64, aarch64
  bool live_restore = false;
};

struct DockerImage {
  std::string id;  // sha256:…
  std::vector<std::string> tags;
  std::string architecture;  // amd64, arm64
  uint64_t size_bytes = 0;
  std::map<std::string, std::string> environment;
};

struct DockerContainer {
  std::string id;
  std::string name;  // without the leading slash
  std::string image_id;
  std::string status;  // created, running, paused, restarting, exited, dead
  int exit_code = 0;
  bool oom_killed = false;
  int pid = 0;             // of its first process on the host; 0 when not running
  std::string started_at;  // as the daemon writes it
  std::string finished_at;
  std::map<std::string, std::string> labels;
};

struct ContainerSpec {
  std::string name;
  std::string image;  // name or id
  bool privileged = false;
  std::string network = "host";
  uint64_t shm_size_bytes = 0;
  std::vector<std::string> devices;  // /dev/davinci0
  std::vector<std::string> volumes;  // SOURCE:TARGET[:ro]
  std::map<std::string, std::string> environment;
  std::map<std::string, std::string> labels;
  std::vector<std::string> command;
};

struct ExecSpec {
  std::string container;  // id or name
  std::vector<std::string> argv;
  std::map<std::string, std::string> environment;
  bool detach = false;  // true: returns when it is started, with no output
  absl::Duration deadline = absl::Seconds(60);
  Cancelled cancelled;
  std::function<void(std::string_view)> on_line;  // ANSI codes removed
};

struct ExecResult {
  int exit_code = 0;
  std::string out;
  std::string err;
  std::string Combined() const { return out + err; }
};

class Docker {
 public:
  virtual ~Docker() = default;

  virtual absl::Status Ping() = 0;
  virtual absl::StatusOr<DockerInfo> Info() = 0;

  virtual absl::StatusOr<DockerImage> InspectImage(std::string_view name_or_id) = 0;
  // docker load of an archive on this node (.tar, .tar.gz). Returns what the daemon says that it
  // loaded ("name:tag" or "sha256:…"). DeadlineExceeded after StallLimits::load.
  virtual absl::StatusOr<std::vector<std::string>> LoadImage(
      std::string_view archive_path, Cancelled cancelled,
      std::function<void(std::string_view)> on_line) = 0;
  // docker pull. registry_auth is the base64 X-Registry-Auth header, empty without a login.
  // DeadlineExceeded after StallLimits::pull.
  virtual absl::Status PullImage(std::string_view reference, std::string_view registry_auth,
                                 Cancelled cancelled,
                                 std::function<void(std::string_view)> on_line) = 0;
  // For which architectures (amd64, arm64) the registry has the reference; nothing is pulled.
  virtual absl::StatusOr<std::vector<std::string>> RegistryArchitectures(
      std::string_view reference, std::string_view registry_auth) = 0;
  // docker rmi of a name: the image goes when it has no other. Absent is OK.
  virtual absl::Status UntagImage(std::string_view name) = 0;
  virtual absl::Status TagImage(std::string_view image, std::string_view name_and_tag) = 0;

  virtual absl::StatusOr<DockerContainer> InspectContainer(std::string_view name_or_id) = 0;
  // All of them, stopped ones included.
  virtual absl::StatusOr<std::vector<DockerContainer>> ListContainers() = 0;
  // docker run -itd --restart=no: creates, starts, and returns the container as it then is. A
  // container that could not start is removed again.
  virtual absl::StatusOr<DockerContainer> RunContainer(const ContainerSpec& spec) = 0;
  virtual absl::Status StopContainer(std::string_view name_or_id, absl::Duration grace) = 0;
  virtual absl::Status RemoveContainer(std::string_view name_or_id) = 0;  // by force; absent is OK

  // Host pids of all processes in a running container (docker top).
  virtual absl::StatusOr<std::vector<int>> ListProcesses(std::string_view container) = 0;

  virtual absl::StatusOr<ExecResult> Exec(const ExecSpec& spec) = 0;

  // Calls `on_event` with each container event ("die", container id, name) until `cancelled` or the
  // daemon goes away (Unavailable). Blocks its thread.
  struct ContainerEvent {
    std::string action;
    std::string id;
    std::string name;
  };
  virtual absl::Status WatchEvents(Cancelled cancelled,
                                   std::function<void(const ContainerEvent&)> on_event) = 0;
};

// How long what has no deadline may stand still.
struct StallLimits {
  absl::Duration pull = absl::Minutes(10);  // no layer of it gets on
  // No byte goes to the daemon or comes from it: with containerd's store it unpacks a whole image
  // without a word.
  absl::Duration load = absl::Minutes(30);
};

// The real one, over the socket at `socket_path`, a real path. LoadImage looks for its archive
// under `root`. `clock` outlives it and tells how long a pull stands still.
std::unique_ptr<Docker> MakeDocker(const std::string& socket_path, const std::string& root,
                                   const StallLimits& stall_limits = {},
                                   Clock& clock = Clock::Real());

}  // namespace npufleet::host

#endif  // AGENT_HOST_DOCKER_H_
