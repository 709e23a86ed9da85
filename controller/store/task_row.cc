// SPDX-License-Identifier: Apache-2.0
#include "controller/store/task_row.h"

#include <exception>
#include <limits>

#include "absl/strings/str_cat.h"
#include "controller/store/core_json.h"

namespace npufleet::store {
namespace {

template <typename Value>
absl::StatusOr<Value> Parse(const std::string& text) {
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded() || !json.is_object()) {
    return absl::DataLossError(absl::StrCat("not a JSON object: ", text.substr(0, 80)));
  }
  try {
    return json.get<Value>();
  } catch (const std::exception& error) {
    return absl::DataLossError(absl::StrCat(ReasonOf(error), " in ", text.substr(0, 80)));
  }
}

}  // namespace

int64_t ToMicros(absl::Time time) {
  if (time == absl::InfiniteFuture()) return std::numeric_limits<int64_t>::max();
  if (time == absl::InfinitePast()) return std::numeric_limits<int64_t>::min();
  return absl::ToUnixMicros(time);
}

absl::Time FromMicros(int64_t micros) {
  if (micros == std::numeric_limits<int64_t>::max()) return absl::InfiniteFuture();
  if (micros == std::numeric_limits<int64_t>::min()) return absl::InfinitePast();
  return absl::FromUnixMicros(micros);
}

std::string TaskToJson(const core::Task& task) { return WriteJson(task); }
absl::StatusOr<core::Task> TaskFromJson(const std::string& text) { return Parse<core::Task>(text); }

std::string NodeToJson(const core::Node& node) { return WriteJson(node); }
absl::StatusOr<core::Node> NodeFromJson(const std::string& text) { return Parse<core::Node>(text); }

std::string RetryToJson(const core::RetryLimits& limits) { return WriteJson(limits); }
absl::StatusOr<core::RetryLimits> RetryFromJson(const std::string& text) {
  return Parse<core::RetryLimits>(text);
}

}  // namespace npufleet::store
