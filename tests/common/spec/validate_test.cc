// SPDX-License-Identifier: Apache-2.0
//
// What a spec must not hold, and what its errors must not show: secrets.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "absl/strings/str_cat.h"
#include "common/spec/deployment.h"
#include "tests/common/spec/reference_spec.h"

namespace npufleet::spec {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

// "PATH: MESSAGE" of each violation of the reference after `change`.
std::vector<std::string> Violations(const std::function<void(v1::DeploymentSpec&)>& change) {
  absl::StatusOr<v1::Deployment> deployment = ParseDeployment(FilledReferenceSpec(), "reference");
  EXPECT_TRUE(deployment.ok()) << deployment.status();
  change(*deployment->mutable_spec());
  std::vector<std::string> lines;
  for (const Violation& violation : Validate(*deployment)) {
    lines.push_back(absl::StrCat(violation.path, ": ", violation.message));
  }
  return lines;
}

TEST(ValidateSecretsTest, AreRefusedAsAnArgumentOfTheEngine) {
  for (const char* argument : {"--api-key", "--api_key=hunter2", "--ssl-keyfile-password hunter2",
                               "--hf-token", "--x.client-secret=hunter2"}) {
    const auto lines = Violations([&](auto& spec) {
      spec.mutable_engine()->add_extra_args("--disable-log-stats");
      spec.mutable_engine()->add_extra_args(argument);
      spec.mutable_engine()->add_extra_args("hunter2");
    });
    EXPECT_THAT(lines,
                ElementsAre(AllOf(StartsWith("spec.engine.extraArgs[1]: --"),
                                  HasSubstr(" looks like a secret, and a spec is stored, shown and "
                                            "logged; keep it in a 0600 file on the nodes"),
                                  HasSubstr("--config"), Not(HasSubstr("hunter2")))))
        << argument;
  }
}

TEST(ValidateSecretsTest, AreRefusedAsAnArgumentOfRay) {
  EXPECT_THAT(Violations([](auto& spec) {
                spec.mutable_ray()->add_head_extra_args("--redis-password=hunter2");
                spec.mutable_ray()->add_worker_extra_args("--redis-password");
                spec.mutable_ray()->add_worker_extra_args("hunter2");
              }),
              ElementsAre("spec.ray.headExtraArgs[0]: --redis-password looks like a secret, and a "
                          "spec is stored, shown and logged; leave it out",
                          "spec.ray.workerExtraArgs[0]: --redis-password looks like a secret, and "
                          "a spec is stored, shown and logged; leave it out"));
}

TEST(ValidateSecretsTest, OtherArgumentsStandAsTheyAre) {
  EXPECT_THAT(Violations([](auto& spec) {
                for (const char* argument :
                     {"--tokenizer", "token", "--tokenizer-mode=auto", "--ssl-keyfile=/data2/key",
                      "--enable-prompt-tokens-details", "--config", "/data2/secret.yaml"}) {
                  spec.mutable_engine()->add_extra_args(argument);
                }
                spec.mutable_ray()->add_head_extra_args("--dashboard-port=8265");
              }),
              IsEmpty());
}

TEST(ValidateSecretsTest, OfAUrlAreNotShown) {
  const auto artifact = [](const char* url) {
    return Violations([&](auto& spec) {
      spec.mutable_runtime()->mutable_installer()->set_url(url);
      spec.mutable_runtime()->mutable_installer()->clear_sha256();
    });
  };
  EXPECT_THAT(artifact("http://me:hunter2@origin/r.run"),
              ElementsAre(HasSubstr("plain http proves nothing about http://origin/r.run; ")));
  EXPECT_THAT(artifact("ftp://me:hunter2@origin/r.run"),
              ElementsAre(HasSubstr("\"ftp://origin/r.run\" is no http:// or https:// URL")));
  EXPECT_THAT(Violations([](auto& spec) {
                spec.mutable_model()->mutable_sources(0)->mutable_modelscope()->set_endpoint(
                    "ftp://me:hunter2@hub");
              }),
              AllOf(Each(Not(HasSubstr("hunter2"))), ElementsAre(HasSubstr("\"ftp://hub\""))));
}

}  // namespace
}  // namespace npufleet::spec
