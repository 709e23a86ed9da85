// SPDX-License-Identifier: Apache-2.0
#include "agent/service/config.h"

#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "yaml-cpp/yaml.h"

namespace npufleet::service {
namespace {

absl::Status At(const std::string& file, const YAML::Mark& mark, const std::string& what) {
  return absl::InvalidArgumentError(
      absl::StrCat(file, ":", mark.line + 1, ":", mark.column + 1, ": ", what));
}

std::map<std::string, std::string*> Texts(Config& config) {
  return {{"name", &config.name},
          {"listen", &config.listen},
          {"state_directory", &config.state_directory},
          {"identity_directory", &config.identity_directory},
          {"log_level", &config.log_level},
          {"root", &config.host.root},
          {"docker_socket", &config.host.docker_socket}};
}

absl::Status ReadKey(const YAML::Node& key, const YAML::Node& value, const std::string& file,
                     Config& config) {
  const std::map<std::string, std::string*> texts = Texts(config);
  const std::string name = key.IsScalar() ? key.Scalar() : "";
  if (name == "path") {
    if (!value.IsSequence()) return At(file, value.Mark(), "path must be a list of folders");
    config.host.path.clear();
    for (const YAML::Node& folder : value) config.host.path.push_back(folder.as<std::string>());
    return absl::OkStatus();
  }
  auto known = texts.find(name);
  if (known == texts.end()) {
    return At(file, key.Mark(),
              absl::StrCat("there is no key '", name, "'; the keys are path, ",
                           absl::StrJoin(texts, ", ", [](std::string* out, const auto& entry) {
                             out->append(entry.first);
                           })));
  }
  if (!value.IsScalar()) return At(file, value.Mark(), absl::StrCat(name, " must be a text"));
  const std::set<std::string> levels = {"debug", "info", "warning", "error"};
  if (name == "log_level" && levels.count(value.Scalar()) == 0) {
    return At(
        file, value.Mark(),
        absl::StrCat("log_level '", value.Scalar(), "' is not debug, info, warning or error"));
  }
  *known->second = value.Scalar();
  return absl::OkStatus();
}

}  // namespace

absl::Status ReadConfig(std::string_view text, const std::string& file, Config& config) {
  try {
    YAML::Node root = YAML::Load(std::string(text));
    if (root.IsNull()) return absl::OkStatus();
    if (!root.IsMap()) return At(file, root.Mark(), "must hold keys and values (name: node-a)");
    std::set<std::string> seen;
    for (const auto& entry : root) {
      if (entry.first.IsScalar() && !seen.insert(entry.first.Scalar()).second) {
        return At(file, entry.first.Mark(),
                  absl::StrCat("'", entry.first.Scalar(), "' is given twice"));
      }
      absl::Status read = ReadKey(entry.first, entry.second, file, config);
      if (!read.ok()) return read;
    }
  } catch (const YAML::Exception& error) {
    return At(file, error.mark, error.msg);
  }
  return absl::OkStatus();
}

}  // namespace npufleet::service
