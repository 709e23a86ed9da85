// SPDX-License-Identifier: Apache-2.0
#include "controller/api/audit.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "common/log.h"
#include "nlohmann/json.hpp"

namespace npufleet::api {
namespace {

class AuditFile {
 public:
  explicit AuditFile(int descriptor) : descriptor_(descriptor) {}
  ~AuditFile() { close(descriptor_); }
  AuditFile(const AuditFile&) = delete;
  AuditFile& operator=(const AuditFile&) = delete;

  // O_APPEND and one write a line: no lock is needed.
  bool Append(const std::string& line) {
    return write(descriptor_, line.data(), line.size()) == static_cast<ssize_t>(line.size()) &&
           fdatasync(descriptor_) == 0;
  }

 private:
  const int descriptor_;
};

}  // namespace

std::string ToLine(const AuditRecord& record) {
  nlohmann::ordered_json line;
  line["time"] = absl::FormatTime(absl::RFC3339_full, record.time, absl::UTCTimeZone());
  line["name"] = record.name;
  line["role"] = record.role;
  line["peer"] = record.peer;
  line["method"] = record.method;
  line["subject"] = record.subject;
  line["outcome"] = record.outcome;
  return line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

absl::StatusOr<AuditSink> OpenAuditFile(const std::string& path) {
  const int descriptor = open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  if (descriptor < 0) return absl::ErrnoToStatus(errno, absl::StrCat("opening ", path));
  auto file = std::make_shared<AuditFile>(descriptor);
  return AuditSink([file, path](const AuditRecord& record) {
    const std::string line = ToLine(record);
    log::Info("audit: ", line.substr(0, line.size() - 1));
    if (!file->Append(line)) log::Error("the audit record could not be written to ", path);
  });
}

}  // namespace npufleet::api
