// SPDX-License-Identifier: Apache-2.0
//
// Core values as JSON, for the columns that hold a whole value (task_row.h) and for event logs
// (event_log.h). Times are microseconds since 1970, durations milliseconds, enums numbers. Unknown
// members are ignored and missing ones keep their defaults, so that it reads across versions. A
// member of another type, or a number that does not fit, is WrongJson with the way to it: the files
// of this folder, which alone include this one, make a Status of it.
#ifndef CONTROLLER_STORE_CORE_JSON_H_
#define CONTROLLER_STORE_CORE_JSON_H_

#include <cstdint>
#include <exception>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "controller/core/state.h"
#include "controller/store/task_row.h"
#include "nlohmann/json.hpp"

namespace npufleet::core {

void to_json(nlohmann::json& json, const Failure& failure);
void from_json(const nlohmann::json& json, Failure& failure);
void to_json(nlohmann::json& json, const Observation& seen);
void from_json(const nlohmann::json& json, Observation& seen);
void to_json(nlohmann::json& json, const StartOperation& operation);
void from_json(const nlohmann::json& json, StartOperation& operation);
void to_json(nlohmann::json& json, const PastFailure& failure);
void from_json(const nlohmann::json& json, PastFailure& failure);
void to_json(nlohmann::json& json, const Lock& lock);
void from_json(const nlohmann::json& json, Lock& lock);
void to_json(nlohmann::json& json, const TaskPlan& plan);
void from_json(const nlohmann::json& json, TaskPlan& plan);
void to_json(nlohmann::json& json, const StageLimits& limits);
void from_json(const nlohmann::json& json, StageLimits& limits);
void to_json(nlohmann::json& json, const RetryLimits& limits);
void from_json(const nlohmann::json& json, RetryLimits& limits);
void to_json(nlohmann::json& json, const Graph& graph);
void from_json(const nlohmann::json& json, Graph& graph);
void to_json(nlohmann::json& json, const Task& task);
void from_json(const nlohmann::json& json, Task& task);
void to_json(nlohmann::json& json, const Node& node);
void from_json(const nlohmann::json& json, Node& node);
// What is stored of it; Reindex makes the rest.
void to_json(nlohmann::json& json, const State& state);
void from_json(const nlohmann::json& json, State& state);

}  // namespace npufleet::core

namespace npufleet::store {

using Json = nlohmann::json;

class WrongJson : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// What the library's exceptions and ours say, without the library's own prefix.
std::string ReasonOf(const std::exception& error);

// On one line. Foreign bytes (an installer's output) need not be UTF-8, and JSON must be: they are
// replaced.
std::string WriteJson(const Json& json);

// The last value of each enum that is written as a number.
template <typename Enum>
constexpr Enum kLastOf;
template <>
inline constexpr core::Sight kLastOf<core::Sight> = core::Sight::kUnknown;
template <>
inline constexpr core::Action kLastOf<core::Action> = core::Action::kReboot;
template <>
inline constexpr core::FailureClass kLastOf<core::FailureClass> =
    core::FailureClass::kNeedsOperator;

template <typename Value>
Value WholeOf(const Json& json) {
  if (!json.is_number_integer())
    throw WrongJson(absl::StrCat("must be a whole number, but is ", json.type_name()));
  const bool fits = json.is_number_unsigned() ? std::in_range<Value>(json.get<uint64_t>())
                                              : std::in_range<Value>(json.get<int64_t>());
  if (!fits) throw WrongJson(absl::StrCat(json.dump(), " does not fit"));
  return json.get<Value>();
}

template <typename Value>
struct Reader {
  static Value Read(const Json& json) {
    if constexpr (std::is_enum_v<Value>) {
      const int last = static_cast<int>(kLastOf<Value>);
      const int number = WholeOf<int>(json);
      if (number < 0 || number > last)
        throw WrongJson(absl::StrCat(number, " is none of 0 to ", last));
      return static_cast<Value>(number);
    } else if constexpr (std::is_integral_v<Value> && !std::is_same_v<Value, bool>) {
      return WholeOf<Value>(json);
    } else {
      return json.get<Value>();
    }
  }
};
template <>
struct Reader<absl::Time> {
  static absl::Time Read(const Json& json) { return FromMicros(WholeOf<int64_t>(json)); }
};
template <>
struct Reader<absl::Duration> {
  static absl::Duration Read(const Json& json) {
    return absl::Milliseconds(WholeOf<int64_t>(json));
  }
};
template <typename Value>
struct Reader<std::optional<Value>> {
  static std::optional<Value> Read(const Json& json) { return Reader<Value>::Read(json); }
};

// The member `name` of the object `json` into `value`, which stays as it is when there is none.
// False: there is none.
template <typename Value>
bool ReadMember(const Json& json, const char* name, Value& value) {
  if (!json.is_object())
    throw WrongJson(absl::StrCat("must be an object, but is ", json.type_name()));
  auto found = json.find(name);
  if (found == json.end()) return false;
  try {
    value = Reader<Value>::Read(*found);
  } catch (const std::exception& error) {
    throw WrongJson(absl::StrCat(name, ": ", ReasonOf(error)));
  }
  return true;
}

}  // namespace npufleet::store

#endif  // CONTROLLER_STORE_CORE_JSON_H_
