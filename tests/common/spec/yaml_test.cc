// SPDX-License-Identifier: Apache-2.0
#include "common/spec/yaml.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/spec/nearest.h"
#include "google/protobuf/util/message_differencer.h"
#include "npufleet/v1/controller.pb.h"
#include "npufleet/v1/spec.pb.h"
#include "tests/common/spec/reference_spec.h"

namespace npufleet::spec {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

std::vector<std::string> Errors(const std::string& text) {
  v1::Deployment deployment;
  absl::Status status = ParseYaml(text, "f.yaml", &deployment);
  if (status.ok()) return {};
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  return absl::StrSplit(std::string(status.message()), '\n');
}

TEST(YamlTest, ReadsEachKindOfField) {
  v1::Deployment deployment;
  absl::Status status = ParseYaml(R"(
metadata: {name: demo}
spec:
  nodes:
    - {name: a, role: head}
    - {name: b, role: worker}
  visibleChips: [0, 3]
  preflight:
    maxClockSkew: 1h30m
    minFreeGib: {/data: 500}
  docker:
    binary: {version: 28.0.4}
  engine:
    gpuMemoryUtilization: 0.95
    enforceEager: true
    environment: {VLLM_USE_V1: 0}
)",
                                  "f.yaml", &deployment);
  ASSERT_TRUE(status.ok()) << status;
  const v1::DeploymentSpec& spec = deployment.spec();
  EXPECT_EQ(spec.nodes(1).role(), v1::Node::WORKER);
  EXPECT_THAT(spec.visible_chips(), ElementsAre(0, 3));
  EXPECT_EQ(spec.preflight().max_clock_skew().seconds(), 5400);
  EXPECT_EQ(spec.preflight().min_free_gib().at("/data"), 500);
  EXPECT_EQ(spec.docker().binary().version(), "28.0.4");
  EXPECT_EQ(spec.engine().gpu_memory_utilization(), 0.95);
  EXPECT_TRUE(spec.engine().enforce_eager());
  EXPECT_EQ(spec.engine().environment().at("VLLM_USE_V1"), "0");
}

TEST(YamlTest, UnknownFieldNamesItsPlaceAndTheNearestName) {
  EXPECT_THAT(
      Errors("spec:\n  engine:\n    tensorParalelSize: 16\n"),
      ElementsAre("f.yaml:3:5: unknown field \"tensorParalelSize\" in spec.engine; did you mean "
                  "\"tensorParallelSize\"?"));
  EXPECT_THAT(Errors("spec:\n  engine:\n    tensor_parallel_size: 16\n"),
              ElementsAre(HasSubstr("did you mean \"tensorParallelSize\"?")));
  EXPECT_THAT(Errors("spce: {}\n"),
              ElementsAre("f.yaml:1:1: unknown field \"spce\"; did you mean \"spec\"?"));
}

TEST(YamlTest, AFieldInTheWrongPlaceIsSentHome) {
  EXPECT_THAT(Errors("spec:\n  ray:\n    port: 1\n    engine: {}\n"),
              ElementsAre("f.yaml:4:5: unknown field \"engine\" in spec.ray; it belongs to spec: "
                          "check the indentation"));
  EXPECT_THAT(Errors("spec:\n  servedModelName: x\n"),
              ElementsAre("f.yaml:2:3: unknown field \"servedModelName\" in spec; it belongs to "
                          "spec.engine"));
}

TEST(YamlTest, WrongTypesSayWhatIsWanted) {
  EXPECT_THAT(
      Errors(R"(spec:
  chipsPerNode: many
  nodes: node-a
  engine:
    port: "8006"
    enforceEager: yes
    servedModelName: [a]
    gpuMemoryUtilization: high
    startDeadline: 30
    environment: none
  docker: 3
)"),
      ElementsAre(
          "f.yaml:2:17: spec.chipsPerNode needs a whole number, not \"many\"",
          "f.yaml:3:10: spec.nodes needs a list (- item), not \"node-a\"",
          "f.yaml:5:11: spec.engine.port needs a whole number, not the string \"8006\"; remove the "
          "quotes",
          "f.yaml:6:19: spec.engine.enforceEager needs true or false, not \"yes\"",
          "f.yaml:7:22: spec.engine.servedModelName needs one value, not a list",
          "f.yaml:8:27: spec.engine.gpuMemoryUtilization needs a number, not \"high\"",
          "f.yaml:9:20: spec.engine.startDeadline needs a duration with a unit (30s, 5m, 1h30m), "
          "not \"30\"",
          "f.yaml:10:18: spec.engine.environment needs a mapping (key: value), not \"none\"",
          "f.yaml:11:11: spec.docker needs a mapping (key: value), not \"3\""));
}

