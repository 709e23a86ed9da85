// SPDX-License-Identifier: Apache-2.0
#include "agent/verbs/fetch_model/fetch_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "agent/artifacts/manifest.h"
#include "common/failure.h"
#include "tests/fakes/fake_execution.h"
#include "tests/fakes/fake_host.h"

namespace npufleet::verbs {
namespace {

using ::testing::HasSubstr;

constexpr char kPath[] = "/data2/Qwen3-235B-A22B";

class FetchModelTest : public ::testing::Test {
 protected:
  FetchModelTest() { fetch_.set_path(kPath); }

  void PutModel() {
    Put("config.json", "{}");
    Put("model-00001-of-00001.safetensors", "weights");
  }
  void Put(const std::string& name, const std::string& content) {
    ASSERT_TRUE(node_.files().Write(absl::StrCat(kPath, "/", name), content).ok());
  }
  std::unique_ptr<Verb> Make() {
    return MakeFetchModel(fetch_, v1::Subject(), node_.host()).value();
  }

  v1::FetchModel fetch_;
  fakes::FakeHost node_;
  fakes::FakeExecution execution_{node_.host()};
};

class LocalModelTest : public FetchModelTest {
 protected:
  LocalModelTest() { fetch_.add_sources()->set_local_directory(true); }
};

TEST_F(LocalModelTest, IsReadOnceAndThenVouchedFor) {
  PutModel();
  std::unique_ptr<Verb> verb = Make();
  EXPECT_EQ(verb->Check().state(), v1::Observation::ABSENT);
  ASSERT_TRUE(verb->Apply(execution_).ok());
  const v1::Observation observation = verb->Check();
  EXPECT_EQ(observation.state(), v1::Observation::PRESENT);
  EXPECT_THAT(observation.token(), HasSubstr("sha256:"));
  EXPECT_EQ(observation.facts().at("files"), "2");
  EXPECT_EQ(Make()->Check().token(), observation.token());
}

TEST_F(LocalModelTest, ALostAndAShortFileAreNamed) {
  PutModel();
  ASSERT_TRUE(Make()->Apply(execution_).ok());
  Put("config.json", "{} ");
  ASSERT_TRUE(node_.files().Remove(absl::StrCat(kPath, "/model-00001-of-00001.safetensors")).ok());
  const v1::Observation observation = Make()->Check();
  EXPECT_EQ(observation.state(), v1::Observation::ABSENT);
  EXPECT_THAT(observation.reason(), HasSubstr("config.json: 3 bytes instead of 2"));
  EXPECT_THAT(observation.reason(), HasSubstr("safetensors: missing"));
}

TEST_F(LocalModelTest, ADoubtfulTimeIsSettledByReading) {
  PutModel();
  ASSERT_TRUE(Make()->Apply(execution_).ok());
  const std::string token = Make()->Check().token();
  // Another time than the one in the manifest.
  artifacts::Manifest manifest = artifacts::ReadManifest(node_.files(), kPath).value();
  for (artifacts::ManifestFile& file : manifest.files) file.modified_ns -= 1000000000;
  ASSERT_TRUE(artifacts::WriteManifest(node_.files(), kPath, manifest).ok());
  EXPECT_EQ(Make()->Check().token(), token);
  Put("model-00001-of-00001.safetensors", "weightz");
  EXPECT_EQ(Make()->Check().state(), v1::Observation::ABSENT);
  EXPECT_THAT(Make()->Check().reason(), HasSubstr("other content"));
}

// Each stream of the controller has a Check of its own.
TEST_F(LocalModelTest, WhatWasReadOnceIsNotReadForEachReconnect) {
  PutModel();
  ASSERT_TRUE(Make()->Apply(execution_).ok());
  artifacts::Manifest manifest = artifacts::ReadManifest(node_.files(), kPath).value();
  for (artifacts::ManifestFile& file : manifest.files) file.modified_ns -= 1000000000;
  ASSERT_TRUE(artifacts::WriteManifest(node_.files(), kPath, manifest).ok());
  ASSERT_EQ(Make()->Check().state(), v1::Observation::PRESENT);
  // Read again, it would be other content.
  const std::string path =
      node_.files().Real(absl::StrCat(kPath, "/model-00001-of-00001.safetensors"));
  const auto written = std::filesystem::last_write_time(path);
  Put("model-00001-of-00001.safetensors", "weightz");
  std::filesystem::last_write_time(path, written);
  EXPECT_EQ(Make()->Check().state(), v1::Observation::PRESENT);
}

TEST_F(LocalModelTest, AFileThatCannotBeLookedAtIsUnknown) {
  PutModel();
  ASSERT_TRUE(Make()->Apply(execution_).ok());
  const std::string path = node_.files().Real(absl::StrCat(kPath, "/config.json"));
  std::filesystem::remove(path);
  std::filesystem::create_symlink(path, path);
  const v1::Observation observation = Make()->Check();
  EXPECT_EQ(observation.state(), v1::Observation::UNKNOWN);
  EXPECT_THAT(observation.reason(), HasSubstr("config.json"));
}

TEST_F(LocalModelTest, AFileThatCannotBeReadIsUnknown) {
  PutModel();
  Put("merges.txt", "");
  ASSERT_TRUE(Make()->Apply(execution_).ok());
  const std::string path = node_.files().Real(absl::StrCat(kPath, "/merges.txt"));
  std::filesystem::remove(path);
  std::filesystem::create_symlink("/proc/self/mem", path);  // empty, and to read it is EIO
  const v1::Observation observation = Make()->Check();
  EXPECT_EQ(observation.state(), v1::Observation::UNKNOWN);
  EXPECT_THAT(observation.reason(), HasSubstr("merges.txt"));
}

TEST_F(LocalModelTest, NoFolderOrNoModelIsTheSpecs) {
  EXPECT_EQ(ToFailure(Make()->Apply(execution_)).class_(), v1::Failure::CONFIG);
  Put("readme.txt", "nothing");
  const v1::Failure failure = ToFailure(Make()->Apply(execution_));
  EXPECT_EQ(failure.class_(), v1::Failure::CONFIG);
  EXPECT_THAT(failure.symptom(), HasSubstr("config.json"));
}

TEST_F(LocalModelTest, ATornManifestIsMadeAgain) {
  PutModel();
  Put(std::string(artifacts::kManifestName), "{\"files\": [");
  EXPECT_EQ(Make()->Check().state(), v1::Observation::ABSENT);
  ASSERT_TRUE(Make()->Apply(execution_).ok());
  EXPECT_EQ(Make()->Check().state(), v1::Observation::PRESENT);
}

class HubModelTest : public FetchModelTest {
 protected:
  HubModelTest() {
    v1::Model::Hub& hub = *fetch_.add_sources()->mutable_modelscope();
    hub.set_id("Qwen/Qwen3-235B-A22B");
    hub.set_endpoint(kHub);
  }

