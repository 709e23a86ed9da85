// SPDX-License-Identifier: Apache-2.0
#ifndef TESTS_FUZZ_REQUIRE_H_
#define TESTS_FUZZ_REQUIRE_H_

#include <cstdlib>

// What must hold for any input; a crash of the fuzzer when it does not.
#define Require(condition)          \
  do {                              \
    if (!(condition)) std::abort(); \
  } while (false)

#endif  // TESTS_FUZZ_REQUIRE_H_
