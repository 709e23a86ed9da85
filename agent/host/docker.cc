// SPDX-License-Identifier: Apache-2.0
//
// Paths carry no API version: the daemon then takes its newest, and what is read here has been the
// same in all of them since 1.24 (newer daemons refuse the old versions by name).
#include "agent/host/docker.h"

#include <signal.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "agent/host/docker_json.h"
#include "agent/host/docker_stream.h"
#include "agent/host/filesystem.h"
#include "agent/host/line_splitter.h"
#include "agent/host/process_tree.h"
#include "common/clock.h"
#include "common/status_macros.h"

namespace npufleet::host {
namespace {

constexpr absl::Duration kRequestDeadline = absl::Seconds(60);
constexpr absl::Duration kStartDeadline =
    absl::Minutes(5);  // a daemon under load is slow to create
constexpr size_t kMaxExecOutput = 16 << 20;

// Percent-encoded for a path segment or a query; '/' and ':' stay readable, the daemon takes them.
std::string Encode(std::string_view text) {
  constexpr char kHex[] = "0123456789ABCDEF";
  std::string encoded;
  for (unsigned char byte : text) {
    if (absl::ascii_isalnum(byte) ||
        std::string_view("-_.~/:@").find(static_cast<char>(byte)) != std::string_view::npos) {
      encoded += static_cast<char>(byte);
    } else {
      encoded += '%';
      encoded += kHex[byte >> 4];
      encoded += kHex[byte & 15];
    }
  }
  return encoded;
}

absl::Status StatusOf(const HttpResponse& response) {
  if (response.status < 300 || response.status == 304) return absl::OkStatus();
  std::string message = TextOf(ParseJson(response.body), "message");
  if (message.empty()) {
    message = absl::StrCat("docker answered ", response.status, " ", response.body.substr(0, 200));
  }
  if (response.status == 404) return absl::NotFoundError(message);
  if (response.status == 409) return absl::AlreadyExistsError(message);
  return absl::FailedPreconditionError(message);
}

class SocketDocker : public Docker {
 public:
  SocketDocker(std::string socket, const std::string& root, const StallLimits& stall_limits,
               Clock& clock)
      : socket_(std::move(socket)),
        filesystem_(root),
        stall_limits_(stall_limits),
        clock_(clock),
        http_(MakeHttp()) {}

  absl::Status Ping() override { return Call("GET", "/_ping").status(); }

  absl::StatusOr<DockerInfo> Info() override {
    ASSIGN_OR_RETURN(const Json info, GetJson("/info"));
    return InfoFromJson(info);
  }

  absl::StatusOr<DockerImage> InspectImage(std::string_view name_or_id) override {
    ASSIGN_OR_RETURN(const Json image,
                     GetJson(absl::StrCat("/images/", Encode(name_or_id), "/json")));
    return ImageFromJson(image);
  }

  absl::StatusOr<std::vector<std::string>> LoadImage(
      std::string_view archive_path, Cancelled cancelled,
      std::function<void(std::string_view)> on_line) override;
  absl::Status PullImage(std::string_view reference, std::string_view registry_auth,
                         Cancelled cancelled,
                         std::function<void(std::string_view)> on_line) override;

  absl::StatusOr<std::vector<std::string>> RegistryArchitectures(
      std::string_view reference, std::string_view registry_auth) override;

  absl::Status UntagImage(std::string_view name) override {
    const absl::Status removed =
        Call("DELETE", absl::StrCat("/images/", Encode(name), "?noprune=false")).status();
    return absl::IsNotFound(removed) ? absl::OkStatus() : removed;
  }

  absl::Status TagImage(std::string_view image, std::string_view name_and_tag) override {
    const ImageReference reference = ParseImageReference(name_and_tag);
    return Call("POST", absl::StrCat("/images/", Encode(image), "/tag?repo=",
                                     Encode(reference.name), "&tag=", Encode(reference.tag)))
        .status();
  }

