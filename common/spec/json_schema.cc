// SPDX-License-Identifier: Apache-2.0
#include "common/spec/json_schema.h"

#include <map>
#include <string_view>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/spec/deployment.h"
#include "common/spec/scalar.h"
#include "common/spec/yaml.h"
#include "nlohmann/json.hpp"

namespace npufleet::spec {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using Json = nlohmann::ordered_json;

constexpr const char* kDuration = "^([0-9]+(\\.[0-9]+)?(h|m|s|ms|us|ns))+$";
constexpr const char* kSha256 = "^([0-9a-f]{64})?$";
constexpr const char* kAbsolutePath = "^/[^\\s:]*$";

// What the type alone does not say, by the field's full name without the package.
struct Rule {
  const char* pattern;
  double minimum;
  double maximum;
};
constexpr double kNone = -1;

const std::map<std::string_view, Rule>& Rules() {
  static const auto* rules = new std::map<std::string_view, Rule>{
      {"Deployment.api_version", {"^npufleet/v1$", kNone, kNone}},
      {"Deployment.kind", {"^Deployment$", kNone, kNone}},
      {"Metadata.name", {"^[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?$", kNone, kNone}},
      {"Node.name", {"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", kNone, kNone}},
      {"Node.address", {"^[0-9]{1,3}(\\.[0-9]{1,3}){3}$", kNone, kNone}},
      {"Node.nic", {"^[^\\s/:]{1,15}$", kNone, kNone}},
      {"Artifact.url", {"^(https?://|/)\\S+$", kNone, kNone}},
      {"Artifact.sha256", {kSha256, kNone, kNone}},
      {"DeploymentSpec.chips_per_node", {nullptr, 1, 64}},
      {"DeploymentSpec.visible_chips", {nullptr, 0, 63}},
      {"Preflight.architecture", {"^(aarch64|x86_64)$", kNone, kNone}},
      {"Driver.install_path", {kAbsolutePath, kNone, kNone}},
      {"Runtime.install_path", {kAbsolutePath, kNone, kNone}},
      {"Image.name", {"^[^\\s-]\\S*:[^/\\s]+$", kNone, kNone}},
      {"Image.id", {"^(sha256:[0-9a-f]{64})?$", kNone, kNone}},
      {"Image.Source.obs", {"^obs://[^/]+/.+$", kNone, kNone}},
      {"Model.path", {kAbsolutePath, kNone, kNone}},
      {"Model.parallel_files", {nullptr, 1, 32}},
      {"Model.Hub.id", {"^[A-Za-z0-9._-]+/[A-Za-z0-9._-]+$", kNone, kNone}},
      {"Model.Source.obs", {"^obs://[^/]+/.+$", kNone, kNone}},
      {"Container.name", {"^[A-Za-z0-9][A-Za-z0-9_.-]+$", kNone, kNone}},
      {"Container.shm_size", {"^[1-9][0-9]*[bkmgt]?$", kNone, kNone}},
      {"Container.devices", {"^/dev/\\S+$", kNone, kNone}},
      {"Container.volumes", {"^/[^\\s:]*:/[^\\s:]*(:(ro|rw))?$", kNone, kNone}},
      {"Ray.port", {nullptr, 1, 65535}},
      {"Engine.port", {nullptr, 1, 65535}},
      {"Engine.gpu_memory_utilization", {nullptr, 0, 1}},
      {"Engine.distributed_executor_backend", {"^ray$", kNone, kNone}},
  };
  return *rules;
}

// tensor_parallel_size -> "Tensor parallel size".
std::string Title(const FieldDescriptor& field) {
  std::string title = field.name();
  for (char& c : title) {
    if (c == '_') c = ' ';
  }
  title[0] = absl::ascii_toupper(title[0]);
  return title;
}

std::string NameOf(const Descriptor& descriptor) {
  return descriptor.full_name().substr(std::string_view("npufleet.v1.").size());
}

void AddRule(const FieldDescriptor& field, Json* schema) {
  auto rule = Rules().find(NameOf(*field.containing_type()) + "." + field.name());
  if (rule == Rules().end()) return;
  if (rule->second.pattern != nullptr) (*schema)["pattern"] = rule->second.pattern;
  if (rule->second.minimum == kNone) return;
  if (field.cpp_type() == FieldDescriptor::CPPTYPE_DOUBLE) {
    (*schema)["exclusiveMinimum"] = rule->second.minimum;
    (*schema)["maximum"] = rule->second.maximum;
  } else {
    (*schema)["minimum"] = static_cast<int>(rule->second.minimum);
    (*schema)["maximum"] = static_cast<int>(rule->second.maximum);
  }
}

// One value of the field, not the list or map of them.
Json ValueSchema(const FieldDescriptor& field) {
  Json schema = Json::object();
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_UINT32:
    case FieldDescriptor::CPPTYPE_UINT64:
      schema["type"] = "integer";
      schema["minimum"] = 0;
      break;
    case FieldDescriptor::CPPTYPE_INT32:
    case FieldDescriptor::CPPTYPE_INT64:
      schema["type"] = "integer";
      break;
    case FieldDescriptor::CPPTYPE_FLOAT:
    case FieldDescriptor::CPPTYPE_DOUBLE:
      schema["type"] = "number";
      break;
    case FieldDescriptor::CPPTYPE_BOOL:
      schema["type"] = "boolean";
      break;
    case FieldDescriptor::CPPTYPE_STRING:
      schema["type"] = "string";
      break;
    case FieldDescriptor::CPPTYPE_ENUM:
      schema["enum"] = EnumNames(*field.enum_type());
      break;
    case FieldDescriptor::CPPTYPE_MESSAGE:
      if (IsScalarMessage(*field.message_type())) {
        schema["type"] = "string";
        schema["pattern"] = kDuration;
      } else {
        schema["$ref"] = absl::StrCat("#/$defs/", NameOf(*field.message_type()));
      }
      break;
  }
  AddRule(field, &schema);
  return schema;
}