TEST(YamlTest, NumbersOutOfRangeNameTheRange) {
  EXPECT_THAT(
      Errors("spec: {chipsPerNode: 4294967296}\n"),
      ElementsAre("f.yaml:1:22: spec.chipsPerNode 4294967296 is out of range: 0 to 4294967295"));
  EXPECT_THAT(Errors("spec: {chipsPerNode: -1}\n"), ElementsAre(HasSubstr("-1 is out of range")));
  EXPECT_THAT(Errors("spec: {probe: {period: 99999999999h}}\n"),
              ElementsAre(HasSubstr("spec.probe.period")));
}

TEST(YamlTest, EnumsAreLowerCaseNames) {
  EXPECT_THAT(
      Errors("spec: {nodes: [{role: haed}]}\n"),
      ElementsAre(
          "f.yaml:1:23: spec.nodes[0].role needs one of head, worker, not \"haed\"; did you "
          "mean \"head\"?"));
  EXPECT_THAT(Errors("spec: {nodes: [{role: HEAD}]}\n"),
              ElementsAre(HasSubstr("one of head, worker")));
  EXPECT_THAT(Errors("spec: {nodes: [{role: role_unspecified}]}\n"),
              ElementsAre(HasSubstr("one of head, worker")));
}

TEST(YamlTest, BothMembersOfAOneofAreNamed) {
  EXPECT_THAT(
      Errors("spec:\n  docker:\n    binary: {}\n    packages: {}\n"),
      ElementsAre(
          "f.yaml:4:5: spec.docker has both \"binary\" and \"packages\"; keep one of them"));
}

TEST(YamlTest, DuplicateKeysAreErrors) {
  EXPECT_THAT(Errors("spec:\n  ray: {port: 1}\n  ray: {port: 2}\n"),
              ElementsAre("f.yaml:3:3: duplicate key \"ray\" in spec"));
  EXPECT_THAT(Errors("spec: {ray: {environment: {A: 1, A: 2}}}\n"),
              ElementsAre(HasSubstr("duplicate key \"A\" in spec.ray.environment")));
}

TEST(YamlTest, BadIndentationIsPlaced) {
  EXPECT_THAT(Errors("spec:\n  ray:\n    port: 1\n   engine: {}\n"),
              ElementsAre("f.yaml:4:4: bad indentation: this line fits no mapping above it"));
  EXPECT_THAT(Errors("spec:\n  ray: x: y\n"),
              ElementsAre(StartsWith("f.yaml:2:9: a \": \" where none can be")));
  EXPECT_THAT(Errors("spec:\n  ray: {port: 1\n"), ElementsAre(HasSubstr("without its \"}\"")));
}

TEST(YamlTest, AValueWithLinesBelowItIsSaidWhereTheValueIs) {
  for (const char* value : {"foo", "foo  # mine"}) {
    EXPECT_THAT(
        Errors(absl::StrCat("kind: Deployment\nmetadata: ", value, "\n  name: demo\n")),
        ElementsAre("f.yaml:2:11: \"metadata\" has the value \"foo\", and line 3 is indented "
                    "as a part of it: remove the value, or indent that line like this one"));
  }
  EXPECT_THAT(
      Errors("spec:\n  nodes:\n    - name: node-a\n        nic: eth0\n"),
      ElementsAre(StartsWith("f.yaml:3:13: \"name\" has the value \"node-a\", and line 4")));
  // Nothing is wrong above these.
  EXPECT_THAT(Errors("spec:\n  ray: # x\n    port: 1: 2\n"),
              ElementsAre(StartsWith("f.yaml:3:12: a \": \" where none can be")));
  EXPECT_THAT(Errors("spec:\n  - a: b\n    c: d: e\n"),
              ElementsAre(StartsWith("f.yaml:3:9: a \": \" where none can be")));
}

