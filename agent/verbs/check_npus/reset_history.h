// SPDX-License-Identifier: Apache-2.0
//
// What this node's chips were reset for, and whether it helped: what bounds resets and reboots.
// /var/lib/npufleet/agent/npu-resets.json, the last 64. Not threadsafe.
#ifndef AGENT_VERBS_CHECK_NPUS_RESET_HISTORY_H_
#define AGENT_VERBS_CHECK_NPUS_RESET_HISTORY_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "agent/host/host.h"

namespace npufleet::verbs {

class ResetHistory {
 public:
  enum class Result {
    kBegun,       // it runs, or was cut off: it is done again
    kDidNotHelp,  // the code stayed, or the chip did not come back
    kHelped,
  };
  enum class Verdict {
    kReset,
    kReboot,   // a reset in this boot did not help
    kReplace,  // nor did one in an earlier boot, at most 24 hours before; or two resets within 24
               // hours helped, and the code came back
  };

  // A file that cannot be read is an empty history.
  explicit ResetHistory(host::Host& host);

  // What comes next for a chip with these codes, which call for a reset. Resets for none of them do
  // not count.
  Verdict Judge(uint32_t chip, const std::vector<std::string>& codes,
                const std::string& boot_id) const;

  // A reset was begun in this boot, and its end is not noted.
  bool IsUnderWay(const std::string& boot_id) const;

  // On disk (fsync) when these return. Record replaces the chip's newest entry when that is kBegun.
  absl::Status Record(uint32_t chip, const std::vector<std::string>& codes,
                      const std::string& boot_id, Result result);
  // The chip's newest entry, of a reset that was refused.
  absl::Status Forget(uint32_t chip);

  // How many resets of the chip had ended when its newest was begun.
  int64_t EndedBefore(uint32_t chip) const;

 private:
  struct Entry {
    uint32_t chip = 0;
    std::vector<std::string> codes;
    std::string boot_id;
    absl::Time time;
    Result result = Result::kBegun;
    int64_t ended_before = 0;  // of this chip; kept, as old entries are dropped
  };

  absl::Status Save();
  // The index of the chip's newest entry; negative: none.
  int NewestOf(uint32_t chip) const;

  host::Host& host_;
  std::vector<Entry> entries_;  // oldest first
};

}  // namespace npufleet::verbs

#endif  // AGENT_VERBS_CHECK_NPUS_RESET_HISTORY_H_