  absl::StatusOr<DockerContainer> InspectContainer(std::string_view name_or_id) override {
    ASSIGN_OR_RETURN(const Json container,
                     GetJson(absl::StrCat("/containers/", Encode(name_or_id), "/json")));
    return ContainerFromJson(container);
  }

  absl::StatusOr<std::vector<DockerContainer>> ListContainers() override;
  absl::StatusOr<DockerContainer> RunContainer(const ContainerSpec& spec) override;

  absl::Status StopContainer(std::string_view name_or_id, absl::Duration grace) override {
    const int64_t seconds = absl::ToInt64Seconds(absl::Ceil(grace, absl::Seconds(1)));
    HttpRequest request =
        Request("POST", absl::StrCat("/containers/", Encode(name_or_id), "/stop?t=", seconds));
    request.deadline = grace + kRequestDeadline;
    request.stall_deadline = request.deadline;
    return Send(request).status();
  }

  absl::Status RemoveContainer(std::string_view name_or_id) override {
    const absl::Status removed =
        Call("DELETE", absl::StrCat("/containers/", Encode(name_or_id), "?force=1&v=1")).status();
    if (absl::IsNotFound(removed)) return absl::OkStatus();
    // 409: somebody else is removing it. It may be gone by now.
    if (absl::IsAlreadyExists(removed) && absl::IsNotFound(InspectContainer(name_or_id).status())) {
      return absl::OkStatus();
    }
    return removed;
  }

  absl::StatusOr<std::vector<int>> ListProcesses(std::string_view container) override;
  absl::StatusOr<ExecResult> Exec(const ExecSpec& spec) override;
  absl::Status WatchEvents(Cancelled cancelled,
                           std::function<void(const ContainerEvent&)> on_event) override;

 private:
  HttpRequest Request(const std::string& method, const std::string& path) const {
    HttpRequest request;
    request.method = method;
    request.url = absl::StrCat("http://docker", path);
    request.unix_socket = socket_;
    request.deadline = request.stall_deadline = kRequestDeadline;
    return request;
  }

  // For what lasts as long as it lasts.
  HttpRequest Stream(const std::string& method, const std::string& path) const {
    HttpRequest request = Request(method, path);
    request.deadline = request.stall_deadline = absl::InfiniteDuration();
    return request;
  }

  absl::StatusOr<HttpResponse> Send(const HttpRequest& request) const;
  absl::StatusOr<HttpResponse> Call(const std::string& method, const std::string& path,
                                    const Json* body = nullptr) const;
  absl::StatusOr<Json> GetJson(const std::string& path) const;
  // Sends it and gives each JSON object of the answer to `on_message`; an error in one of them is
  // the result.
  absl::Status SendForMessages(HttpRequest& request,
                               const std::function<void(const Json&)>& on_message) const;
  absl::Status StreamExec(const std::string& id, const ExecSpec& spec, ExecResult& result) const;
  absl::StatusOr<int> ExitCodeOf(const std::string& exec) const;
  void KillExec(const std::string& exec) const;

