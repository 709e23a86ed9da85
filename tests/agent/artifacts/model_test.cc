// SPDX-License-Identifier: Apache-2.0
//
// The way of a model: listed at a hub, fetched as a tree, remembered in a manifest, compared.
#include <fcntl.h>
#include <sys/stat.h>

#include "absl/strings/str_cat.h"
#include "agent/artifacts/fetch_tree.h"
#include "agent/artifacts/hub.h"
#include "agent/artifacts/manifest.h"
#include "common/failure.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/fakes/fake_host.h"

namespace npufleet::artifacts {
namespace {

using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr char kAbc[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
constexpr char kAbcBlob[] = "f2ba8f84ab5c1bce84a7b441cb1959cfc7093b7f";  // git hash-object
constexpr char kFolder[] = "/data2/Qwen3";

class ModelTest : public ::testing::Test {
 protected:
  ModelTest() {
    hub_.set_id("Qwen/Qwen3");
    hub_.set_endpoint("https://hub/");
  }
  absl::StatusOr<std::vector<HubFile>> List(HubKind kind) {
    return ListHubFiles(node_.host(), kind, hub_, nullptr);
  }
  std::vector<HubFile> Served(const std::string& config) {
    node_.http().Serve("https://hub/a", "abc");
    node_.http().Serve("https://hub/c", config);
    return {{"a.safetensors", 3, kAbc, "https://hub/a"},
            {"sub/config.json", config.size(), "", "https://hub/c"}};
  }
  void Touch(const std::string& path, time_t seconds) {
    const timespec times[2] = {{seconds, 0}, {seconds, 0}};
    ASSERT_EQ(utimensat(AT_FDCWD, node_.files().Real(path).c_str(), times, 0), 0);
  }

  fakes::FakeHost node_;
  v1::Model::Hub hub_;
};

TEST_F(ModelTest, ListsModelScope) {
  node_.http().On(
      "GET", "https://hub/api/v1/models/Qwen/Qwen3/repo/files?Revision=master&Recursive=True", 200,
      R"({"Code":200,"Data":{"Files":[
        {"Path":"sub","Name":"sub","Type":"tree","Size":0,"Sha256":""},
        {"Path":"sub/b c.json","Name":"b c.json","Type":"blob","Size":5,"Sha256":"AA"},
        {"Path":".gitattributes","Name":".gitattributes","Type":"blob","Size":1,"Sha256":"bb"},
        {"Path":"a.safetensors","Name":"a.safetensors","Type":"blob","Size":7000000000,"Sha256":"cc"}]}})");
  const auto files = List(HubKind::kModelScope);
  ASSERT_TRUE(files.ok()) << files.status();
  ASSERT_EQ(files->size(), 2u);
  EXPECT_EQ(files->at(0).path, "a.safetensors");
  EXPECT_EQ(files->at(0).size_bytes, 7000000000u);
  EXPECT_EQ(files->at(1).sha256, "aa");
  EXPECT_EQ(files->at(1).url,
            "https://hub/api/v1/models/Qwen/Qwen3/repo?Revision=master&FilePath=sub%2Fb%20c.json");
}

TEST_F(ModelTest, ListsHuggingFacePageByPage) {
  const std::string first = "https://hub/api/models/Qwen/Qwen3/tree/main?recursive=true";
  node_.http().On("GET", first, 200,
                  R"([{"type":"directory","path":"sub","size":0},
                      {"type":"file","path":"model.safetensors","size":10,"oid":"g",
                       "lfs":{"oid":"dd","size":10}}])",
                  {{"link", absl::StrCat("<", first, "&cursor=2>; rel=\"next\"")}});
  node_.http().On("GET", first + "&cursor=2", 200,
                  R"([{"type":"file","path":"sub/config.json","size":2,"oid":"h"}])");
  const auto files = List(HubKind::kHuggingFace);
  ASSERT_TRUE(files.ok()) << files.status();
  ASSERT_EQ(files->size(), 2u);
  EXPECT_EQ(files->at(0).sha256, "dd");
  EXPECT_EQ(files->at(1).sha256, "");
  EXPECT_EQ(files->at(1).url, "https://hub/Qwen/Qwen3/resolve/main/sub/config.json");
}

