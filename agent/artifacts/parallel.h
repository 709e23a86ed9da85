// SPDX-License-Identifier: Apache-2.0
#ifndef AGENT_ARTIFACTS_PARALLEL_H_
#define AGENT_ARTIFACTS_PARALLEL_H_

#include <algorithm>
#include <atomic>
#include <functional>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"

namespace npufleet::artifacts {

// Calls `work` with 0..count-1, `threads` at a time, in order of their start. After the first error
// no new one is started, and `failed` (which the work may ask in the middle) is true; that error is
// the result.
inline absl::Status RunParallel(
    size_t count, size_t threads,
    const std::function<absl::Status(size_t index, const std::atomic<bool>& failed)>& work) {
  std::atomic<size_t> next = 0;
  std::atomic<bool> failed = false;
  absl::Mutex mutex;
  absl::Status first;
  auto run = [&] {
    for (size_t index; !failed && (index = next++) < count;) {
      const absl::Status status = work(index, failed);
      if (status.ok()) continue;
      absl::MutexLock lock(&mutex);
      if (first.ok()) first = status;
      failed = true;
    }
  };
  std::vector<std::thread> workers;
  for (size_t i = 0; i < std::min(count, std::max<size_t>(threads, 1)); ++i) {
    workers.emplace_back(run);
  }
  for (std::thread& worker : workers) worker.join();
  return first;
}

}  // namespace npufleet::artifacts

#endif  // AGENT_ARTIFACTS_PARALLEL_H_