TEST(YamlTest, AScalarThatHoldsItemsHintsAtTheIndentation) {
  EXPECT_THAT(Errors("spec:\n  visibleChips:\n   - 0\n    - 1\n"),
              ElementsAre(AllOf(StartsWith("f.yaml:3:6: spec.visibleChips[0] needs a whole number, "
                                           "not \"0 - 1\""),
                                EndsWith("check the indentation: all items begin in one column"))));
  EXPECT_THAT(Errors("spec:\n  nodes: none\n    - a\n"),
              ElementsAre(AllOf(StartsWith("f.yaml:2:10: spec.nodes needs a list (- item), not "
                                           "\"none - a\""),
                                EndsWith("check the indentation: all items begin in one column"))));
}

TEST(YamlTest, TabsInTheIndentationAreErrors) {
  EXPECT_THAT(Errors("spec:\n\tray: {}\n  \tengine: {}\n"),
              ElementsAre("f.yaml:2:1: a tab in the indentation; YAML wants spaces",
                          "f.yaml:3:3: a tab in the indentation; YAML wants spaces"));
}

TEST(YamlTest, AKeyWithoutAValueIsAnError) {
  EXPECT_THAT(
      Errors("spec:\n  engine:\n  ray: {port:}\n"),
      ElementsAre(HasSubstr("spec.engine has no value"), HasSubstr("spec.ray.port has no value")));
}

