// SPDX-License-Identifier: Apache-2.0
//
// Core values as JSON text (core_json.h), for the columns that hold a whole value. DataLoss when a
// column does not.
#ifndef CONTROLLER_STORE_TASK_ROW_H_
#define CONTROLLER_STORE_TASK_ROW_H_

#include <string>

#include "absl/status/statusor.h"
#include "controller/core/state.h"

namespace npufleet::store {

std::string TaskToJson(const core::Task& task);
absl::StatusOr<core::Task> TaskFromJson(const std::string& text);

std::string NodeToJson(const core::Node& node);
absl::StatusOr<core::Node> NodeFromJson(const std::string& text);

std::string RetryToJson(const core::RetryLimits& limits);
absl::StatusOr<core::RetryLimits> RetryFromJson(const std::string& text);

int64_t ToMicros(absl::Time time);  // infinite times become the ends of the range
absl::Time FromMicros(int64_t micros);

}  // namespace npufleet::store

#endif  // CONTROLLER_STORE_TASK_ROW_H_
