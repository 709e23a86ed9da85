// SPDX-License-Identifier: Apache-2.0
//
// npu-smi and hccn_tool: one at a time on a node. Threadsafe.
#ifndef AGENT_OPERATIONS_NPU_TOOLS_H_
#define AGENT_OPERATIONS_NPU_TOOLS_H_

#include <functional>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace npufleet::operations {

class NpuTools {
 public:
  // Held until its end; not held when `cancelled` said so before the tools were free.
  class Turn {
   public:
    Turn(NpuTools& tools, const std::function<bool()>& cancelled)
        : tools_(tools), held_(tools.Take(cancelled)) {}
    ~Turn() {
      if (held_) tools_.GiveBack();
    }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;
    bool held() const { return held_; }

   private:
    NpuTools& tools_;
    const bool held_;
  };

 private:
  bool Take(const std::function<bool()>& cancelled) {
    absl::MutexLock lock(&mutex_);
    while (!mutex_.AwaitWithTimeout(absl::Condition(&free_), absl::Milliseconds(200))) {
      if (cancelled && cancelled()) return false;
    }
    free_ = false;
    return true;
  }
  void GiveBack() {
    absl::MutexLock lock(&mutex_);
    free_ = true;
  }

  absl::Mutex mutex_;
  bool free_ ABSL_GUARDED_BY(mutex_) = true;
};

}  // namespace npufleet::operations

#endif  // AGENT_OPERATIONS_NPU_TOOLS_H_
