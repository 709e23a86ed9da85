// SPDX-License-Identifier: Apache-2.0
#include "agent/verbs/load_image/load_image.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <thread>
#include <utility>

#include "common/failure.h"
#include "tests/fakes/fake_execution.h"
#include "tests/fakes/fake_host.h"
#include "tests/fakes/local_server.h"

namespace npufleet::verbs {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kName[] = "quay.io/ascend/vllm-ascend:v0.8.4rc2-openeuler";
constexpr char kUrl[] = "http://198.18.77.1/vllm/vllm-ascend-0.8.4rc2.tar.gz";
constexpr char kArchive[] = "/var/lib/npufleet/agent/artifacts/vllm-ascend-0.8.4rc2.tar.gz";
constexpr char kMirror[] = "swr.example.com/quay.io/ascend/vllm-ascend:v0.8.4rc2";

host::DockerImage Image(const std::string& id, std::vector<std::string> tags,
                        const std::string& architecture = "arm64") {
  host::DockerImage image;
  image.id = id;
  image.tags = std::move(tags);
  image.architecture = architecture;
  return image;
}

class LoadImageTest : public ::testing::Test {
 protected:
  LoadImageTest() { load_.set_name(kName); }

  void AddArchiveSource(const std::string& url) {
    v1::Artifact& archive = *load_.add_sources()->mutable_archive();
    archive.set_url(url);
    if (url == kUrl) {
      node_.files().Write("/tmp/sum", "archive").IgnoreError();
      archive.set_sha256(node_.files().Sha256("/tmp/sum").value());
    }
  }

  std::unique_ptr<Verb> Make() { return MakeLoadImage(load_, v1::Subject(), node_.host()).value(); }

