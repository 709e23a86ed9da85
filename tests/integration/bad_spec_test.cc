// SPDX-License-Identifier: Apache-2.0
//
// A wrong spec, given to ctl: where and what is said, and that nothing came of it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/spec/yaml.h"
#include "tests/integration/ctl_program.h"

namespace npufleet::integration {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;
using ::testing::StartsWith;

class BadSpecTest : public ::testing::Test {
 protected:
  BadSpecTest() : fleet_(2) {
    fleet_.StartController();
    ctl_ = std::make_unique<CtlProgram>(fleet_);
    good_ = spec::WriteYaml(MakeDeployment(2));
  }

  // Gives the text to plan and apply. What both of them said on stderr, of the file as "FILE".
  std::string Refused(const std::string& text) {
    const std::string file = ctl_->SpecFile(text);
    const CtlProgram::Result planned = ctl_->Run({"rollout", "plan", "-f", file});
    EXPECT_EQ(planned.exit_code, 2) << planned.out << planned.err;
    const CtlProgram::Result applied = ctl_->Run({"rollout", "apply", "-f", file});
    EXPECT_EQ(applied.exit_code, 2) << applied.out << applied.err;
    EXPECT_EQ(planned.err, applied.err);
    ExpectNothingStored();
    return absl::StartsWith(applied.err, file) ? "FILE" + applied.err.substr(file.size())
                                               : applied.err;
  }

  void ExpectNothingStored() {
    EXPECT_THAT(fleet_.runtime().ListRollouts()->rollouts(), IsEmpty());
    EXPECT_THAT(fleet_.Events(0, 1000).events(), IsEmpty());
    // Nor for the next controller.
    fleet_.StopController();
    fleet_.StartController();
    EXPECT_THAT(fleet_.runtime().ListRollouts()->rollouts(), IsEmpty());
    ctl_ = std::make_unique<CtlProgram>(fleet_);
    for (int node = 0; node < 2; ++node) {
      EXPECT_THAT(fleet_.Journal(node), IsEmpty());
      EXPECT_EQ(fleet_.machine(node).Downloads(), 0);
    }
  }

