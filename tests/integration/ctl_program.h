// SPDX-License-Identifier: Apache-2.0
//
// The ctl program itself, with a certificate of the fleet, and the specs that it is given.
#ifndef TESTS_INTEGRATION_CTL_PROGRAM_H_
#define TESTS_INTEGRATION_CTL_PROGRAM_H_

#include <string>
#include <vector>

#include "tests/integration/fleet.h"

namespace npufleet::integration {

class CtlProgram {
 public:
  // Of a person with this role. The fleet's controller is there.
  explicit CtlProgram(const Fleet& fleet, const std::string& role = "operator");

  struct Result {
    int exit_code = -1;
    std::string out;
    std::string err;
  };
  Result Run(std::vector<std::string> arguments) const;

  // A file of this text. Its path, as ctl will name it.
  std::string SpecFile(const std::string& text) const;

 private:
  fakes::TemporaryFolder folder_;
};

// The text with the only (or first) `what` in it replaced; a failure of the test when there is
// none.
std::string With(std::string text, const std::string& what, const std::string& replacement);

}  // namespace npufleet::integration

#endif  // TESTS_INTEGRATION_CTL_PROGRAM_H_
