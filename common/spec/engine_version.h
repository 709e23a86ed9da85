// SPDX-License-Identifier: Apache-2.0
//
// The vLLM release that an image holds, as its tag says:
// quay.io/ascend/vllm-ascend:v0.8.4rc2-openeuler.
#ifndef COMMON_SPEC_ENGINE_VERSION_H_
#define COMMON_SPEC_ENGINE_VERSION_H_

#include <compare>
#include <optional>
#include <string>
#include <string_view>

namespace npufleet::spec {

struct EngineVersion {
  static constexpr int kFinal = 1000;  // a release comes after its candidates
  int major = 0;
  int minor = 0;
  int patch = 0;
  int candidate = kFinal;  // rc2 -> 2

  auto operator<=>(const EngineVersion&) const = default;
};

// "0.8.4rc2".
std::string ToString(const EngineVersion& version);

// From an image's name; nothing when its tag begins with no version (latest, main, a digest). Pure.
std::optional<EngineVersion> EngineVersionOf(std::string_view image);

}  // namespace npufleet::spec

#endif  // COMMON_SPEC_ENGINE_VERSION_H_