TEST_F(ModelTest, HuggingFaceTellsGitsIdOfWhatIsNotInLfs) {
  node_.http().On("GET", "https://hub/", 200,
                  R"([{"type":"file","path":"a.json","size":3,
                       "oid":"F2BA8F84AB5C1BCE84A7B441CB1959CFC7093B7F"},
                      {"type":"file","path":"b.safetensors","size":3,
                       "oid":"f2ba8f84ab5c1bce84a7b441cb1959cfc7093b7f","lfs":{"oid":"dd"}},
                      {"type":"file","path":"c.json","size":3,"oid":"no id"}])");
  const auto files = List(HubKind::kHuggingFace);
  ASSERT_TRUE(files.ok()) << files.status();
  ASSERT_EQ(files->size(), 3u);
  EXPECT_EQ(files->at(0).git_blob, kAbcBlob);
  EXPECT_EQ(files->at(1).git_blob, "");
  EXPECT_EQ(files->at(2).git_blob, "");
}

TEST_F(ModelTest, SaysWhyAHubCannotBeListed) {
  node_.http().On("GET", "https://hub/", 404, "{}");
  EXPECT_EQ(FailureOf(List(HubKind::kModelScope).status())->class_(), v1::Failure::CONFIG);
  node_.http().On("GET", "https://hub/", 503, "");
  EXPECT_EQ(FailureOf(List(HubKind::kModelScope).status())->class_(), v1::Failure::TRANSIENT);
  node_.http().On("GET", "https://hub/", 200, "<html>");
  EXPECT_EQ(FailureOf(List(HubKind::kHuggingFace).status())->class_(), v1::Failure::TRANSIENT);
}

TEST_F(ModelTest, TellsATokenThatIsRefusedFromOneThatLacks) {
  for (const int status : {401, 403}) {
    hub_.clear_token_file();
    node_.http().On("GET", "https://hub/", status, "{}");
    const auto without = FailureOf(List(HubKind::kHuggingFace).status());
    EXPECT_THAT(without->advice(), HasSubstr("set tokenFile"));
    hub_.set_token_file("/root/token");
    ASSERT_TRUE(node_.files().Write("/root/token", "t0p\n", 0600).ok());
    const auto refused = FailureOf(List(HubKind::kHuggingFace).status());
    EXPECT_EQ(refused->class_(), v1::Failure::CONFIG);
    EXPECT_THAT(refused->advice(), HasSubstr("refuses the token in /root/token"));
    EXPECT_THAT(refused->advice(), Not(AnyOf(HasSubstr("set tokenFile"), HasSubstr("t0p"))));
  }
}

TEST_F(ModelTest, PagesThatLeadInACircleHaveAnEnd) {
  const std::string first = "https://hub/api/models/Qwen/Qwen3/tree/main?recursive=true";
  const std::string file = R"([{"type":"file","path":"a.json","size":2}])";
  const auto next = [&](const std::string& cursor) {
    return std::map<std::string, std::string>{
        {"link", absl::StrCat("<", first, cursor, ">; rel=\"next\"")}};
  };
  node_.http().On("GET", first, 200, file, next("&cursor=2"));
  node_.http().On("GET", first + "&cursor=2", 200, file, next(""));
  EXPECT_EQ(FailureOf(List(HubKind::kHuggingFace).status())->class_(), v1::Failure::TRANSIENT);
}

TEST_F(ModelTest, RefusesAFileOutsideTheFolder) {
  node_.http().On("GET", "https://hub/", 200,
                  R"([{"type":"file","path":"../../etc/passwd","size":2}])");
  EXPECT_EQ(FailureOf(List(HubKind::kHuggingFace).status())->class_(), v1::Failure::CONFIG);
}

TEST_F(ModelTest, ReadsTheTokenOnlyFromAPrivateFile) {
  EXPECT_THAT(HubHeaders(node_.host(), hub_).value(), IsEmpty());
  hub_.set_token_file("/root/token");
  EXPECT_FALSE(HubHeaders(node_.host(), hub_).ok());
  ASSERT_TRUE(node_.files().Write("/root/token", "t0p\n", 0644).ok());
  EXPECT_THAT(std::string(HubHeaders(node_.host(), hub_).status().message()),
              HasSubstr("others may read"));
  ASSERT_TRUE(node_.files().SetMode("/root/token", 0600).ok());
  EXPECT_EQ(HubHeaders(node_.host(), hub_)->at("Authorization"), "Bearer t0p");
}

