// SPDX-License-Identifier: Apache-2.0
#include "common/spec/json_schema.h"

#include <gtest/gtest.h>

#include "nlohmann/json.hpp"
#include "tests/common/spec/reference_spec.h"

namespace npufleet::spec {
namespace {

using Json = nlohmann::json;

TEST(JsonSchemaTest, TheCheckedInCopyIsUpToDate) {
  EXPECT_EQ(DeploymentSchema(), ReadSourceFile("deploy/specs/deployment.schema.json"))
      << "write it anew: ctl spec schema > deploy/specs/deployment.schema.json";
}

TEST(JsonSchemaTest, KnowsNamesTypesDefaultsAndChoices) {
  Json schema = Json::parse(DeploymentSchema());
  const Json& engine = schema["$defs"]["Engine"];
  EXPECT_EQ(engine["properties"]["tensorParallelSize"]["type"], "integer");
  EXPECT_EQ(engine["properties"]["port"]["default"], 8006);
  EXPECT_EQ(engine["additionalProperties"], false);
  EXPECT_EQ(schema["$defs"]["Node"]["properties"]["role"]["enum"], Json::array({"head", "worker"}));
  EXPECT_EQ(schema["$defs"]["Docker"]["oneOf"].size(), 2);
  EXPECT_EQ(schema["$defs"]["Probe"]["properties"]["period"]["default"], "1m");
  EXPECT_EQ(schema["properties"]["spec"]["$ref"], "#/$defs/DeploymentSpec");
}

TEST(JsonSchemaTest, EachReferenceHasItsDefinition) {
  std::string text = DeploymentSchema();
  Json schema = Json::parse(text);
  for (size_t at = text.find("#/$defs/"); at != std::string::npos;
       at = text.find("#/$defs/", at + 1)) {
    std::string name = text.substr(at + 8, text.find('"', at) - at - 8);
    EXPECT_TRUE(schema["$defs"].contains(name)) << name;
  }
}

}  // namespace
}  // namespace npufleet::spec
