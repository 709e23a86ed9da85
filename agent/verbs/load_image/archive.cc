// SPDX-License-Identifier: Apache-2.0
#include "agent/verbs/load_image/archive.h"

#include "absl/strings/str_cat.h"
#include "agent/host/json.h"
#include "common/status_macros.h"

namespace npufleet::verbs {
namespace {

absl::StatusOr<host::Json> ReadMember(host::Host& host, const std::string& path,
                                      const std::string& member, const host::Cancelled& cancelled) {
  host::ProcessOptions options;
  options.deadline = absl::Minutes(15);
  options.cancelled = cancelled;
  ASSIGN_OR_RETURN(
      const host::ProcessResult result,
      host.subprocess->Run(
          {"tar", "--occurrence=1", "-xOf", host.filesystem->Real(path), "--", member}, options));
  host::Json json = host::ParseJson(result.out);
  if (!result.ok() || json.is_discarded()) {
    return absl::NotFoundError(absl::StrCat("tar finds no ", member, " in ", path));
  }
  return json;
}

}  // namespace

absl::StatusOr<std::vector<ArchivedImage>> InspectArchive(host::Host& host, const std::string& path,
                                                          const host::Cancelled& cancelled) {
  ASSIGN_OR_RETURN(const host::Json manifest, ReadMember(host, path, "manifest.json", cancelled));
  std::vector<ArchivedImage> images;
  if (!manifest.is_array()) return absl::DataLossError("manifest.json is no list");
  for (const host::Json& entry : manifest) {
    ASSIGN_OR_RETURN(const host::Json config,
                     ReadMember(host, path, host::TextOf(entry, "Config"), cancelled));
    ArchivedImage image;
    image.architecture = host::TextOf(config, "architecture");
    for (const host::Json& tag : host::Member(entry, "RepoTags")) {
      if (tag.is_string()) image.tags.push_back(tag.get<std::string>());
    }
    images.push_back(std::move(image));
  }
  return images;
}

}  // namespace npufleet::verbs
