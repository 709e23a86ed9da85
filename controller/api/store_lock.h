// SPDX-License-Identifier: Apache-2.0
//
// Two controllers on one store would both start what is outstanding, and one that opens a store
// while it is restored would mix the two. The kernel ends the lock with the process, however that
// ends.
#ifndef CONTROLLER_API_STORE_LOCK_H_
#define CONTROLLER_API_STORE_LOCK_H_

#include <memory>

#include "absl/status/statusor.h"
#include "controller/api/config.h"

namespace npufleet::api {

class StoreLock {
 public:
  // To be taken before anything of the store is read. FailedPrecondition when another process holds
  // it; NotFound, which says to run init, without a state directory.
  static absl::StatusOr<std::unique_ptr<StoreLock>> Take(const Config& config);
  ~StoreLock();
  StoreLock(const StoreLock&) = delete;
  StoreLock& operator=(const StoreLock&) = delete;

 private:
  explicit StoreLock(int descriptor) : descriptor_(descriptor) {}
  const int descriptor_;
};

}  // namespace npufleet::api

#endif  // CONTROLLER_API_STORE_LOCK_H_
