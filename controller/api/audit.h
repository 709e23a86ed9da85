// SPDX-License-Identifier: Apache-2.0
//
// Who changed what, and when: one line for each mutating call, refused ones included. Never a
// spec's content, never a secret.
#ifndef CONTROLLER_API_AUDIT_H_
#define CONTROLLER_API_AUDIT_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace npufleet::api {

struct AuditRecord {
  absl::Time time;
  std::string name;     // CN of the caller's certificate
  std::string role;     // O
  std::string peer;     // ipv4:192.168.0.15:41234
  std::string method;   // ApplyDeployment
  std::string subject;  // qwen3-235b, node-b, "retry qwen3-235b"
  std::string outcome;  // OK, or the code and the message of the refusal
};

// Threadsafe; returns when the record is kept.
using AuditSink = std::function<void(const AuditRecord&)>;

// One JSON object in one line.
std::string ToLine(const AuditRecord& record);

// Appends to `path` (0600), synced, and logs each line. A record that cannot be written is logged
// as an error.
absl::StatusOr<AuditSink> OpenAuditFile(const std::string& path);

}  // namespace npufleet::api

#endif  // CONTROLLER_API_AUDIT_H_
