// SPDX-License-Identifier: Apache-2.0
#include "agent/npu/dcmi_child.h"

#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <memory>

#include "absl/strings/str_cat.h"
#include "agent/npu/dcmi.h"
#include "agent/npu/npu_smi.h"
#include "common/status_macros.h"
#include "google/protobuf/util/json_util.h"

namespace npufleet::npu {
namespace {

// Exit statuses of the process; what the driver's libraries end it with is none of these.
constexpr int kCannotRead = 101;
constexpr int kCannotOpen = 102;

absl::Status FailureOfChild(const host::ProcessResult& result) {
  if (result.exit_code == kCannotRead) return absl::UnavailableError(result.out);
  if (result.exit_code == kCannotOpen) return absl::FailedPreconditionError(result.out);
  return absl::UnavailableError(absl::StrCat("the reading by DCMI ended with status ",
                                             result.exit_code, ": ", Printable(result.err, 200)));
}

}  // namespace

absl::StatusOr<v1::Inventory> ReadDcmiInChild(host::Host& host, absl::Duration deadline) {
  if (!DcmiLibrary::Exists(*host.filesystem)) {
    return absl::NotFoundError("no libdcmi.so on this node");
  }
  const std::string root = std::filesystem::absolute(host.filesystem->root()).string();
  const absl::StatusOr<host::ProcessResult> result =
      RunNpuTool(host, {"/proc/self/exe", "read-dcmi", root}, deadline);
  if (absl::IsDeadlineExceeded(result.status()))
    return Annotate(result.status(), "reading by DCMI");
  if (!result.ok()) {
    return absl::UnavailableError(absl::StrCat("reading by DCMI: ", result.status().message()));
  }
  if (!result->ok()) return FailureOfChild(*result);
  v1::Inventory inventory;
  if (!google::protobuf::util::JsonStringToMessage(result->out, &inventory).ok()) {
    return absl::UnavailableError(
        absl::StrCat("the reading by DCMI is not understood: ", Printable(result->out, 200)));
  }
  return inventory;
}

int ReadDcmiForParent(const std::string& root) {
  // The driver's libraries print to stdout what they miss: only the answer goes where the parent
  // looks for it.
  std::FILE* answer = fdopen(dup(STDOUT_FILENO), "w");
  if (answer == nullptr || dup2(STDERR_FILENO, STDOUT_FILENO) < 0) return kCannotRead;
  std::string text;
  int exit_status = 0;
  if (auto library = DcmiLibrary::Open(host::Filesystem(root)); !library.ok()) {
    text = std::string(library.status().message());
    exit_status = kCannotOpen;
  } else if (auto inventory = ReadDcmi((*library)->functions()); !inventory.ok()) {
    text = std::string(inventory.status().message());
    exit_status = kCannotRead;
  } else if (!google::protobuf::util::MessageToJsonString(*inventory, &text).ok()) {
    exit_status = kCannotRead;
  }
  const bool written = std::fputs(text.c_str(), answer) >= 0;
  return std::fclose(answer) == 0 && written ? exit_status : kCannotRead;
}

}  // namespace npufleet::npu