TEST(YamlTest, ForeignTextIsAnErrorAndNeverACrash) {
  EXPECT_THAT(Errors(""), ElementsAre("f.yaml:1:1: the document is empty"));
  EXPECT_THAT(Errors("# nothing\n"), ElementsAre(HasSubstr("empty")));
  EXPECT_THAT(Errors("- a\n"),
              ElementsAre("f.yaml:1:1: the document needs a mapping (key: value), not a list"));
  EXPECT_THAT(Errors("spec: {}\n---\nspec: {}\n"), ElementsAre(HasSubstr("a second document")));
  // Each of these is documents without end to yaml-cpp 0.7.
  for (const char* text : {",", "- a\n, b\n", "spec: {},\n", "{spec: {}},\n", "spec: {}\n---\n,"}) {
    EXPECT_EQ(Errors(text).size(), 1) << text;
  }
  EXPECT_THAT(Errors("{spec: {}},\n"),
              ElementsAre(StartsWith("f.yaml:1:11: a second document, or text after the end")));
  EXPECT_THAT(Errors(std::string("spec: \0", 7)), ElementsAre(HasSubstr("not a text file")));
  EXPECT_THAT(Errors(std::string(2 << 20, 'x')), ElementsAre(HasSubstr("over 1 MiB")));
  EXPECT_EQ(Errors(std::string(100'000, '[')).size(), 1);
  EXPECT_EQ(Errors("spec: *nowhere\n").size(), 1);
  EXPECT_THAT(Errors("? [a]\n: b\n"), ElementsAre(HasSubstr("a key must be a name")));
}

TEST(YamlTest, AliasesThatBlowUpAreStopped) {
  std::string text = "x: &l0 [a,a,a,a,a,a,a,a,a,a]\n";
  for (int i = 1; i < 8; ++i) {
    absl::StrAppend(&text, "x", i, ": &l", i, " [");
    for (int j = 0; j < 10; ++j) absl::StrAppend(&text, j == 0 ? "" : ",", "*l", i - 1);
    text += "]\n";
  }
  EXPECT_FALSE(Errors(text).empty());
}

TEST(YamlTest, ReportsManyProblemsAtOnceButNotAll) {
  std::string text = "spec:\n";
  for (int i = 0; i < 50; ++i) absl::StrAppend(&text, "  zz", i, ": 1\n");
  std::vector<std::string> errors = Errors(text);
  ASSERT_EQ(errors.size(), 21);
  EXPECT_THAT(errors[19], StartsWith("f.yaml:21:3:"));
  EXPECT_EQ(errors[20], "f.yaml: and more");
}

TEST(YamlTest, PositionsNameEachKeyAndItem) {
  v1::Deployment deployment;
  Positions positions;
  ASSERT_TRUE(ParseYaml("spec:\n  nodes:\n    - name: a\n      nic: e\n  preflight:\n    "
                        "minFreeGib:\n      /d: 1\n",
                        "f", &deployment, &positions)
                  .ok());
  EXPECT_EQ(positions.at("spec.nodes[0].nic").line, 4);
  EXPECT_EQ(positions.at("spec.preflight.minFreeGib[\"/d\"]").line, 7);
  // What is not there is placed where it belongs.
  EXPECT_EQ(Find(positions, "spec.nodes[0].address").line, 3);
  EXPECT_EQ(Find(positions, "spec.engine.port").line, 1);
  EXPECT_EQ(Find(positions, "kind").line, 1);
}

TEST(YamlTest, WritesWhatItReads) {
  v1::Deployment before;
  ASSERT_TRUE(ParseYaml(FilledReferenceSpec(), "f", &before).ok());
  before.mutable_spec()->mutable_engine()->add_extra_args("a: b # \"c\"\n\td 中文");
  before.mutable_spec()->mutable_engine()->set_dtype("true");
  before.mutable_spec()->mutable_engine()->set_quantization("1e3");
  before.mutable_spec()->mutable_container()->add_command("");
  before.mutable_spec()->mutable_model()->add_sources();
  v1::Deployment after;
  absl::Status status = ParseYaml(WriteYaml(before), "written", &after);
  ASSERT_TRUE(status.ok()) << status << WriteYaml(before);
  EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(before, after))
      << WriteYaml(before);
}

TEST(YamlTest, WritesDurationsTimesAndEnumsAsPeopleDo) {
  v1::Rollout rollout;
  rollout.set_name("demo");
  rollout.set_phase(v1::Rollout::SERVING);
  rollout.mutable_start_time()->set_seconds(1748779200);
  rollout.mutable_critical_path()->mutable_wall()->set_seconds(5400);
  EXPECT_EQ(WriteYaml(rollout),
            "name: demo\nphase: serving\nstartTime: \"2025-06-01T12:00:00Z\"\ncriticalPath:\n  "
            "wall: 1h30m\n");
  rollout.mutable_critical_path()->mutable_wall()->Clear();
  EXPECT_THAT(WriteYaml(rollout), HasSubstr("wall: 0s\n")) << "with its unit, to be read again";
  EXPECT_EQ(WriteYaml(v1::Rollout()), "{}\n");
  EXPECT_THAT(WriteCompactJson(rollout), HasSubstr("\"phase\":\"SERVING\""));
  EXPECT_THAT(WriteJson(rollout), StartsWith("{\n"));
}

TEST(NearestTest, PrefersTheSmallestDistanceAndGivesUpOnStrangers) {
  EXPECT_EQ(Nearest("imgae", {"image", "engine"}), "image");
  EXPECT_EQ(Nearest("xyzzy", {"image", "engine"}), "");
  EXPECT_EQ(Nearest(std::string(100'000, 'a'), {"image"}), "");
  EXPECT_EQ(EditDistance("shm_size", "shmSize"), 0);
}

TEST(YamlTest, AByteThatIsNotUtf8IsPlacedAndNotGivenToTheParser) {
  v1::Deployment deployment;
  const absl::Status status = ParseYaml(
      "kind: Deployment\n\xc3\xa9: 1\n!\xf8\xff\xff\xff"
      "a [1, \xce\xc2"
      "a\n5--\nc:\x1f?(d\n",
      "f.yaml", &deployment);
  EXPECT_THAT(std::string(status.message()),
              testing::StartsWith("f.yaml:3:2: a byte that is not UTF-8"));
}

}  // namespace
}  // namespace npufleet::spec