Json FieldSchema(const FieldDescriptor& field) {
  Json schema = Json::object();
  schema["title"] = Title(field);
  if (field.is_map()) {
    schema["type"] = "object";
    Json values = ValueSchema(*field.message_type()->map_value());
    // YAML's 0 and true are written without quotes for strings, too.
    if (values.value("type", "") == "string") values["type"] = {"string", "number", "boolean"};
    schema["additionalProperties"] = values;
  } else if (field.is_repeated()) {
    schema["type"] = "array";
    schema["items"] = ValueSchema(field);
  } else {
    schema.update(ValueSchema(field));
  }
  return schema;
}

const std::vector<const char*>& Required(std::string_view message) {
  static const auto* required = new std::map<std::string_view, std::vector<const char*>>{
      {"Deployment", {"apiVersion", "kind", "metadata", "spec"}},
      {"Metadata", {"name"}},
      {"DeploymentSpec",
       {"nodes", "driver", "docker", "runtime", "image", "model", "container", "engine"}},
      {"Node", {"name", "address", "nic", "role"}},
      {"Artifact", {"url"}},
      {"Image", {"name", "sources"}},
      {"Model", {"path", "sources"}},
      {"Model.Hub", {"id"}},
      {"Container", {"name", "volumes"}},
      {"Engine", {"servedModelName"}},
      {"Runtime", {"version", "installer"}},
  };
  static const std::vector<const char*> kNothing;
  auto found = required->find(message);
  return found == required->end() ? kNothing : found->second;
}

Json DefaultOf(const Message& defaults, const FieldDescriptor& field) {
  const auto& r = *defaults.GetReflection();
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_UINT32:
      return r.GetUInt32(defaults, &field);
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return r.GetDouble(defaults, &field);
    case FieldDescriptor::CPPTYPE_BOOL:
      return r.GetBool(defaults, &field);
    case FieldDescriptor::CPPTYPE_STRING:
      return r.GetString(defaults, &field);
    default:
      return WriteDuration(
          static_cast<const google::protobuf::Duration&>(r.GetMessage(defaults, &field)));
  }
}

// `defaults` is the message as ResolveDefaults fills an empty one, or null below lists.
Json MessageSchema(const Descriptor& descriptor, const Message* defaults) {
  Json schema = Json::object();
  schema["type"] = "object";
  schema["additionalProperties"] = false;
  if (const auto& required = Required(NameOf(descriptor)); !required.empty()) {
    schema["required"] = required;
  }
  for (int i = 0; i < descriptor.real_oneof_decl_count(); ++i) {
    const auto& oneof = *descriptor.oneof_decl(i);
    for (int j = 0; j < oneof.field_count(); ++j) {
      schema["oneOf"].push_back({{"required", {oneof.field(j)->json_name()}}});
    }
  }
  Json properties = Json::object();
  for (int i = 0; i < descriptor.field_count(); ++i) {
    const FieldDescriptor& field = *descriptor.field(i);
    Json property = FieldSchema(field);
    bool is_single = !field.is_repeated() && field.has_optional_keyword();
    if (defaults != nullptr && is_single &&
        defaults->GetReflection()->HasField(*defaults, &field)) {
      property["default"] = DefaultOf(*defaults, field);
    }
    properties[field.json_name()] = property;
  }
  schema["properties"] = properties;
  return schema;
}

// Message types in the order in which the document needs them.
void Collect(const Descriptor& descriptor, const Message* defaults, Json* definitions) {
  std::string name = NameOf(descriptor);
  if (definitions->contains(name)) return;
  (*definitions)[name] = MessageSchema(descriptor, defaults);
  for (int i = 0; i < descriptor.field_count(); ++i) {
    const FieldDescriptor& field = *descriptor.field(i);
    const Descriptor* type =
        field.is_map() ? field.message_type()->map_value()->message_type() : field.message_type();
    if (type == nullptr || IsScalarMessage(*type)) continue;
    const Message* below = nullptr;
    if (defaults != nullptr && !field.is_repeated()) {
      below = &defaults->GetReflection()->GetMessage(*defaults, &field);
    }
    Collect(*type, below, definitions);
  }
}

}  // namespace

std::string DeploymentSchema() {
  v1::Deployment defaults = ResolveDefaults({});
  Json definitions = Json::object();
  Collect(*v1::Deployment::descriptor(), &defaults, &definitions);
  Json schema = Json::object();
  schema["$schema"] = "https://json-schema.org/draft/2020-12/schema";
  schema["title"] = "npufleet Deployment";
  schema.update(definitions["Deployment"]);
  definitions.erase("Deployment");
  schema["$defs"] = definitions;
  return schema.dump(2) + "\n";
}

}  // namespace npufleet::spec
