// SPDX-License-Identifier: Apache-2.0
#include "common/spec/foreign_options.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/failure.h"

namespace npufleet::spec {
namespace {

struct ForeignOption {
  const char* name;    // in lower case, with '-' for '_'
  const char* option;  // what vLLM has for it; empty: something else is done, see Apply()
  bool has_value = true;
};

constexpr ForeignOption kForeign[] = {
    {"npu-memory-utilization", "--gpu-memory-utilization"},
    {"max-concurrent-requests", "--max-num-seqs"},
    {"model-cache-dir", "--download-dir"},
    {"log-level", ""},
    {"fp16", "--dtype", false},
    {"model-tag", ""},
};

const ForeignOption* Find(const std::string& name) {
  for (const ForeignOption& foreign : kForeign) {
    if (name == foreign.name) return &foreign;
  }
  return nullptr;
}

absl::Status Wrong(const std::string& argument, std::string_view why) {
  v1::Failure failure;
  failure.set_class_(v1::Failure::CONFIG);
  failure.set_signature("SRV-01");
  failure.set_symptom(absl::StrCat("engine.extraArgs: ", argument, " ", std::string(why)));
  failure.set_advice("Correct engine.extraArgs in the spec.");
  return FailureStatus(failure);
}

absl::Status Apply(const ForeignOption& foreign, const std::string& argument,
                   const std::string& value, std::string_view model_path, MappedOptions& mapped) {
  if (std::string_view(foreign.name) == "model-tag") {
    if (value != model_path) return Wrong(argument, "names another model than model.path");
    mapped.notes.push_back(
        absl::StrCat(argument, " dropped: the model is the first argument of vllm serve"));
  } else if (std::string_view(foreign.name) == "log-level") {
    const std::string level = absl::AsciiStrToUpper(value);
    mapped.environment["VLLM_LOGGING_LEVEL"] = level;
    mapped.notes.push_back(
        absl::StrCat(argument, " became VLLM_LOGGING_LEVEL=", level, ": vLLM has no such option"));
  } else {
    const std::string given = foreign.has_value ? value : "float16";
    mapped.arguments.insert(mapped.arguments.end(), {foreign.option, given});
    mapped.notes.push_back(absl::StrCat(argument, " became ", foreign.option, " ", given,
                                        ": vLLM has no such option"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<MappedOptions> MapForeignOptions(const std::vector<std::string>& arguments,
                                                const std::set<std::string>& options,
                                                std::string_view model_path) {
  MappedOptions mapped;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    const size_t equals = argument.find('=');
    const std::string shown = argument.substr(0, equals);
    const bool is_option = shown.substr(0, 2) == "--";
    const std::string name =
        is_option ? absl::StrReplaceAll(absl::AsciiStrToLower(shown.substr(2)), {{"_", "-"}}) : "";
    const ForeignOption* foreign = Find(name);
    if (foreign == nullptr || options.count(name) != 0) {
      mapped.arguments.push_back(argument);
      continue;
    }
    std::string value;
    if (equals != std::string::npos) {
      value = argument.substr(equals + 1);
    } else if (foreign->has_value) {
      if (i + 1 == arguments.size()) return Wrong(argument, "lacks its value");
      value = arguments[++i];
    }
    if (absl::Status status = Apply(*foreign, shown, value, model_path, mapped); !status.ok()) {
      return status;
    }
  }
  return mapped;
}

}  // namespace npufleet::spec
