// SPDX-License-Identifier: Apache-2.0
#include "controller/api/listing.h"

#include <algorithm>

#include "absl/strings/escaping.h"
#include "common/status_macros.h"
#include "google/protobuf/util/json_util.h"

namespace npufleet::api {

absl::StatusOr<Json> ToJson(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.always_print_primitive_fields = true;
  std::string text;
  const auto status = google::protobuf::util::MessageToJsonString(message, &text, options);
  if (!status.ok()) {
    return absl::InternalError(
        absl::StrCat(message.GetTypeName(), " as JSON: ", status.ToString()));
  }
  return Json::parse(text, nullptr, /*allow_exceptions=*/false);
}

absl::StatusOr<std::vector<Item>> NodeItems(runtime::View& view) {
  ASSIGN_OR_RETURN(const v1::ListNodesReply reply, view.ListNodes());
  std::vector<Item> items;
  for (const v1::NodeStatus& node : reply.nodes()) {
    ASSIGN_OR_RETURN(Json body, ToJson(node));
    items.push_back({node.name(), std::move(body)});
  }
  return items;
}

absl::StatusOr<std::vector<Item>> NpuItems(runtime::View& view) {
  ASSIGN_OR_RETURN(const v1::ListNodesReply reply, view.ListNodes());
  std::vector<Item> items;
  for (const v1::NodeStatus& node : reply.nodes()) {
    for (const v1::Chip& chip : node.inventory().chips()) {
      ASSIGN_OR_RETURN(const Json chip_body, ToJson(chip));
      Json body = {{"node", node.name()}};
      body.update(chip_body);
      items.push_back({absl::StrCat(node.name(), "/", chip.npu(), "/", chip.chip()), body});
    }
  }
  return items;
}

absl::StatusOr<std::vector<Item>> DeploymentItems(runtime::View& view) {
  ASSIGN_OR_RETURN(const v1::ListRolloutsReply reply, view.ListRollouts());
  std::vector<Item> items;
  for (const v1::Rollout& rollout : reply.rollouts()) {
    ASSIGN_OR_RETURN(const v1::ListRevisionsReply revisions, view.ListRevisions(rollout.name()));
    if (revisions.revisions().empty()) continue;
    ASSIGN_OR_RETURN(const Json revision, ToJson(revisions.revisions(0)));
    Json body = {{"name", rollout.name()}};
    body.update(revision);
    items.push_back({rollout.name(), body});
  }
  return items;
}

absl::StatusOr<std::vector<Item>> RolloutItems(runtime::View& view) {
  ASSIGN_OR_RETURN(v1::ListRolloutsReply reply, view.ListRollouts());
  std::vector<Item> items;
  for (v1::Rollout& rollout : *reply.mutable_rollouts()) {
    rollout.clear_tasks();
    ASSIGN_OR_RETURN(Json body, ToJson(rollout));
    body.erase("tasks");
    items.push_back({rollout.name(), std::move(body)});
  }
  return items;
}

absl::StatusOr<std::vector<Item>> TaskItems(runtime::View& view, const std::string& rollout) {
  ASSIGN_OR_RETURN(const v1::Rollout found, view.GetRollout(rollout));
  std::vector<Item> items;
  for (const v1::Task& task : found.tasks()) {
    ASSIGN_OR_RETURN(Json body, ToJson(task));
    items.push_back({task.id(), std::move(body)});
  }
  return items;
}

absl::StatusOr<Json> Page(const std::string& name, const std::vector<Item>& items,
                          uint32_t page_size, const std::string& page_token) {
  auto first = items.begin();
  if (!page_token.empty()) {
    std::string key;
    const bool decoded = absl::WebSafeBase64Unescape(page_token, &key);
    first = std::find_if(items.begin(), items.end(),
                         [&](const Item& item) { return decoded && item.key == key; });
    if (first == items.end()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "pageToken \"", page_token, "\" names nothing that is there; begin again without it"));
    }
    ++first;
  }
  const auto last = first + std::min<ptrdiff_t>(page_size, items.end() - first);
  Json list = Json::array();
  for (auto item = first; item != last; ++item) list.push_back(item->body);
  std::string next;
  if (last != items.end() && last != items.begin()) {
    next = absl::WebSafeBase64Escape((last - 1)->key);
  }
  return Json{{name, std::move(list)}, {"nextPageToken", next}};
}

}  // namespace npufleet::api