  std::string Sha256(const std::string& content) {
    EXPECT_TRUE(node_.files().Write("/tmp/sum", content).ok());
    return node_.files().Sha256("/tmp/sum").value();
  }

  void ServeModel() {
    std::string rows;
    for (const auto& [name, content] : files_) {
      absl::StrAppend(&rows, rows.empty() ? "" : ",", "{\"Path\":\"", name, "\",\"Name\":\"", name,
                      "\",\"Type\":\"blob\",\"Size\":", content.size(), ",\"Sha256\":\"",
                      Sha256(content), "\",\"Revision\":\"r1\"}");
    }
    node_.http().On(
        "GET", absl::StrCat(kHub, "/api/v1/models/Qwen/Qwen3-235B-A22B/repo/files"), 200,
        absl::StrCat("{\"Code\":200,\"Success\":true,\"Data\":{\"Files\":[", rows, "]}}"));
    node_.http().On("GET", absl::StrCat(kHub, "/api/v1/models/Qwen/Qwen3-235B-A22B/repo?"),
                    [this](const host::HttpRequest& request) { return File(request); });
  }

  absl::StatusOr<host::HttpResponse> File(const host::HttpRequest& request) {
    host::HttpResponse response;
    for (const auto& [name, content] : files_) {
      if (request.url.find(name) == std::string::npos) continue;
      response.status = 200;
      response.headers["content-length"] = std::to_string(content.size());
      response.body = content;
      return response;
    }
    response.status = 404;
    return response;
  }

  static constexpr char kHub[] = "http://198.18.77.1";
  std::map<std::string, std::string> files_ = {{"config.json", "{}"}, {"a.safetensors", "weights"}};
};

TEST_F(HubModelTest, DownloadsVerifiesAndIsThenCurrent) {
  ServeModel();
  std::unique_ptr<Verb> verb = Make();
  EXPECT_EQ(verb->Check().state(), v1::Observation::ABSENT);
  const absl::Status applied = verb->Apply(execution_);
  ASSERT_TRUE(applied.ok()) << applied;
  EXPECT_EQ(verb->Check().state(), v1::Observation::PRESENT);
  EXPECT_EQ(node_.files().Read(absl::StrCat(kPath, "/a.safetensors")).value(), "weights");
  ASSERT_FALSE(execution_.reports.empty());
  EXPECT_EQ(execution_.reports.back().unit(), "bytes");
  EXPECT_EQ(execution_.reports.back().done(), 9u);
}

TEST_F(HubModelTest, FallsBackToTheNextSource) {
  fetch_.add_sources()->set_local_directory(true);
  PutModel();
  node_.http().On("GET", kHub, 404, "{\"Code\":10010205001,\"Message\":\"no such model\"}");
  ASSERT_TRUE(Make()->Apply(execution_).ok());
  EXPECT_EQ(Make()->Check().facts().at("source"), "local");
  EXPECT_THAT(execution_.Text(), HasSubstr("modelscope:Qwen/Qwen3-235B-A22B: "));
}

TEST_F(HubModelTest, AFolderOfAnotherModelIsNotTakenForThisOne) {
  ServeModel();
  ASSERT_TRUE(Make()->Apply(execution_).ok());
  fetch_.mutable_sources(0)->mutable_modelscope()->set_id("Qwen/Qwen3-32B");
  EXPECT_EQ(Make()->Check().state(), v1::Observation::ABSENT);
}

TEST_F(HubModelTest, FetchesNothingOnceCancelled) {
  ServeModel();
  execution_.questions_until_cancel = 0;
  EXPECT_TRUE(absl::IsCancelled(Make()->Apply(execution_)));
  EXPECT_EQ(node_.http().Requests().size(), 0u);
}

TEST_F(FetchModelTest, RefusesAPathThatIsNotAbsolute) {
  fetch_.set_path("model");
  EXPECT_FALSE(MakeFetchModel(fetch_, v1::Subject(), node_.host()).ok());
}

TEST_F(FetchModelTest, AnObsSourceNeedsObsutil) {
  fetch_.add_sources()->set_obs("obs://bigmodel/Qwen3-235B-A22B/");
  EXPECT_THAT(ToFailure(Make()->Apply(execution_)).symptom(), HasSubstr("obsutil"));
}

}  // namespace
}  // namespace npufleet::verbs
