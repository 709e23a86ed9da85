// SPDX-License-Identifier: Apache-2.0
//
// Running programs. argv only, never a shell string; stdin is /dev/null unless given; a child gets
// its own process group, which is killed as a whole at the deadline or on cancel.
#ifndef AGENT_HOST_SUBPROCESS_H_
#define AGENT_HOST_SUBPROCESS_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace npufleet::host {

// Asked now and then by whatever takes long: true means stop soon. Threadsafe.
using Cancelled = std::function<bool()>;

struct ProcessOptions {
  std::map<std::string, std::string> environment;  // added to the agent's own
  std::string stdin_text;                          // empty: /dev/null
  // SIGTERM, then SIGKILL after 5 s; what outlives that by 10 s is given up.
  absl::Duration deadline = absl::Seconds(60);
  Cancelled cancelled;  // may be empty
  // Each line of stdout and stderr as it comes, without its end ('\n' or '\r'), ANSI codes removed.
  std::function<void(std::string_view)> on_line;
  size_t max_output_bytes = 16 << 20;  // what is beyond is dropped, and `truncated` set
  std::string working_directory;       // real path; empty: /
};

struct ProcessResult {
  int exit_code = 0;  // 128 + signal when killed by one
  std::string out;
  std::string err;
  bool truncated = false;

  bool ok() const { return exit_code == 0; }
  // stdout and stderr together, for signatures and log tails.
  std::string Combined() const { return out + err; }
};

class Subprocess {
 public:
  virtual ~Subprocess() = default;

  // Blocks until the program ends. argv[0] without a slash is searched in the configured path.
  // NotFound: no such program. DeadlineExceeded / Cancelled: killed. DeadlineExceeded in the words
  // of signature UPG-03 ("blocked for more than 10 seconds"): it outlives its SIGKILL, stuck in the
  // kernel, and until it has ended the same command is not started again. A non-zero exit is a
  // result, not an error. Threadsafe.
  virtual absl::StatusOr<ProcessResult> Run(const std::vector<std::string>& argv,
                                            const ProcessOptions& options) = 0;

  absl::StatusOr<ProcessResult> Run(const std::vector<std::string>& argv) { return Run(argv, {}); }

  // The absolute path that `program` would be run from, or NotFound.
  virtual absl::StatusOr<std::string> Which(std::string_view program) = 0;
};

// The real one. Programs are searched in `path`, each folder under `root` first; an absolute
// argv[0] under the root first, too. The child's PATH is that list.
std::unique_ptr<Subprocess> MakeSubprocess(const std::string& root,
                                           const std::vector<std::string>& path);

}  // namespace npufleet::host

#endif  // AGENT_HOST_SUBPROCESS_H_