  const std::string socket_;
  const Filesystem filesystem_;
  const StallLimits stall_limits_;
  Clock& clock_;
  const std::unique_ptr<Http> http_;
};

absl::StatusOr<HttpResponse> SocketDocker::Send(const HttpRequest& request) const {
  absl::StatusOr<HttpResponse> response = http_->Send(request);
  if (!response.ok()) {
    struct stat found;
    if (absl::IsUnavailable(response.status()) && stat(socket_.c_str(), &found) != 0) {
      return absl::UnavailableError(absl::StrCat("docker: no socket at ", socket_));
    }
    return Annotate(response.status(), "docker");
  }
  RETURN_IF_ERROR(StatusOf(*response));
  return response;
}

absl::StatusOr<HttpResponse> SocketDocker::Call(const std::string& method, const std::string& path,
                                                const Json* body) const {
  HttpRequest request = Request(method, path);
  if (body != nullptr) {
    request.headers["Content-Type"] = "application/json";
    request.body = WriteJson(*body);
  }
  absl::StatusOr<HttpResponse> response = Send(request);
  // A daemon that is silent for so long does not answer; nobody asked for a deadline here.
  if (absl::IsDeadlineExceeded(response.status())) {
    return absl::UnavailableError(std::string(response.status().message()));
  }
  return response;
}

absl::StatusOr<Json> SocketDocker::GetJson(const std::string& path) const {
  ASSIGN_OR_RETURN(const HttpResponse response, Call("GET", path));
  Json json = ParseJson(response.body);
  if (json.is_discarded()) {
    return absl::UnavailableError(absl::StrCat("docker: GET ", path, " answered no JSON"));
  }
  return json;
}

absl::Status SocketDocker::SendForMessages(
    HttpRequest& request, const std::function<void(const Json&)>& on_message) const {
  std::string error;
  JsonLines messages([&](const Json& message) {
    const std::string found = ErrorOfMessage(message);
    if (!found.empty()) error = found;
    on_message(message);
  });
  request.on_data = [&](std::string_view bytes) {
    messages.Add(bytes);
    return true;
  };
  const absl::Status status = Send(request).status();
  messages.Finish();
  if (!error.empty()) return absl::FailedPreconditionError(error);
  return status;
}

absl::StatusOr<std::vector<std::string>> SocketDocker::LoadImage(
    std::string_view archive_path, Cancelled cancelled,
    std::function<void(std::string_view)> on_line) {
  HttpRequest request = Stream("POST", "/images/load?quiet=0");
  request.headers["Content-Type"] = "application/x-tar";
  request.body_file = filesystem_.Real(archive_path);
  request.stall_deadline = stall_limits_.load;
  request.cancelled = std::move(cancelled);
  std::vector<std::string> loaded;
  const absl::Status status = SendForMessages(request, [&](const Json& message) {
    const std::string line = LineOfMessage(message);
    if (line.empty()) return;
    for (const char* prefix : {"Loaded image: ", "Loaded image ID: "}) {
      if (absl::StartsWith(line, prefix)) {
        loaded.emplace_back(absl::StripPrefix(line, prefix));
      }
    }
    if (on_line) on_line(line);
  });
  if (absl::IsDeadlineExceeded(status)) {
    return Annotate(status, absl::StrCat("docker load of ", std::string(archive_path)));
  }
  RETURN_IF_ERROR(status);
  if (loaded.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("docker load of ", std::string(archive_path), " brought no image"));
  }
  return loaded;
}

absl::Status SocketDocker::PullImage(std::string_view reference, std::string_view registry_auth,
                                     Cancelled cancelled,
                                     std::function<void(std::string_view)> on_line) {
  const ImageReference parts = ParseImageReference(reference);
  HttpRequest request = Stream("POST", absl::StrCat("/images/create?fromImage=", Encode(parts.name),
                                                    "&tag=", Encode(parts.tag)));
  if (!registry_auth.empty()) request.headers["X-Registry-Auth"] = std::string(registry_auth);
  // With containerd's store the daemon repeats ten times a second how far each layer is, whether or
  // not the registry sends: only a step that differs from the layer's last one is progress.
  std::map<std::string, std::string> steps;  // by layer
  absl::Duration last_step = clock_.Elapsed();
  bool stalled = false;
  request.cancelled = [&] {
    if (cancelled && cancelled()) return true;
    stalled = clock_.Elapsed() - last_step >= stall_limits_.pull;
    return stalled;
  };
  const absl::Status status = SendForMessages(request, [&](const Json& message) {
    std::string step = absl::StrCat(TextOf(message, "status"), " ",
                                    NumberOf(Member(message, "progressDetail"), "current"));
    std::string& former = steps[TextOf(message, "id")];
    if (step != former) last_step = clock_.Elapsed();
    former = std::move(step);
    const std::string line = LineOfMessage(message);
    if (on_line && !line.empty()) on_line(line);
  });
  if (stalled && absl::IsCancelled(status)) {
    return absl::DeadlineExceededError(absl::StrCat("docker pull of ", std::string(reference),
                                                    ": no layer has got on for ",
                                                    absl::FormatDuration(stall_limits_.pull)));
  }
  return status;
}

absl::StatusOr<std::vector<std::string>> SocketDocker::RegistryArchitectures(
    std::string_view reference, std::string_view registry_auth) {
  HttpRequest request = Request("GET", absl::StrCat("/distribution/", Encode(reference), "/json"));
  request.deadline = request.stall_deadline = absl::Minutes(2);
  if (!registry_auth.empty()) request.headers["X-Registry-Auth"] = std::string(registry_auth);
  ASSIGN_OR_RETURN(const HttpResponse response, Send(request));
  std::set<std::string> architectures;
  const Json json = ParseJson(response.body);
  for (const Json& platform : Member(json, "Platforms")) {
    const std::string architecture = TextOf(platform, "architecture");
    if (!architecture.empty() && architecture != "unknown") architectures.insert(architecture);
  }
  return std::vector<std::string>(architectures.begin(), architectures.end());
}

absl::StatusOr<std::vector<DockerContainer>> SocketDocker::ListContainers() {
  ASSIGN_OR_RETURN(const Json list, GetJson("/containers/json?all=1"));
  std::vector<DockerContainer> containers;
  for (const Json& entry : list) {
    absl::StatusOr<DockerContainer> container = InspectContainer(TextOf(entry, "Id"));
    if (absl::IsNotFound(container.status())) continue;  // removed in between
    RETURN_IF_ERROR(container.status());
    containers.push_back(*std::move(container));
  }
  return containers;
}

absl::StatusOr<DockerContainer> SocketDocker::RunContainer(const ContainerSpec& spec) {
  HttpRequest create = Request("POST", absl::StrCat("/containers/create?name=", Encode(spec.name)));
  create.headers["Content-Type"] = "application/json";
  create.body = WriteJson(ContainerCreateBody(spec));
  create.deadline = create.stall_deadline = kStartDeadline;
  ASSIGN_OR_RETURN(const HttpResponse created, Send(create));
  const std::string id = TextOf(ParseJson(created.body), "Id");
  if (id.empty()) return absl::UnavailableError("docker: create answered no container id");

  HttpRequest start = Request("POST", absl::StrCat("/containers/", id, "/start"));
  start.deadline = start.stall_deadline = kStartDeadline;
  if (const absl::Status started = Send(start).status(); !started.ok()) {
    const absl::Status removed = RemoveContainer(id);
    return removed.ok() ? started
                        : Annotate(started, absl::StrCat("and container ", id,
                                                         " stays: ", removed.message(), ": start"));
  }
  return InspectContainer(id);
}

absl::StatusOr<std::vector<int>> SocketDocker::ListProcesses(std::string_view container) {
  ASSIGN_OR_RETURN(const Json top, GetJson(absl::StrCat("/containers/", Encode(container),
                                                        "/top?ps_args=-eo%20pid")));
  const Json& titles = Member(top, "Titles");
  size_t column = 0;
  while (column < titles.size() && titles[column] != "PID") ++column;
  std::vector<int> pids;
  for (const Json& row : Member(top, "Processes")) {
    int pid = 0;
    if (row.is_array() && column < row.size() && row[column].is_string() &&
        absl::SimpleAtoi(row[column].get<std::string>(), &pid)) {
      pids.push_back(pid);
    }
  }
  return pids;
}

absl::Status SocketDocker::StreamExec(const std::string& id, const ExecSpec& spec,
                                      ExecResult& result) const {
  LineSplitter out_lines(spec.on_line), err_lines(spec.on_line);
  FrameDecoder frames([&](int stream, std::string_view bytes) {
    const bool is_err = stream == 2;
    std::string& into = is_err ? result.err : result.out;
    into.append(bytes.substr(0, kMaxExecOutput - std::min(kMaxExecOutput, into.size())));
    (is_err ? err_lines : out_lines).Add(bytes);
  });
  HttpRequest start = Stream("POST", absl::StrCat("/exec/", id, "/start"));
  start.headers["Content-Type"] = "application/json";
  start.body = WriteJson({{"Detach", false}, {"Tty", false}});
  start.deadline = spec.deadline;
  start.cancelled = spec.cancelled;
  start.on_data = [&](std::string_view bytes) {
    frames.Add(bytes);
    return true;
  };
  const absl::Status status = Send(start).status();
  out_lines.Finish();
  err_lines.Finish();
  return status;
}

// The stream ends a little before the daemon has noted the exit.
absl::StatusOr<int> SocketDocker::ExitCodeOf(const std::string& exec) const {
  const absl::Duration start = Clock::Real().Elapsed();
  for (;;) {
    ASSIGN_OR_RETURN(const Json state, GetJson(absl::StrCat("/exec/", exec, "/json")));
    if (!TruthOf(state, "Running")) return static_cast<int>(NumberOf(state, "ExitCode"));
    if (Clock::Real().Elapsed() - start > absl::Seconds(10)) {
      return absl::FailedPreconditionError(
          "docker exec: its output has ended, but the program still runs");
    }
    absl::SleepFor(absl::Milliseconds(5));
  }
}

// The API has no way to end an exec: its processes are killed on the host.
void SocketDocker::KillExec(const std::string& exec) const {
  const absl::StatusOr<Json> state = GetJson(absl::StrCat("/exec/", exec, "/json"));
  if (!state.ok() || !TruthOf(*state, "Running")) return;
  const int pid = static_cast<int>(NumberOf(*state, "Pid"));
  if (pid > 1) KillProcessTree(pid);
}

absl::StatusOr<ExecResult> SocketDocker::Exec(const ExecSpec& spec) {
  const Json create = ExecCreateBody(spec);
  ASSIGN_OR_RETURN(
      const HttpResponse created,
      Call("POST", absl::StrCat("/containers/", Encode(spec.container), "/exec"), &create));
  const std::string id = TextOf(ParseJson(created.body), "Id");
  if (id.empty()) return absl::UnavailableError("docker: exec answered no id");

  ExecResult result;
  if (spec.detach) {
    const Json start = {{"Detach", true}, {"Tty", false}};
    RETURN_IF_ERROR(Call("POST", absl::StrCat("/exec/", id, "/start"), &start).status());
    return result;
  }
  const absl::Status status = StreamExec(id, spec, result);
  if (!status.ok()) {
    if (absl::IsDeadlineExceeded(status) || absl::IsCancelled(status)) KillExec(id);
    return Annotate(status, absl::StrCat("exec of ", spec.argv.empty() ? "" : spec.argv[0]));
  }
  ASSIGN_OR_RETURN(result.exit_code, ExitCodeOf(id));
  return result;
}

absl::Status SocketDocker::WatchEvents(Cancelled cancelled,
                                       std::function<void(const ContainerEvent&)> on_event) {
  HttpRequest request =
      Stream("GET", absl::StrCat("/events?filters=", Encode(R"({"type":["container"]})")));
  request.cancelled = std::move(cancelled);
  JsonLines events([&](const Json& event) {
    const Json& actor = Member(event, "Actor");
    ContainerEvent told{TextOf(event, "Action"), TextOf(actor, "ID"),
                        TextOf(Member(actor, "Attributes"), "name")};
    if (!told.action.empty()) on_event(told);
  });
  request.on_data = [&](std::string_view bytes) {
    events.Add(bytes);
    return true;
  };
  RETURN_IF_ERROR(Send(request).status());
  return absl::UnavailableError("docker: the daemon ended its events");
}

}  // namespace

std::unique_ptr<Docker> MakeDocker(const std::string& socket_path, const std::string& root,
                                   const StallLimits& stall_limits, Clock& clock) {
  return std::make_unique<SocketDocker>(socket_path, root, stall_limits, clock);
}

}  // namespace npufleet::host
