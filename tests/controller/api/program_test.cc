// SPDX-License-Identifier: Apache-2.0
#include "controller/api/program.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "common/sqlite.h"
#include "common/tls/certificate_authority.h"
#include "common/tls/identity.h"
#include "common/tls/join_token.h"
#include "common/tls/keys.h"
#include "controller/api/serve.h"
#include "controller/api/store_lock.h"
#include "controller/store/node_store.h"
#include "tests/controller/api/fakes.h"

namespace npufleet::api {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;

class ProgramTest : public ::testing::Test {
 protected:
  ProgramTest() : etc_(folder_.path() + "/etc") {
    config_.address = "192.168.0.15,controller.example";
    config_.state_directory = folder_.path() + "/state";
  }

  absl::Status MakeFleet() { return Init(config_, etc_, out_); }
  absl::Status MakeIdentity(const std::string& role, bool bearer) {
    return CreateIdentity(config_, {role, "web", folder_.path() + "/web", bearer}, out_);
  }
  static std::string ReadAll(const std::string& path) { return tls::ReadWholeFile(path).value(); }
  static unsigned ModeOf(const std::string& path) {
    struct stat info = {};
    EXPECT_EQ(stat(path.c_str(), &info), 0) << path;
    return info.st_mode & 07777;
  }

