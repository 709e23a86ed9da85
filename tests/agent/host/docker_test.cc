// SPDX-License-Identifier: Apache-2.0
//
// The Docker client against an HTTP server on a unix socket that answers as dockerd does.
#include "agent/host/docker.h"

#include <signal.h>
#include <sys/wait.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "agent/host/docker_json.h"
#include "agent/host/docker_stream.h"
#include "agent/host/process_tree.h"
#include "agent/host/subprocess.h"
#include "common/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/fakes/fake_host.h"
#include "tests/fakes/local_server.h"

namespace npufleet::host {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string Frame(int stream, const std::string& text) {
  std::string frame(8, '\0');
  frame[0] = static_cast<char>(stream);
  frame[6] = static_cast<char>(text.size() >> 8);
  frame[7] = static_cast<char>(text.size());
  return frame + text;
}

constexpr char kContainer[] = R"({"Id":"4fa6e0f0c678","Name":"/vllm-server","Image":"sha256:9f3c",
  "State":{"Status":"running","Running":true,"OOMKilled":false,"Pid":4321,"ExitCode":0,
  "StartedAt":"2026-01-02T03:04:05.678Z","FinishedAt":"0001-01-01T00:00:00Z"},
  "Config":{"Labels":{"npufleet.stamp":"s1"}}})";

class DockerTest : public ::testing::Test {
 protected:
  using Handler = httplib::Server::Handler;
  static Handler Answer(int status, std::string body) {
    return [status, body](const httplib::Request&, httplib::Response& response) {
      response.status = status;
      response.set_content(body, "application/json");
    };
  }

  fakes::FakeHost node_;
  std::string socket_ = node_.files().Real("/docker.sock");
  fakes::LocalServer daemon_{socket_};
  httplib::Server& routes_ = daemon_.routes();
  std::unique_ptr<Docker> docker_ = MakeDocker(socket_, node_.root());
};

