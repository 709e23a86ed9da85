// SPDX-License-Identifier: Apache-2.0
//
// JSON Schema (draft 2020-12) of the Deployment, for editors: made from the proto descriptor, so
// that it cannot differ from what ParseYaml takes.
#ifndef COMMON_SPEC_JSON_SCHEMA_H_
#define COMMON_SPEC_JSON_SCHEMA_H_

#include <string>

namespace npufleet::spec {

// Indented JSON with one newline at the end; the same text always.
// deploy/specs/deployment.schema.json is a copy (`ctl spec schema` writes it anew). Pure.
std::string DeploymentSchema();

}  // namespace npufleet::spec

#endif  // COMMON_SPEC_JSON_SCHEMA_H_