TEST_F(ModelTest, FetchesATreeAndReadsNoFileTwice) {
  const std::vector<HubFile> files = Served("{}");
  uint64_t done = 0;
  FetchCallbacks callbacks;
  callbacks.progress = [&](uint64_t now, uint64_t total) {
    done = now;
    EXPECT_EQ(total, 5u);
  };
  const auto manifest = FetchTree(node_.host(), files, kFolder, {}, callbacks);
  ASSERT_TRUE(manifest.ok()) << manifest.status();
  EXPECT_EQ(done, 5u);
  EXPECT_EQ(node_.files().Read("/data2/Qwen3/sub/config.json").value(), "{}");
  EXPECT_EQ(ReadManifest(node_.files(), kFolder)->files, manifest->files);
  EXPECT_EQ(manifest->TotalBytes(), 5u);
  EXPECT_THAT(QuickCompare(node_.files(), kFolder, *manifest), IsEmpty());

  const size_t requests = node_.http().Requests().size();
  ASSERT_TRUE(FetchTree(node_.host(), files, kFolder, {}, {}).ok());
  EXPECT_EQ(node_.http().Requests().size(), requests);
}

TEST_F(ModelTest, FetchesOnlyWhatIsWrong) {
  const std::vector<HubFile> files = Served("{}");
  const auto before = FetchTree(node_.host(), files, kFolder, {}, {});
  ASSERT_TRUE(node_.files().Write("/data2/Qwen3/a.safetensors", "abX").ok());
  ASSERT_TRUE(FetchTree(node_.host(), files, kFolder, {}, {}).ok());
  EXPECT_EQ(node_.http().Count("GET", "https://hub/a"), 2);
  EXPECT_EQ(node_.http().Count("GET", "https://hub/c"), 1);
  EXPECT_EQ(ReadManifest(node_.files(), kFolder)->Digest(), before->Digest());
}

TEST_F(ModelTest, AFileWithoutASha256IsComparedByGitsId) {
  std::vector<HubFile> files = Served("abX");
  files[1].git_blob = kAbcBlob;
  const auto wrong = FailureOf(FetchTree(node_.host(), files, kFolder, {}, {}).status());
  ASSERT_TRUE(wrong.has_value());
  EXPECT_EQ(wrong->class_(), v1::Failure::CONFIG);
  EXPECT_THAT(wrong->symptom(), HasSubstr(kAbcBlob));
  EXPECT_FALSE(node_.files().Exists("/data2/Qwen3/sub/config.json"));
  EXPECT_EQ(node_.http().Count("GET", "https://hub/c"), 2);  // bytes may be lost on the way, once
  node_.http().Serve("https://hub/c", "abc");
  EXPECT_TRUE(FetchTree(node_.host(), files, kFolder, {}, {}).ok());
}

TEST_F(ModelTest, WhatWasVerifiedByLengthAloneKeepsItsDigestAndOnlyWrongFilesAreFetched) {
  std::vector<HubFile> files = Served("abc");
  const auto before = FetchTree(node_.host(), files, kFolder, {}, {});
  files[1].git_blob = kAbcBlob;
  const auto after = FetchTree(node_.host(), files, kFolder, {}, {});
  ASSERT_TRUE(after.ok()) << after.status();
  EXPECT_EQ(after->Digest(), before->Digest());
  EXPECT_EQ(node_.http().Count("GET", "https://hub/c"), 1);

  files = Served("abX");  // a revision whose file is as long
  files[1].git_blob = "caec03be6c915e3392a7638ea578c9609de3417a";
  ASSERT_TRUE(FetchTree(node_.host(), files, kFolder, {}, {}).ok());
  EXPECT_EQ(node_.files().Read("/data2/Qwen3/sub/config.json").value(), "abX");
}

