// SPDX-License-Identifier: Apache-2.0
#include "agent/verbs/fetched_file.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "agent/artifacts/fetch.h"
#include "agent/host/json.h"
#include "common/status_macros.h"

namespace npufleet::verbs {
namespace {

bool IsInPlace(const v1::Artifact& artifact) { return absl::StartsWith(artifact.url(), "/"); }

std::string NoteOf(const v1::Artifact& artifact) {
  return absl::StrCat(kArtifactFolder, FileNameOf(artifact), ".verified.json");
}

std::string Mebibytes(uint64_t bytes) {
  return absl::StrFormat("%.1f MiB", static_cast<double>(bytes) / (1 << 20));
}

}  // namespace

std::string FileNameOf(const v1::Artifact& artifact) {
  const std::string plain = artifact.url().substr(0, artifact.url().find_first_of("?#"));
  return plain.substr(plain.rfind('/') + 1);
}

std::string PlaceOf(const v1::Artifact& artifact) {
  return IsInPlace(artifact) ? artifact.url() : absl::StrCat(kArtifactFolder, FileNameOf(artifact));
}

bool IsVerified(host::Host& host, const v1::Artifact& artifact) {
  const host::Json note = host::ParseJson(host.filesystem->Read(NoteOf(artifact)).value_or(""));
  const bool is_of_it =
      artifact.sha256().empty()
          ? host::TextOf(note, "url") == artifacts::ShownUrl(artifact.url())
          : host::TextOf(note, "sha256") == absl::AsciiStrToLower(artifact.sha256());
  const absl::StatusOr<host::FileInfo> info = host.filesystem->Stat(PlaceOf(artifact));
  return is_of_it && info.ok() && !info->is_directory &&
         static_cast<uint64_t>(host::NumberOf(note, "size")) == info->size_bytes &&
         host::NumberOf(note, "modified_ns") == absl::ToUnixNanos(info->modified);
}

bool HasVerifiedBytes(host::Host& host, const v1::Artifact& artifact) {
  if (!IsVerified(host, artifact)) return false;
  const host::Json note = host::ParseJson(host.filesystem->Read(NoteOf(artifact)).value_or(""));
  return host.filesystem->Sha256(PlaceOf(artifact)).value_or("") == host::TextOf(note, "sha256");
}

absl::Status NoteVerified(host::Host& host, const v1::Artifact& artifact) {
  const std::string place = PlaceOf(artifact);
  std::string sha256 = absl::AsciiStrToLower(artifact.sha256());
  if (sha256.empty()) {
    ASSIGN_OR_RETURN(sha256, host.filesystem->Sha256(place));
  }
  ASSIGN_OR_RETURN(const host::FileInfo info, host.filesystem->Stat(place));
  const host::Json note = {{"url", artifacts::ShownUrl(artifact.url())},
                           {"sha256", sha256},
                           {"size", info.size_bytes},
                           {"modified_ns", absl::ToUnixNanos(info.modified)}};
  return host.filesystem->Write(NoteOf(artifact), host::WriteJson(note));
}

void Distrust(host::Host& host, const v1::Artifact& artifact) {
  if (artifact.sha256().empty()) host.filesystem->Remove(NoteOf(artifact)).IgnoreError();
}

std::string WhatIsMissing(host::Host& host, const v1::Artifact& artifact) {
  const std::string place = PlaceOf(artifact);
  if (IsInPlace(artifact)) return absl::StrCat(place, " is to be verified");
  const std::string name = FileNameOf(artifact);
  const absl::StatusOr<host::FileInfo> part = host.filesystem->Stat(absl::StrCat(place, ".part"));
  if (!part.ok()) {
    return absl::StrCat(name, host.filesystem->Exists(place) ? " is to be verified or fetched anew"
                                                             : " is not on the node yet");
  }
  const host::Json record =
      host::ParseJson(host.filesystem->Read(absl::StrCat(place, ".part.json")).value_or(""));
  const int64_t size = host::NumberOf(record, "size");
  return absl::StrCat(name, " is not on the node yet (", Mebibytes(part->size_bytes),
                      size > 0 ? absl::StrCat(" of ", Mebibytes(size)) : "", " are here)");
}

}  // namespace npufleet::verbs