  v1::LoadImage load_;
  fakes::FakeHost node_;
  fakes::FakeExecution execution_{node_.host()};
};

TEST_F(LoadImageTest, IsPresentUnderItsName) {
  EXPECT_EQ(Make()->Check().state(), v1::Observation::ABSENT);
  node_.docker().AddImage(Image("sha256:aa", {kName}));
  EXPECT_EQ(Make()->Check().state(), v1::Observation::PRESENT);
  EXPECT_EQ(Make()->Check().token(), "sha256:aa");
  node_.docker().SetDown(true);
  EXPECT_EQ(Make()->Check().state(), v1::Observation::UNKNOWN);
}

TEST_F(LoadImageTest, APinAndTheArchitectureMustHold) {
  node_.docker().AddImage(Image("sha256:aa", {kName}));
  load_.set_id("sha256:bb");
  EXPECT_EQ(Make()->Check().state(), v1::Observation::ABSENT);
  EXPECT_THAT(Make()->Check().reason(), HasSubstr("sha256:bb"));
  load_.set_id("sha256:aa");
  EXPECT_EQ(Make()->Check().state(), v1::Observation::PRESENT);
  node_.docker().AddImage(Image("sha256:aa", {kName}, "amd64"));
  EXPECT_THAT(Make()->Check().reason(), HasSubstr("amd64"));
}

TEST_F(LoadImageTest, LoadsAnArchiveNamesItAndRemovesTheFile) {
  AddArchiveSource(kUrl);
  node_.http().Serve(kUrl, "archive");
  node_.docker().AddArchive(kArchive, Image("sha256:aa", {"vllm-ascend:0.8.4rc2"}));
  std::unique_ptr<Verb> verb = Make();
  const absl::Status applied = verb->Apply(execution_);
  ASSERT_TRUE(applied.ok()) << applied;
  EXPECT_EQ(verb->Check().token(), "sha256:aa");
  EXPECT_FALSE(node_.files().Exists(kArchive));
  EXPECT_THAT(node_.docker().Changes(),
              ElementsAre("load " + std::string(kArchive), "tag sha256:aa " + std::string(kName)));
}

TEST_F(LoadImageTest, WhatIsNoArchiveOfImagesIsToldWithoutDockerAndDoesNotStay) {
  AddArchiveSource(kUrl);
  node_.http().Serve(kUrl, "archive");
  const struct {
    const char* out;
    const char* err;
    int exit_code;
    const char* symptom;
  } cases[] = {
      {"", "tar: This does not look like a tar archive\ntar: Exiting", 2, "look like a tar"},
      {"", "gzip: stdin: not in gzip format\ntar: Child returned status 1", 2, "gzip format"},
      {"etc/\netc/passwd\n", "", 0, "tar finds no manifest.json"},
      {"", "", 0, "tar finds no manifest.json"}};
  for (const auto& one : cases) {
    node_.programs().On({"tar", "--occurrence=1"}, "", "tar: Not found in archive", 2);
    node_.programs().On({"tar", "-tf"}, one.out, one.err, one.exit_code);
    const v1::Failure failure = ToFailure(Make()->Apply(execution_));
    EXPECT_EQ(failure.class_(), v1::Failure::CONFIG) << failure.ShortDebugString();
    EXPECT_EQ(failure.signature(), "IMG-09");
    EXPECT_THAT(failure.symptom(), HasSubstr(one.symptom));
    EXPECT_THAT(failure.advice(), HasSubstr("vllm-ascend-0.8.4rc2.tar.gz"));
    EXPECT_FALSE(node_.files().Exists(kArchive));
  }
  EXPECT_THAT(node_.docker().Changes(), IsEmpty());
}

TEST_F(LoadImageTest, ACutArchiveIsDockersToJudge) {
  AddArchiveSource(kUrl);
  node_.http().Serve(kUrl, "archive");
  node_.docker().AddArchive(kArchive, Image("sha256:aa", {kName}));
  node_.programs().On({"tar", "--occurrence=1"}, "", "tar: Unexpected EOF in archive", 2);
  node_.programs().On({"tar", "-tf"}, "1.json\n", "tar: Unexpected EOF in archive", 2);
  ASSERT_TRUE(Make()->Apply(execution_).ok());
  EXPECT_THAT(node_.docker().Changes(), ElementsAre("load " + std::string(kArchive)));
}

TEST_F(LoadImageTest, AnArchiveOnTheNodeStays) {
  ASSERT_TRUE(node_.files().Write("/data/image.tar", "archive").ok());
  AddArchiveSource("/data/image.tar");
  node_.docker().AddArchive("/data/image.tar", Image("sha256:aa", {kName}));
  ASSERT_TRUE(Make()->Apply(execution_).ok());
  EXPECT_TRUE(node_.files().Exists("/data/image.tar"));
  EXPECT_THAT(node_.docker().Changes(), ElementsAre("load /data/image.tar"));
}

TEST_F(LoadImageTest, TakesTheFirstSourceThatWorksAndSaysWhyNotTheOthers) {
  load_.add_sources()->set_obs("obs://docker/vllm-ascend-0.8.4rc2.tar.gz");
  load_.add_sources()->set_registry("swr.example.com/gone:1");
  load_.add_sources()->set_registry(kMirror);
  node_.docker().AddRegistry(kMirror, Image("sha256:aa", {kMirror}));
  std::unique_ptr<Verb> verb = Make();
  ASSERT_TRUE(verb->Apply(execution_).ok());
  EXPECT_EQ(verb->Check().token(), "sha256:aa");
  EXPECT_THAT(execution_.Text(), HasSubstr("obsutil"));
  EXPECT_THAT(execution_.Text(), HasSubstr("swr.example.com/gone:1"));
}

TEST_F(LoadImageTest, ARegistryThatStopsSendingIsLeftForTheNextSource) {
  const std::string socket = node_.files().Real("/docker.sock");
  fakes::LocalServer daemon(socket);
  daemon.routes().Post(
      "/images/create", [](const httplib::Request& request, httplib::Response& response) {
        const bool hangs = request.get_param_value("fromImage") == "hanging.example.com/vllm";
        response.set_chunked_content_provider(
            "application/json", [hangs](size_t, httplib::DataSink& sink) {
              const std::string step = "{\"status\":\"Downloading\",\"id\":\"5f70\"}\n";
              while (sink.write(step.data(), step.size()) && hangs) {
                std::this_thread::sleep_for(std::chrono::milliseconds(2));
              }
              sink.done();
              return true;
            });
      });
  daemon.routes().Get(R"(/images/.*)", [](const httplib::Request&, httplib::Response& response) {
    response.set_content(R"({"Id":"sha256:aa","Architecture":"arm64"})", "application/json");
  });
  daemon.routes().Post(
      R"(/images/.*/tag)",
      [](const httplib::Request&, httplib::Response& response) { response.status = 201; });
  daemon.Start();
  const std::unique_ptr<host::Docker> fake =
      std::exchange(node_.host().docker,
                    host::MakeDocker(socket, node_.root(), {.pull = absl::Milliseconds(300)}));
  load_.add_sources()->set_registry("hanging.example.com/vllm:1");
  const v1::Failure failure = ToFailure(Make()->Apply(execution_));
  EXPECT_EQ(failure.class_(), v1::Failure::TRANSIENT);
  EXPECT_THAT(failure.symptom(),
              HasSubstr("docker pull of hanging.example.com/vllm:1: no layer has got on for"));

  load_.add_sources()->set_registry(kMirror);
  const absl::Status applied = Make()->Apply(execution_);
  EXPECT_TRUE(applied.ok()) << applied;
  EXPECT_THAT(daemon.Requests(),
              Contains(HasSubstr("/images/create?fromImage=swr.example.com/quay.io")));
}

TEST_F(LoadImageTest, AnObsSourceAloneNeedsObsutil) {
  load_.add_sources()->set_obs("obs://docker/a.tar.gz");
  const v1::Failure failure = ToFailure(Make()->Apply(execution_));
  EXPECT_EQ(failure.class_(), v1::Failure::CONFIG);
  EXPECT_THAT(failure.symptom(), HasSubstr("obsutil"));
}

TEST_F(LoadImageTest, AnotherArchitectureIsNotNamed) {
  load_.add_sources()->set_registry(kMirror);
  node_.docker().AddRegistry(kMirror, Image("sha256:aa", {kMirror}, "amd64"));
  const v1::Failure failure = ToFailure(Make()->Apply(execution_));
  EXPECT_EQ(failure.signature(), "IMG-07");
  EXPECT_EQ(failure.class_(), v1::Failure::CONFIG);
  EXPECT_FALSE(node_.docker().InspectImage(kName).ok());
}

TEST_F(LoadImageTest, AFormerImageStaysWithoutTheName) {
  node_.docker().AddImage(Image("sha256:00", {kName, "old:1"}));
  load_.set_id("sha256:aa");
  load_.add_sources()->set_registry(kMirror);
  node_.docker().AddRegistry(kMirror, Image("sha256:aa", {kMirror}));
  std::unique_ptr<Verb> verb = Make();
  ASSERT_TRUE(verb->Apply(execution_).ok());
  EXPECT_EQ(verb->Check().token(), "sha256:aa");
  EXPECT_TRUE(node_.docker().InspectImage("old:1").ok());
}

TEST_F(LoadImageTest, WithoutSourcesTheSpecIsWrong) {
  EXPECT_EQ(ToFailure(Make()->Apply(execution_)).class_(), v1::Failure::CONFIG);
  EXPECT_FALSE(MakeLoadImage(v1::LoadImage(), v1::Subject(), node_.host()).ok());
}

TEST_F(LoadImageTest, StartsNoSourceOnceCancelled) {
  load_.add_sources()->set_registry(kMirror);
  execution_.questions_until_cancel = 0;
  EXPECT_TRUE(absl::IsCancelled(Make()->Apply(execution_)));
  EXPECT_THAT(node_.docker().Changes(), IsEmpty());
}

}  // namespace
}  // namespace npufleet::verbs
