// SPDX-License-Identifier: Apache-2.0
//
// The lists of the REST view: each item with the key that a page token remembers.
#ifndef CONTROLLER_API_LISTING_H_
#define CONTROLLER_API_LISTING_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "controller/runtime/view.h"
#include "google/protobuf/message.h"
#include "nlohmann/json.hpp"

namespace npufleet::api {

using Json = nlohmann::ordered_json;

struct Item {
  std::string key;  // unique in its list
  Json body;
};

inline constexpr uint32_t kDefaultPageSize = 100;
inline constexpr uint32_t kLargestPageSize = 1000;

// By the protobuf mapping, fields without presence always written.
absl::StatusOr<Json> ToJson(const google::protobuf::Message& message);

absl::StatusOr<std::vector<Item>> NodeItems(runtime::View& view);
absl::StatusOr<std::vector<Item>> NpuItems(runtime::View& view);  // v1.Chip with "node" in front
absl::StatusOr<std::vector<Item>> DeploymentItems(
    runtime::View& view);  // newest v1.Revision with "name"
absl::StatusOr<std::vector<Item>> RolloutItems(
    runtime::View& view);  // v1.Rollout without its tasks
absl::StatusOr<std::vector<Item>> TaskItems(runtime::View& view, const std::string& rollout);

// {"NAME": [items of the page], "nextPageToken": "" on the last page}. InvalidArgument: the token
// is of no item that is there (any more).
absl::StatusOr<Json> Page(const std::string& name, const std::vector<Item>& items,
                          uint32_t page_size, const std::string& page_token);

}  // namespace npufleet::api

#endif  // CONTROLLER_API_LISTING_H_
