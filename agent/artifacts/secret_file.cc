// SPDX-License-Identifier: Apache-2.0
#include "agent/artifacts/secret_file.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/failure.h"
#include "common/string_views.h"

namespace npufleet::artifacts {

absl::StatusOr<std::string> ReadSecretFile(host::Host& host, const std::string& path,
                                           std::string_view what) {
  const auto info = host.filesystem->Stat(path);
  const auto text = host.filesystem->Read(path, 1 << 20);
  if (!info.ok() || !text.ok() || absl::StripAsciiWhitespace(*text).empty()) {
    return FailureStatus(v1::Failure::CONFIG,
                         absl::StrCat("no file with ", Absl(what), " at ", path, " on this node"),
                         absl::StrCat("Put ", Absl(what), " there, mode 0600."));
  }
  if ((info->mode & 077) != 0) {
    return FailureStatus(v1::Failure::CONFIG,
                         absl::StrCat("others may read ", Absl(what), " in ", path),
                         absl::StrCat("chmod 0600 ", path));
  }
  return *text;
}

}  // namespace npufleet::artifacts
