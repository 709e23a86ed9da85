// SPDX-License-Identifier: Apache-2.0
#include "agent/npu/tool.h"

#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace npufleet::npu {

host::ProcessOptions NpuToolOptions(const host::Host& host, absl::Duration deadline) {
  static constexpr const char* kFolders[] = {"/usr/local/Ascend/driver/lib64/driver",
                                             "/usr/local/Ascend/driver/lib64/common",
                                             "/usr/local/Ascend/driver/lib64", "/usr/local/dcmi"};
  std::vector<std::string> folders;
  for (const char* folder : kFolders) folders.push_back(host.filesystem->Real(folder));
  if (const char* inherited = std::getenv("LD_LIBRARY_PATH");
      inherited != nullptr && *inherited != '\0') {
    folders.emplace_back(inherited);
  }
  host::ProcessOptions options;
  options.environment["LD_LIBRARY_PATH"] = absl::StrJoin(folders, ":");
  options.deadline = deadline;
  return options;
}

absl::StatusOr<host::ProcessResult> RunNpuTool(host::Host& host,
                                               const std::vector<std::string>& argv,
                                               absl::Duration deadline) {
  return host.subprocess->Run(argv, NpuToolOptions(host, deadline));
}

}  // namespace npufleet::npu