  Fleet fleet_;
  std::unique_ptr<CtlProgram> ctl_;
  std::string good_;
};

TEST_F(BadSpecTest, AnUnknownFieldIsPlacedAndTheNearestNameIsSaid) {
  EXPECT_THAT(Refused(With(good_, "  chipsPerNode:", "  chipPerNode:")),
              MatchesRegex("FILE:[0-9]+:3: unknown field \"chipPerNode\" in spec; did you mean "
                           "\"chipsPerNode\"\\?\n"));
}

TEST_F(BadSpecTest, AWrongTypeIsPlacedAndTheRightOneIsSaid) {
  EXPECT_THAT(
      Refused(With(good_, "  chipsPerNode: 2", "  chipsPerNode: many")),
      MatchesRegex(
          "FILE:[0-9]+:17: spec\\.chipsPerNode needs a whole number, not \"many\"[^\n]*\n"));
}

TEST_F(BadSpecTest, BadIndentationIsPlaced) {
  EXPECT_THAT(Refused(With(good_, "  chipsPerNode:", "     chipsPerNode:")),
              MatchesRegex("FILE:[0-9]+:[0-9]+: [^\n]+\n"));
  EXPECT_THAT(Refused(With(good_, "  chipsPerNode:", "\tchipsPerNode:")),
              MatchesRegex("FILE:[0-9]+:[0-9]+: [^\n]*tab[^\n]*\n"));
}

TEST_F(BadSpecTest, AValueAboveIndentedLinesIsPlacedAtTheValue) {
  EXPECT_THAT(Refused(With(good_, "metadata:\n", "metadata: foo\n")),
              MatchesRegex("FILE:[0-9]+:11: \"metadata\" has the value \"foo\", and line [0-9]+ is "
                           "indented as a part of it[^\n]*\n"));
}

TEST_F(BadSpecTest, AMissingApiVersionIsSaidToBeMissing) {
  EXPECT_THAT(Refused(With(good_, "apiVersion: npufleet/v1\n", "")),
              StartsWith("FILE:1:1: apiVersion: missing: npufleet/v1\n"));
}

TEST_F(BadSpecTest, ANodeThatSpecInitCannotUseIsRefusedAtOnce) {
  const std::pair<const char*, const char*> wrong[] = {
      {"node-a=1", "--node node-a=1: \"1\" is no IPv4 address"},
      {"Node_A=192.168.0.15", "\"Node_A\" is no name of a node"},
      {"node-a=192.168.0.15,", "no network interface after the comma"},
      {"node-a=192.168.0.15,eth0,eth1,eth2,eth3", "is no name of a network interface"},
  };
  for (const auto& [node, why] : wrong) {
    const CtlProgram::Result result = ctl_->Run({"spec", "init", "--node", node});
    EXPECT_EQ(result.exit_code, 2) << node;
    EXPECT_EQ(result.out, "") << node;
    EXPECT_THAT(result.err, HasSubstr(why)) << node;
  }
  const CtlProgram::Result result = ctl_->Run({"spec", "init", "--node", "a=192.168.0.15,eth0"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out,
              AllOf(StartsWith("# yaml-language-server: $schema=deployment.schema.json\n"),
                    HasSubstr("ctl spec schema > deployment.schema.json")));
}

TEST_F(BadSpecTest, ParallelSizesThatAreNotTheChipsNameBothSides) {
  EXPECT_THAT(Refused(With(good_, "tensorParallelSize: 4", "tensorParallelSize: 3")),
              AllOf(MatchesRegex("FILE:[0-9]+:[0-9]+: .*\n"), HasSubstr("tensorParallelSize"),
                    HasSubstr("3"), HasSubstr("4")));
}

TEST_F(BadSpecTest, AMissingHeadIsSaid) {
  EXPECT_THAT(Refused(With(good_, "role: head", "role: worker")),
              AllOf(StartsWith("FILE:"), HasSubstr("no node has the role head")));
}

TEST_F(BadSpecTest, TwoNodesWithOneAddressAreBothNamed) {
  EXPECT_THAT(
      Refused(With(good_, AddressOfNode(1), AddressOfNode(0))),
      AllOf(StartsWith("FILE:"),
            HasSubstr(absl::StrCat("node-a and node-b both have the address ", AddressOfNode(0)))));
}

TEST_F(BadSpecTest, ANicThatTheNodeHasNotIsRefusedBeforeAnyChange) {
  const std::string said =
      Refused(With(good_, "name: node-b\n      address: \"192.168.0.16\"\n      nic: eth0",
                   "name: node-b\n      address: \"192.168.0.16\"\n      nic: enp7s0"));
  EXPECT_THAT(said, AllOf(HasSubstr("node-b"), HasSubstr("no interface enp7s0"),
                          HasSubstr("eth0 (192.168.0.16)")));
}

TEST_F(BadSpecTest, AnAddressThatTheNicHasNotIsRefusedBeforeAnyChange) {
  EXPECT_THAT(Refused(With(good_, "address: \"192.168.0.16\"", "address: \"192.168.0.99\"")),
              AllOf(HasSubstr("node-b"), HasSubstr("192.168.0.99 is not an address of eth0"),
                    HasSubstr("eth0 (192.168.0.16)")));
}

TEST_F(BadSpecTest, PlainHttpWithoutASha256IsRefusedAtPlan) {
  const std::string digest = MakeDeployment(2).spec().runtime().installer().sha256();
  EXPECT_THAT(Refused(With(good_, absl::StrCat("\n      sha256: ", digest), "")),
              MatchesRegex("FILE:[0-9]+:[0-9]+: spec.runtime.installer.sha256: missing: plain http "
                           "proves nothing about http://origin/runtime.run[^\n]*\n"));
}

}  // namespace
}  // namespace npufleet::integration
