// SPDX-License-Identifier: Apache-2.0
#include "controller/api/config.h"

#include <map>
#include <set>

#include "absl/strings/str_split.h"
#include "common/status_macros.h"
#include "common/tls/identity.h"
#include "yaml-cpp/yaml.h"

namespace npufleet::api {
namespace {

absl::Status At(const std::string& path, const YAML::Mark& mark, const std::string& what) {
  return absl::InvalidArgumentError(absl::StrCat(path, ":", mark.line + 1, ": ", what));
}

absl::Status ReadNode(const std::string& path, const YAML::Node& node, Config& config) {
  if (node.IsNull()) return absl::OkStatus();
  if (!node.IsMap()) return At(path, node.Mark(), "not a list of KEY: VALUE");
  const std::map<std::string, std::string*> fields = {{"address", &config.address},
                                                      {"listen", &config.listen},
                                                      {"rest_listen", &config.rest_listen},
                                                      {"state_directory", &config.state_directory},
                                                      {"log_level", &config.log_level}};
  std::set<std::string> seen;
  for (const auto& entry : node) {
    const std::string key = entry.first.IsScalar() ? entry.first.Scalar() : "";
    const auto field = fields.find(key);
    if (field == fields.end()) {
      return At(path, entry.first.Mark(),
                absl::StrCat("unknown key \"", key,
                             "\"; known are address, listen, rest_listen, "
                             "state_directory, log_level"));
    }
    if (!seen.insert(key).second) {
      return At(path, entry.first.Mark(), absl::StrCat("\"", key, "\" is given twice"));
    }
    if (!entry.second.IsScalar()) {
      return At(path, entry.first.Mark(), absl::StrCat("\"", key, "\" needs one value"));
    }
    *field->second = entry.second.Scalar();
  }
  const std::set<std::string> levels = {"debug", "info", "warning", "error"};
  if (levels.count(config.log_level) == 0) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": log_level \"", config.log_level,
                                                   "\" is not debug, info, warning or error"));
  }
  return absl::OkStatus();
}

}  // namespace

std::vector<std::string> Config::Hosts() const {
  return absl::StrSplit(address, ',', absl::SkipWhitespace());
}

absl::StatusOr<Config> ReadConfig(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, tls::ReadWholeFile(path));
  Config config;
  try {
    RETURN_IF_ERROR(ReadNode(path, YAML::Load(text), config));
  } catch (const YAML::Exception& error) {
    return At(path, error.mark, error.msg);
  }
  return config;
}

std::string WriteConfig(const Config& config) {
  YAML::Emitter out;
  out << YAML::BeginMap;
  out << YAML::Key << "address" << YAML::Value << config.address;
  out << YAML::Key << "listen" << YAML::Value << config.listen;
  out << YAML::Key << "rest_listen" << YAML::Value << config.rest_listen;
  out << YAML::Key << "state_directory" << YAML::Value << config.state_directory;
  out << YAML::Key << "log_level" << YAML::Value << config.log_level;
  out << YAML::EndMap << YAML::Newline;
  return out.c_str();
}

}  // namespace npufleet::api