TEST_F(DockerTest, SaysWhetherTheSocketIsMissingOrRefuses) {
  absl::Status status = docker_->Ping();
  EXPECT_TRUE(absl::IsUnavailable(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("no socket at"));
  ASSERT_TRUE(node_.files().Write("/docker.sock", "").ok());
  status = docker_->Ping();
  EXPECT_TRUE(absl::IsUnavailable(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("refused"));
}

TEST_F(DockerTest, ReadsInfoImagesAndContainers) {
  routes_.Get("/info", Answer(200, R"({"ServerVersion":"28.0.4","DefaultRuntime":"ascend",
    "Runtimes":{"ascend":{"path":"/x"},"runc":{"path":"runc"}},"DockerRootDir":"/var/lib/docker",
    "Architecture":"aarch64","LiveRestoreEnabled":true})"));
  routes_.Get("/images/quay.io/ascend/vllm:v1/json",
              Answer(200, R"({"Id":"sha256:9f3c","RepoTags":["quay.io/ascend/vllm:v1"],"Size":7,
                "Architecture":"arm64","Config":{"Env":["PATH=/a:/b","X=1=2"]}})"));
  routes_.Get("/images/none/json", Answer(404, R"({"message":"No such image: none"})"));
  routes_.Get("/containers/json", Answer(200, R"([{"Id":"4fa6e0f0c678"},{"Id":"gone"}])"));
  routes_.Get("/containers/4fa6e0f0c678/json", Answer(200, kContainer));
  routes_.Get("/containers/gone/json", Answer(404, R"({"message":"No such container: gone"})"));
  daemon_.Start();
  const auto info = docker_->Info();
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(info->default_runtime, "ascend");
  EXPECT_THAT(info->runtimes, ElementsAre("ascend", "runc"));
  EXPECT_TRUE(info->live_restore);
  const auto image = docker_->InspectImage("quay.io/ascend/vllm:v1");
  ASSERT_TRUE(image.ok()) << image.status();
  EXPECT_EQ(image->environment.at("X"), "1=2");
  EXPECT_TRUE(absl::IsNotFound(docker_->InspectImage("none").status()));
  const auto containers = docker_->ListContainers();
  ASSERT_TRUE(containers.ok()) << containers.status();
  ASSERT_EQ(containers->size(), 1u);
  EXPECT_EQ(containers->at(0).name, "vllm-server");
  EXPECT_EQ(containers->at(0).pid, 4321);
  EXPECT_EQ(containers->at(0).started_at, "2026-01-02T03:04:05.678Z");
  EXPECT_EQ(containers->at(0).labels.at("npufleet.stamp"), "s1");
}

TEST_F(DockerTest, RunsAContainerAsDockerRunItd) {
  Json sent;
  routes_.Post("/containers/create",
               [&](const httplib::Request& request, httplib::Response& response) {
                 EXPECT_EQ(request.get_param_value("name"), "vllm-server");
                 sent = ParseJson(request.body);
                 response.status = 201;
                 response.set_content(R"({"Id":"4fa6e0f0c678","Warnings":[]})", "application/json");
               });
  routes_.Post("/containers/4fa6e0f0c678/start", Answer(204, ""));
  routes_.Get("/containers/4fa6e0f0c678/json", Answer(200, kContainer));
  daemon_.Start();
  ContainerSpec spec;
  spec.name = "vllm-server";
  spec.image = "sha256:9f3c";
  spec.privileged = true;
  spec.shm_size_bytes = 500ull << 30;
  spec.devices = {"/dev/davinci0"};
  spec.volumes = {"/data2:/data2:ro"};
  spec.environment = {{"A", "1"}};
  spec.labels = {{"npufleet.stamp", "s1"}};
  spec.command = {"/bin/bash"};
  const auto container = docker_->RunContainer(spec);
  ASSERT_TRUE(container.ok()) << container.status();
  EXPECT_EQ(container->status, "running");
  EXPECT_EQ(sent, Json::parse(R"({"Image":"sha256:9f3c","Cmd":["/bin/bash"],"Env":["A=1"],
    "Labels":{"npufleet.stamp":"s1"},"Tty":true,"OpenStdin":true,"StdinOnce":false,
    "AttachStdin":false,"AttachStdout":false,"AttachStderr":false,
    "HostConfig":{"Privileged":true,"NetworkMode":"host","ShmSize":536870912000,
      "Devices":[{"PathOnHost":"/dev/davinci0","PathInContainer":"/dev/davinci0",
                  "CgroupPermissions":"rwm"}],
      "Binds":["/data2:/data2:ro"],"RestartPolicy":{"Name":"no","MaximumRetryCount":0}}})"));
}

TEST_F(DockerTest, RemovesAContainerThatCouldNotStart) {
  routes_.Post("/containers/create", Answer(201, R"({"Id":"77"})"));
  routes_.Post("/containers/77/start",
               Answer(500, R"({"message":"error gathering device information: no such file"})"));
  routes_.Delete("/containers/77", Answer(204, ""));
  daemon_.Start();
  const absl::Status status = docker_->RunContainer({}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("device information"));
  EXPECT_THAT(daemon_.Requests(), Contains("DELETE /containers/77?force=1&v=1"));
}

TEST_F(DockerTest, ANameInUseAlreadyExists) {
  routes_.Post("/containers/create", Answer(409, R"({"message":"Conflict. The name is in use"})"));
  daemon_.Start();
  EXPECT_TRUE(absl::IsAlreadyExists(docker_->RunContainer({}).status()));
}

TEST_F(DockerTest, StopsAndRemoves) {
  routes_.Post("/containers/c/stop", Answer(304, ""));
  routes_.Delete("/containers/c", Answer(404, R"({"message":"No such container: c"})"));
  daemon_.Start();
  EXPECT_TRUE(docker_->StopContainer("c", absl::Milliseconds(1500)).ok());
  EXPECT_TRUE(docker_->RemoveContainer("c").ok());
  EXPECT_THAT(daemon_.Requests(), Contains("POST /containers/c/stop?t=2"));
}

TEST_F(DockerTest, ListsProcesses) {
  routes_.Get("/containers/c/top",
              Answer(200, R"({"Titles":["PID"],"Processes":[["4321"],["4400"]]})"));
  daemon_.Start();
  EXPECT_THAT(docker_->ListProcesses("c").value(), ElementsAre(4321, 4400));
}

TEST_F(DockerTest, LoadsAnArchiveUnderTheRoot) {
  std::string sent;
  routes_.Post("/images/load", [&](const httplib::Request& request, httplib::Response& response) {
    sent = request.body;
    response.set_content(
        "{\"status\":\"Loading "
        "layer\",\"progressDetail\":{\"current\":5,\"total\":9},\"id\":\"5f70\"}\n"
        "{\"stream\":\"Loaded image: quay.io/a:v1\\n\"}\n"
        "{\"stream\":\"Loaded image ID: sha256:77\\n\"}\n",
        "application/json");
  });
  daemon_.Start();
  ASSERT_TRUE(node_.files().Write("/archives/a.tar", "tar bytes").ok());
  std::vector<std::string> lines;
  const auto loaded = docker_->LoadImage("/archives/a.tar", nullptr,
                                         [&](std::string_view line) { lines.emplace_back(line); });
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_THAT(*loaded, ElementsAre("quay.io/a:v1", "sha256:77"));
  EXPECT_EQ(sent, "tar bytes");
  EXPECT_THAT(lines, ElementsAre("Loaded image: quay.io/a:v1", "Loaded image ID: sha256:77"));
}

TEST_F(DockerTest, AnErrorInTheMiddleOfAStreamIsTheResult) {
  const std::string stream =
      "{\"status\":\"Pulling from a\",\"id\":\"v1\"}\n"
      "{\"errorDetail\":{\"message\":\"no space left on device\"},\"error\":\"x\"}\n";
  routes_.Post("/images/create", Answer(200, stream));
  routes_.Post("/images/load", Answer(200, stream));
  daemon_.Start();
  ASSERT_TRUE(node_.files().Write("/a.tar", "x").ok());
  for (const absl::Status& status :
       {docker_->PullImage("quay.io:5000/a:v1", "auth", nullptr, nullptr),
        docker_->LoadImage("/a.tar", nullptr, nullptr).status()}) {
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_EQ(status.message(), "no space left on device");
  }
  EXPECT_EQ(daemon_.Requests().at(0), "POST /images/create?fromImage=quay.io:5000/a&tag=v1");
}

TEST_F(DockerTest, APullOfWhichNoLayerGetsOnIsGivenUp) {
  // With containerd's store the daemon goes on telling how far the layer is.
  routes_.Post("/images/create", [](const httplib::Request&, httplib::Response& response) {
    response.set_chunked_content_provider("application/json", [](size_t, httplib::DataSink& sink) {
      const std::string step =
          "{\"status\":\"Downloading\",\"progressDetail\":{\"current\":5,\"total\":9},"
          "\"id\":\"5f70\"}\n";
      while (sink.write(step.data(), step.size())) {
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
      }
      return false;
    });
  });
  daemon_.Start();
  docker_ = MakeDocker(socket_, node_.root(), {.pull = absl::Milliseconds(300)});
  const absl::Status status = docker_->PullImage("quay.io/a:v1", "", nullptr, nullptr);
  EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
  EXPECT_EQ(status.message(), "docker pull of quay.io/a:v1: no layer has got on for 300ms");
}

TEST_F(DockerTest, APullWhoseLayersGetOnTakesAsLongAsItTakes) {
  routes_.Post("/images/create", [](const httplib::Request&, httplib::Response& response) {
    for (int layer = 1; layer <= 5; ++layer) {
      absl::StrAppend(&response.body, "{\"status\":\"Pull complete\",\"id\":\"layer-", layer,
                      "\"}\n");
    }
  });
  daemon_.Start();
  fakes::FakeClock clock;
  docker_ = MakeDocker(socket_, node_.root(), {.pull = absl::Seconds(1)}, clock);
  const absl::Duration start = clock.Elapsed();
  const absl::Status status =
      docker_->PullImage("quay.io/a:v1", "", nullptr,
                         [&](std::string_view) { clock.Advance(absl::Milliseconds(700)); });
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_GT(clock.Elapsed() - start, absl::Seconds(3));
}

TEST_F(DockerTest, ASilentDaemonEndsAPullAndALoad) {
  daemon_.ServeSilence("/images/create");
  daemon_.ServeSilence("/images/load");
  daemon_.Start();
  ASSERT_TRUE(node_.files().Write("/a.tar", "x").ok());
  docker_ = MakeDocker(socket_, node_.root(),
                       {.pull = absl::Milliseconds(100), .load = absl::Milliseconds(200)});
  const absl::Status pulled = docker_->PullImage("quay.io/a:v1", "", nullptr, nullptr);
  EXPECT_TRUE(absl::IsDeadlineExceeded(pulled)) << pulled;
  const absl::Status loaded = docker_->LoadImage("/a.tar", nullptr, nullptr).status();
  EXPECT_TRUE(absl::IsDeadlineExceeded(loaded)) << loaded;
  EXPECT_THAT(std::string(loaded.message()),
              AllOf(HasSubstr("docker load of /a.tar: "), HasSubstr("no byte for 200ms")));
}

TEST_F(DockerTest, ACancelledPullIsNoStall) {
  daemon_.ServeSilence("/images/create");
  daemon_.Start();
  std::atomic<int> questions = 0;
  const absl::Status status = docker_->PullImage(
      "quay.io/a:v1", "", [&] { return ++questions > 2; }, nullptr);
  EXPECT_TRUE(absl::IsCancelled(status)) << status;
}

TEST_F(DockerTest, ExecSeparatesTheStreamsAndGivesTheExitCode) {
  Json created;
  routes_.Post("/containers/c/exec",
               [&](const httplib::Request& request, httplib::Response& response) {
                 created = ParseJson(request.body);
                 response.status = 201;
                 response.set_content(R"({"Id":"e1"})", "application/json");
               });
  routes_.Post(
      "/exec/e1/start",
      Answer(200, Frame(1, "one\ntw") + Frame(2, "\x1b[31moops\x1b[0m\n") + Frame(1, "o\n")));
  std::atomic<int> inspected = 0;
  routes_.Get("/exec/e1/json", [&](const httplib::Request&, httplib::Response& response) {
    response.set_content(++inspected == 1 ? R"({"Running":true,"ExitCode":null,"Pid":9})"
                                          : R"({"Running":false,"ExitCode":3,"Pid":9})",
                         "application/json");
  });
  daemon_.Start();
  std::vector<std::string> lines;
  ExecSpec spec;
  spec.container = "c";
  spec.argv = {"ray", "status"};
  spec.environment = {{"A", "1"}};
  spec.on_line = [&](std::string_view line) { lines.emplace_back(line); };
  const auto result = docker_->Exec(spec);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->out, "one\ntwo\n");
  EXPECT_EQ(result->exit_code, 3);
  EXPECT_THAT(lines, ElementsAre("one", "oops", "two"));
  EXPECT_EQ(created["Cmd"], Json::parse(R"(["ray","status"])"));
  EXPECT_EQ(created["Tty"], false);
}

TEST_F(DockerTest, ADetachedExecReturnsWhenItIsStarted) {
  routes_.Post("/containers/c/exec", Answer(201, R"({"Id":"e1"})"));
  routes_.Post("/exec/e1/start", Answer(200, ""));
  daemon_.Start();
  ExecSpec spec;
  spec.container = "c";
  spec.argv = {"vllm"};
  spec.detach = true;
  EXPECT_TRUE(docker_->Exec(spec).ok());
  EXPECT_THAT(daemon_.Requests(), ElementsAre("POST /containers/c/exec", "POST /exec/e1/start"));
}

TEST_F(DockerTest, AnExecIsKilledWithItsChildrenAtItsDeadline) {
  // What the exec would have started on this host.
  const pid_t pid = fork();
  ASSERT_GE(pid, 0);
  if (pid == 0) {
    execl("/bin/sh", "sh", "-c", "sleep 1000 & wait", nullptr);
    _exit(127);
  }
  routes_.Post("/containers/c/exec", Answer(201, R"({"Id":"e1"})"));
  daemon_.ServeSilence("/exec/e1/start");
  routes_.Get("/exec/e1/json", Answer(200, absl::StrCat(R"({"Running":true,"Pid":)", pid, "}")));
  daemon_.Start();
  ExecSpec spec;
  spec.container = "c";
  spec.argv = {"hang"};
  spec.deadline = absl::Milliseconds(100);
  EXPECT_TRUE(absl::IsDeadlineExceeded(docker_->Exec(spec).status()));
  int status = 0;
  EXPECT_EQ(waitpid(pid, &status, 0), pid);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

TEST_F(DockerTest, TellsEventsUntilTheDaemonGoes) {
  routes_.Get("/events",
              Answer(200,
                     "{\"Type\":\"container\",\"Action\":\"die\",\"Actor\":{\"ID\":\"4fa6\","
                     "\"Attributes\":{\"name\":\"vllm-server\",\"exitCode\":\"137\"}}}\n"));
  daemon_.Start();
  std::vector<std::string> events;
  const absl::Status status =
      docker_->WatchEvents(nullptr, [&](const Docker::ContainerEvent& event) {
        events.push_back(absl::StrCat(event.action, " ", event.id, " ", event.name));
      });
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_THAT(events, ElementsAre("die 4fa6 vllm-server"));
}

TEST(DockerStreamTest, DecodesFramesByteByByte) {
  std::string out, err;
  FrameDecoder decoder(
      [&](int stream, std::string_view bytes) { (stream == 2 ? err : out).append(bytes); });
  for (char byte :
       Frame(1, "ab") + Frame(2, std::string(300, 'e')) + Frame(1, "") + Frame(1, "c")) {
    decoder.Add(std::string_view(&byte, 1));
  }
  EXPECT_EQ(out, "abc");
  EXPECT_EQ(err.size(), 300u);
}

TEST(DockerStreamTest, ReadsObjectsAcrossPieces) {
  std::vector<std::string> seen;
  JsonLines lines([&](const Json& object) { seen.push_back(object.dump()); });
  lines.Add("{\"a\":");
  lines.Add("1}\r\nnonsense\n{\"b\"");
  lines.Add(":2}");
  lines.Finish();
  EXPECT_THAT(seen, ElementsAre("{\"a\":1}", "{\"b\":2}"));
}

TEST(DockerJsonTest, SplitsReferences) {
  EXPECT_EQ(ParseImageReference("quay.io/a/b").tag, "latest");
  EXPECT_EQ(ParseImageReference("host:5000/a").name, "host:5000/a");
  EXPECT_EQ(ParseImageReference("host:5000/a:v1").tag, "v1");
  EXPECT_EQ(ParseImageReference("a:v1@sha256:77").name, "a");
  EXPECT_EQ(ParseImageReference("a:v1@sha256:77").tag, "sha256:77");
}

}  // namespace
}  // namespace npufleet::host
