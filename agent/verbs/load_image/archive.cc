// SPDX-License-Identifier: Apache-2.0
#include "agent/verbs/load_image/archive.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "agent/host/json.h"
#include "common/status_macros.h"

namespace npufleet::verbs {
namespace {

constexpr char kManifest[] = "manifest.json";

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

// The manifest's name in an archive that has it under none that docker save writes: "./" in front
// is Docker's to take. InvalidArgument, with the line that says so, when the file is read to its
// end and is no archive of images; any other error means that it could not be seen.
absl::StatusOr<std::string> FindManifest(host::Host& host, const std::string& path,
                                         const host::Cancelled& cancelled) {
  host::ProcessOptions options;
  options.deadline = absl::Minutes(15);
  options.cancelled = cancelled;
  ASSIGN_OR_RETURN(const host::ProcessResult result,
                   host.subprocess->Run({"tar", "-tf", host.filesystem->Real(path)}, options));
  for (absl::string_view line : absl::StrSplit(result.Combined(), '\n')) {
    for (const char* words :
         {"does not look like a tar archive", "not in gzip format", "File format not recognized"}) {
      if (absl::StrContains(line, words)) return absl::InvalidArgumentError(std::string(line));
    }
  }
  // Docker's oldest archives have no manifest.
  bool is_ours = !result.ok();
  for (absl::string_view member : absl::StrSplit(result.out, '\n')) {
    if (member == absl::StrCat("./", kManifest)) return std::string(member);
    is_ours |= member == "repositories" || member == "./repositories" || member == kManifest;
  }
  if (is_ours) return absl::NotFoundError(absl::StrCat("tar finds no ", kManifest, " in ", path));
  return absl::InvalidArgumentError(absl::StrCat("tar finds no ", kManifest, " in ", path));
}

}  // namespace

absl::StatusOr<std::vector<ArchivedImage>> InspectArchive(host::Host& host, const std::string& path,
                                                          const host::Cancelled& cancelled) {
  absl::StatusOr<host::Json> manifest = ReadMember(host, path, kManifest, cancelled);
  if (absl::IsNotFound(manifest.status())) {
    ASSIGN_OR_RETURN(const std::string member, FindManifest(host, path, cancelled));
    manifest = ReadMember(host, path, member, cancelled);
  }
  if (!manifest.ok()) return manifest.status();
  std::vector<ArchivedImage> images;
  if (!manifest->is_array()) return absl::DataLossError("manifest.json is no list");
  if (manifest->empty())
    return absl::InvalidArgumentError(absl::StrCat("manifest.json of ", path, " names no image"));
  for (const host::Json& entry : *manifest) {
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