TEST_F(ModelTest, ItsDigestIsOfWhatAServerReads) {
  Manifest manifest{.files = {{"config.json", 2, 0, "aa"}, {"model.safetensors", 3, 0, "bb"}}};
  const std::string digest = manifest.Digest();
  for (const char* path : {"README.md", "LICENSE", ".gitattributes", ".cache/huggingface/x.json",
                           "figures/bench.PNG", "configuration.json"}) {
    manifest.files.push_back({path, 1, 0, "cc"});
    EXPECT_TRUE(IsOfHub(path)) << path;
  }
  EXPECT_EQ(manifest.Digest(), digest) << "hubs differ in these, and the model does not";
  for (const char* path : {"merges.txt", "tokenizer.json", "sub/configuration.json", "chat.jinja"})
    EXPECT_FALSE(IsOfHub(path)) << path;
  manifest.files[1].sha256 = "b0";
  EXPECT_NE(manifest.Digest(), digest);
}

TEST_F(ModelTest, OneFileThatCannotBeHadFailsTheTree) {
  std::vector<HubFile> files = Served("{}");
  files.push_back({"gone", 1, "", "https://hub/gone"});
  node_.http().On("GET", "https://hub/gone", 404, "");
  const auto manifest = FetchTree(node_.host(), files, kFolder, {}, {});
  EXPECT_EQ(FailureOf(manifest.status())->class_(), v1::Failure::CONFIG);
  EXPECT_TRUE(absl::IsNotFound(ReadManifest(node_.files(), kFolder).status()));
}

TEST_F(ModelTest, ComparesByTimeAndByContent) {
  const auto manifest = FetchTree(node_.host(), Served("{}"), kFolder, {}, {}).value();
  Touch("/data2/Qwen3/a.safetensors", 1);
  EXPECT_THAT(QuickCompare(node_.files(), kFolder, manifest),
              ElementsAre("a.safetensors: changed since it was verified"));
  EXPECT_THAT(FullCompare(node_.host(), kFolder, manifest, 2, {}).value(), IsEmpty());
  ASSERT_TRUE(node_.files().Write("/data2/Qwen3/a.safetensors", "abX").ok());
  ASSERT_TRUE(node_.files().Write("/data2/Qwen3/sub/config.json", "{} ").ok());
  EXPECT_THAT(
      FullCompare(node_.host(), kFolder, manifest, 2, {}).value(),
      ElementsAre(HasSubstr("a.safetensors: sha256 "), "sub/config.json: 3 bytes instead of 2"));
  ASSERT_TRUE(node_.files().RemoveAll("/data2/Qwen3/sub").ok());
  EXPECT_THAT(QuickCompare(node_.files(), kFolder, manifest).back(), "sub/config.json: missing");
}

TEST_F(ModelTest, AFolderHashedInPlaceHasTheDigestOfTheFetchedOne) {
  const auto fetched = FetchTree(node_.host(), Served("{}"), kFolder, {}, {}).value();
  ASSERT_TRUE(node_.files().Write("/data2/Qwen3/b.part", "unfinished").ok());
  const auto hashed = HashFolder(node_.host(), kFolder, 4, {});
  ASSERT_TRUE(hashed.ok()) << hashed.status();
  EXPECT_EQ(hashed->files, fetched.files);
  EXPECT_EQ(hashed->Digest(), fetched.Digest());
  EXPECT_TRUE(absl::IsNotFound(HashFolder(node_.host(), "/none", 4, {}).status()));
}

TEST_F(ModelTest, TheDigestKnowsContentAndNotTime) {
  Manifest manifest;
  manifest.files = {{"a", 3, 100, kAbc}};
  const std::string digest = manifest.Digest();
  EXPECT_THAT(digest, ::testing::StartsWith("sha256:"));
  manifest.files[0].modified_ns = 200;
  EXPECT_EQ(manifest.Digest(), digest);
  manifest.files[0].size_bytes = 4;
  EXPECT_NE(manifest.Digest(), digest);
}

TEST_F(ModelTest, AManifestOfNonsenseIsDataLoss) {
  ASSERT_TRUE(node_.files().Write("/data2/Qwen3/.npufleet-manifest.json", "{\"files\":3").ok());
  EXPECT_TRUE(absl::IsDataLoss(ReadManifest(node_.files(), kFolder).status()));
}

}  // namespace
}  // namespace npufleet::artifacts
