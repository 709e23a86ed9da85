// SPDX-License-Identifier: Apache-2.0
//
// The spec: whatever is read can be resolved, validated, and written and read again.
#include "common/spec/deployment.h"
#include "common/spec/notes.h"
#include "common/spec/yaml.h"
#include "google/protobuf/util/message_differencer.h"
#include "tests/fuzz/require.h"

using namespace npufleet;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  v1::Deployment read;
  if (!spec::ParseYaml(text, "fuzz.yaml", &read).ok()) return 0;
  v1::Deployment again;
  Require(spec::ParseYaml(spec::WriteYaml(read), "again.yaml", &again).ok());
  Require(google::protobuf::util::MessageDifferencer::Equals(read, again));
  const v1::Deployment resolved = spec::ResolveDefaults(read);
  Require(google::protobuf::util::MessageDifferencer::Equals(resolved,
                                                             spec::ResolveDefaults(resolved)));
  spec::Validate(read);
  spec::Notes(resolved);
  spec::ParseDeployment(text, "fuzz.yaml").IgnoreError();
  return 0;
}
