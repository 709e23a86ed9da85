// SPDX-License-Identifier: Apache-2.0
//
// A folder that is gone with the object.
#ifndef TESTS_FAKES_TEMPORARY_FOLDER_H_
#define TESTS_FAKES_TEMPORARY_FOLDER_H_

#include <stdlib.h>

#include <filesystem>
#include <string>

#include "gtest/gtest.h"

namespace npufleet::fakes {

class TemporaryFolder {
 public:
  TemporaryFolder() : path_(::testing::TempDir() + "npufleet-XXXXXX") {
    if (mkdtemp(path_.data()) == nullptr) abort();
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace npufleet::fakes

#endif  // TESTS_FAKES_TEMPORARY_FOLDER_H_