  fakes::TemporaryFolder folder_;
  std::string etc_;
  Config config_;
  std::ostringstream out_;
};

class RestoreTest : public ProgramTest {
 protected:
  // A fleet whose backup knows node-a, and whose store knows node-b, too.
  RestoreTest() : backup_(folder_.path() + "/backup.db") {
    EXPECT_TRUE(MakeFleet().ok());
    Join("node-a");
    EXPECT_TRUE(sqlite::Database::Open(config_.Database())->BackUp(backup_).ok());
    Join("node-b");
  }
  void Join(const std::string& name) {
    const auto store = store::NodeStore::Open(config_.Database(), false).value();
    ASSERT_TRUE(store->AddJoinToken({name, name, absl::InfiniteFuture(), {}}).ok());
    ASSERT_TRUE(store->Join(name, {name, "192.168.0.16:7602", absl::Now()}).ok());
  }
  std::vector<std::string> Nodes() {
    std::vector<std::string> names;
    const auto store = store::NodeStore::Open(config_.Database(), false).value();
    const std::vector<store::Node> nodes = store->ListNodes().value();
    for (const store::Node& node : nodes) names.push_back(node.name);
    return names;
  }
  std::vector<std::string> StateFiles(const std::string& with) {
    std::vector<std::string> paths;
    for (const auto& entry : std::filesystem::directory_iterator(config_.state_directory)) {
      if (entry.path().filename().string().find(with) != std::string::npos)
        paths.push_back(entry.path().string());
    }
    return paths;
  }
  uint64_t Epoch() {
    return store::NodeStore::Open(config_.Database(), false).value()->Epoch().value();
  }
  const std::string backup_;
};

TEST_F(RestoreTest, ABackupBecomesTheStoreUnderANewEpochAndTheFormerIsKept) {
  const uint64_t before = Epoch();
  const absl::Status restored = Restore(config_, backup_, out_);
  ASSERT_TRUE(restored.ok()) << restored;
  EXPECT_THAT(Nodes(), testing::ElementsAre("node-a"));
  EXPECT_GT(Epoch(), before);
  std::vector<std::string> kept;
  for (const auto& entry : std::filesystem::directory_iterator(config_.state_directory)) {
    if (entry.path().extension().string().rfind(".replaced-", 0) == 0)
      kept.push_back(entry.path().string());
  }
  ASSERT_EQ(kept.size(), 1u);
  EXPECT_THAT(out_.str(), HasSubstr(kept[0]));
  EXPECT_EQ(store::NodeStore::Open(kept[0], false).value()->ListNodes()->size(), 2u);
}

TEST_F(RestoreTest, IsRefusedWhileAControllerServes) {
  const auto lock = StoreLock::Take(config_);
  ASSERT_TRUE(lock.ok());
  EXPECT_EQ(Restore(config_, backup_, out_).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(Nodes(), testing::ElementsAre("node-a", "node-b"));
}

TEST_F(RestoreTest, WhatIsNoWholeStoreIsRefusedAndChangesNothing) {
  EXPECT_EQ(Restore(config_, folder_.path() + "/missing", out_).code(),
            absl::StatusCode::kNotFound);
  std::ofstream(folder_.path() + "/text") << std::string(8192, 'x');
  EXPECT_EQ(Restore(config_, folder_.path() + "/text", out_).code(),
            absl::StatusCode::kInvalidArgument);
  ASSERT_TRUE(sqlite::Database::Open(folder_.path() + "/other").ok());
  EXPECT_EQ(Restore(config_, folder_.path() + "/other", out_).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(Nodes(), testing::ElementsAre("node-a", "node-b"));
}

TEST_F(RestoreTest, AStoreThatCannotBeReadIsReplacedNevertheless) {
  std::ofstream(config_.Database()) << std::string(8192, 'x');
  const absl::Status restored = Restore(config_, backup_, out_);
  ASSERT_TRUE(restored.ok()) << restored;
  EXPECT_THAT(Nodes(), testing::ElementsAre("node-a"));
}

TEST_F(RestoreTest, TheFormerStoreNeedsNoLog) {
  const auto open = store::NodeStore::Open(config_.Database(), false).value();  // keeps the log
  Join("node-c");
  ASSERT_GT(std::filesystem::file_size(config_.Database() + "-wal"), 0u);
  ASSERT_TRUE(Restore(config_, backup_, out_).ok());
  for (const std::string& kept : StateFiles(".replaced-")) {
    if (kept.find("-wal") != std::string::npos || kept.find("-shm") != std::string::npos) {
      std::filesystem::remove(kept);
    } else {
      EXPECT_EQ(store::NodeStore::Open(kept, false).value()->ListNodes()->size(), 3u);
    }
  }
}

TEST_F(RestoreTest, OneThatIsCutOffLeavesNothingToServeAndIsRunAgain) {
  // Neither can be read nor, for a while, its log be moved.
  std::filesystem::remove(config_.Database());
  std::filesystem::create_directory(config_.Database());
  std::ofstream(config_.Database() + "-wal") << "newest commits";
  std::vector<std::string> obstacles;
  for (int second = 0; second < 60; ++second) {
    obstacles.push_back(absl::StrCat(config_.Database(), ".replaced-",
                                     absl::ToUnixSeconds(absl::Now()) + second, "-wal"));
    std::filesystem::create_directory(obstacles.back());
  }
  EXPECT_FALSE(Restore(config_, backup_, out_).ok());
  EXPECT_FALSE(std::filesystem::exists(config_.Database()));
  ServeOptions options;
  options.config = config_;
  EXPECT_THAT(std::string(Serve(options).message()), HasSubstr("npufleet-controller restore"));

  for (const std::string& obstacle : obstacles) std::filesystem::remove(obstacle);
  const absl::Status restored = Restore(config_, backup_, out_);
  ASSERT_TRUE(restored.ok()) << restored;
  EXPECT_THAT(Nodes(), testing::ElementsAre("node-a"));
  EXPECT_THAT(StateFiles(".restoring"), testing::IsEmpty());
}

TEST_F(RestoreTest, OneWhoseEpochWouldNotBeNewerLeavesNothingBehind) {
  const absl::Time later = absl::Now() + absl::Hours(1);
  ASSERT_TRUE(store::NodeStore::Open(config_.Database(), false).value()->SetEpoch(later).ok());
  EXPECT_EQ(Restore(config_, backup_, out_).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(StateFiles(".restoring"), testing::IsEmpty());
  EXPECT_THAT(Nodes(), testing::ElementsAre("node-a", "node-b"));
}

TEST_F(RestoreTest, AStartDuringItReadsNothing) {
  std::ofstream(config_.Database()) << std::string(8192, 'x');
  const auto lock = StoreLock::Take(config_);
  ServeOptions options;
  options.config = config_;
  const absl::Status served = Serve(options);
  EXPECT_EQ(served.code(), absl::StatusCode::kFailedPrecondition) << served;
  EXPECT_THAT(std::string(served.message()), HasSubstr("serves or restores"));
}

TEST_F(ProgramTest, ServeBeforeInitSaysSo) {
  ServeOptions options;
  options.config = config_;
  EXPECT_THAT(std::string(Serve(options).message()), HasSubstr("npufleet-controller init"));
}

TEST_F(ProgramTest, InitMakesAFleetThatHangsTogether) {
  ASSERT_TRUE(MakeFleet().ok());
  const std::string ca = ReadAll(config_.AuthorityDirectory() + "/ca.pem");
  const auto controller = tls::LoadIdentity(config_.IdentityDirectory()).value();
  const auto admin = tls::LoadIdentity(etc_ + "/ctl").value();
  for (const tls::Identity& identity : {controller, admin}) {
    EXPECT_EQ(identity.ca_pem, ca);
    EXPECT_TRUE(tls::VerifyCertificate(identity.certificate_pem, ca, absl::Now()).ok());
  }
  const auto info = tls::ReadCertificate(controller.certificate_pem).value();
  EXPECT_EQ(info.role, "controller");
  EXPECT_THAT(info.addresses, AllOf(Contains("192.168.0.15"), Contains("controller.example"),
                                    Contains("127.0.0.1")));
  EXPECT_EQ(tls::ReadCertificate(admin.certificate_pem)->role, "admin");
  EXPECT_THAT(ReadAll(etc_ + "/ctl/config.yaml"),
              HasSubstr("controller: \"192.168.0.15:7600\"\nca: ca.pem\n"));
  EXPECT_EQ(ReadConfig(etc_ + "/controller.yaml")->address, config_.address);
}

TEST_F(ProgramTest, SecretsAreForTheirOwnerOnly) {
  ASSERT_TRUE(MakeFleet().ok());
  EXPECT_EQ(ModeOf(config_.AuthorityDirectory() + "/key.pem"), 0600u);
  EXPECT_EQ(ModeOf(etc_ + "/ctl/key.pem"), 0600u);
  EXPECT_EQ(ModeOf(etc_ + "/ctl/bearer"), 0600u);
  EXPECT_EQ(ModeOf(config_.Database()), 0600u);
  EXPECT_EQ(ModeOf(config_.state_directory), 0700u);

  std::string secret = ReadAll(etc_ + "/ctl/bearer");
  secret.pop_back();  // the newline
  const auto store = store::NodeStore::Open(config_.Database(), false).value();
  EXPECT_EQ(store->FindBearer(tls::Sha256Hex(secret))->role, "admin");
  EXPECT_FALSE(store->FindBearer(secret).ok()) << "kept as its hash only";
}

TEST_F(ProgramTest, InitOverwritesNothingAndNamesWhatIsThere) {
  ASSERT_TRUE(MakeFleet().ok());
  const std::string before = ReadAll(config_.AuthorityDirectory() + "/ca.pem");
  const absl::Status again = MakeFleet();
  EXPECT_EQ(again.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(again.message()),
              AllOf(HasSubstr(config_.Database()), HasSubstr(etc_ + "/controller.yaml")));
  EXPECT_EQ(ReadAll(config_.AuthorityDirectory() + "/ca.pem"), before);
}

TEST_F(ProgramTest, InitThatFailsLeavesNothingBehind) {
  config_.address = "not a host";
  EXPECT_EQ(MakeFleet().code(), absl::StatusCode::kInvalidArgument);
  config_.address = "192.168.0.15";
  std::ofstream(etc_) << "a file where a folder must be";
  EXPECT_FALSE(MakeFleet().ok());
  std::filesystem::remove(etc_);
  EXPECT_TRUE(MakeFleet().ok());
}

TEST_F(ProgramTest, InitNeedsAnAddress) {
  config_.address = "";
  EXPECT_THAT(std::string(MakeFleet().message()), HasSubstr("--address"));
}

TEST_F(ProgramTest, ALaterStoreHasALargerEpoch) {
  const auto store = store::NodeStore::Open(folder_.path() + "/a.db", true).value();
  EXPECT_EQ(store->Epoch().status().code(), absl::StatusCode::kNotFound);
  const absl::Time now = absl::Now();
  ASSERT_TRUE(store->SetEpoch(now).ok());
  const uint64_t first = store->Epoch().value();
  ASSERT_TRUE(store->SetEpoch(now + absl::Milliseconds(1)).ok());
  EXPECT_GT(store->Epoch().value(), first);
  EXPECT_LT(store->Epoch().value(), uint64_t{1} << 63);
}

TEST_F(ProgramTest, TokensArePrintedAndKept) {
  EXPECT_EQ(CreateToken(config_, "node-a", absl::Hours(1), out_).code(),
            absl::StatusCode::kNotFound)
      << "before init";
  ASSERT_TRUE(MakeFleet().ok());
  // Beside a controller that has the store open.
  const auto running = store::NodeStore::Open(config_.Database(), false).value();
  std::ostringstream out;
  ASSERT_TRUE(CreateToken(config_, "node-a", absl::Hours(1), out).ok());
  std::string text = out.str();
  text.pop_back();
  const auto token = tls::ParseJoinToken(text).value();
  EXPECT_EQ(running->FindJoinToken(tls::Sha256Hex(token.secret))->node, "node-a");
}

TEST_F(ProgramTest, IdentitiesHaveTheirRole) {
  ASSERT_TRUE(MakeFleet().ok());
  ASSERT_TRUE(MakeIdentity("viewer", true).ok());
  const std::string web = folder_.path() + "/web";
  const auto info = tls::ReadCertificate(tls::LoadIdentity(web)->certificate_pem).value();
  EXPECT_EQ(info.role, "viewer");
  EXPECT_EQ(info.name, "web");
  EXPECT_TRUE(std::filesystem::exists(web + "/bearer"));
  EXPECT_EQ(MakeIdentity("viewer", true).code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(MakeIdentity("agent", false).code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(ProgramTest, NodesAreListed) {
  ASSERT_TRUE(MakeFleet().ok());
  const auto store = store::NodeStore::Open(config_.Database(), false).value();
  ASSERT_TRUE(store->AddJoinToken({"hash", "node-a", absl::InfiniteFuture(), {}}).ok());
  ASSERT_TRUE(store->Join("hash", {"node-a", "192.168.0.15:7602", absl::FromUnixSeconds(0)}).ok());
  std::ostringstream out;
  ASSERT_TRUE(ListNodes(config_, out).ok());
  EXPECT_THAT(out.str(), HasSubstr("node-a               192.168.0.15:7602            1970-01-01"));
}

// --- controller.yaml ---------------------------------------------------------------------------

class ConfigTest : public ::testing::Test {
 protected:
  absl::StatusOr<Config> Read(const std::string& text) {
    path_ = folder_.path() + "/controller.yaml";
    std::ofstream(path_) << text;
    return ReadConfig(path_);
  }
  std::string ErrorOf(const std::string& text) {
    const absl::Status status = Read(text).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
    return std::string(status.message());
  }
  fakes::TemporaryFolder folder_;
  std::string path_;
};

TEST_F(ConfigTest, ReadsWhatItWrites) {
  Config config;
  config.address = "192.168.0.15,::1";
  config.listen = "[::]:7600";
  config.log_level = "debug";
  const Config read = Read(WriteConfig(config)).value();
  EXPECT_THAT(read.Hosts(), ::testing::ElementsAre("192.168.0.15", "::1"));
  EXPECT_EQ(read.listen, "[::]:7600");
  EXPECT_EQ(read.log_level, "debug");
  EXPECT_EQ(read.rest_listen, "0.0.0.0:7601");
}

TEST_F(ConfigTest, MissingKeysHaveDefaults) {
  EXPECT_EQ(Read("")->listen, "0.0.0.0:7600");
  EXPECT_EQ(Read("address: a\n")->state_directory, "/var/lib/npufleet/controller");
}

TEST_F(ConfigTest, ErrorsNameFileAndLine) {
  EXPECT_THAT(ErrorOf("address: a\nlisten_on: b\n"),
              HasSubstr("controller.yaml:2: unknown key \"listen_on\""));
  EXPECT_THAT(ErrorOf("address: a\naddress: b\n"), HasSubstr(":2: \"address\" is given twice"));
  EXPECT_THAT(ErrorOf("listen: [1]\n"), HasSubstr(":1: \"listen\" needs one value"));
  EXPECT_THAT(ErrorOf("- a\n"), HasSubstr(":1: not a list of KEY: VALUE"));
  EXPECT_THAT(ErrorOf("a: b: c\n"), HasSubstr("controller.yaml:1: "));
  EXPECT_THAT(ErrorOf("log_level: loud\n"), HasSubstr("\"loud\" is not debug"));
}

}  // namespace
}  // namespace npufleet::api
