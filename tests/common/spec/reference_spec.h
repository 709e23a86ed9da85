// SPDX-License-Identifier: Apache-2.0
//
// The reference spec as a test can use it: with its empty digests filled in.
#ifndef TESTS_COMMON_SPEC_REFERENCE_SPEC_H_
#define TESTS_COMMON_SPEC_REFERENCE_SPEC_H_

#include <fstream>
#include <sstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace npufleet::spec {

inline std::string ReadSourceFile(const std::string& path) {
  std::ifstream file(absl::StrCat(NPUFLEET_SOURCE_DIR, "/", path));
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

inline std::string ReferenceSpec() {
  return ReadSourceFile("deploy/specs/qwen3-235b-a22b-910b.yaml");
}

inline std::string FilledReferenceSpec() {
  return absl::StrReplaceAll(ReferenceSpec(),
                             {{"sha256: \"\"", absl::StrCat("sha256: ", std::string(64, 'a'))}});
}

}  // namespace npufleet::spec

#endif  // TESTS_COMMON_SPEC_REFERENCE_SPEC_H_
