// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "common/spec/deployment.h"
#include "common/spec/json_schema.h"
#include "common/spec/notes.h"
#include "controller/ctl/commands.h"
#include "controller/ctl/initial_spec.h"
#include "controller/ctl/render_replay.h"
#include "nlohmann/json.hpp"

namespace npufleet::ctl {

absl::StatusOr<std::string> ReadInput(Context& context, const std::string& file) {
  std::ostringstream text;
  if (file == "-") {
    text << context.terminal.in.rdbuf();
    return text.str();
  }
  std::error_code ignored;
  if (std::filesystem::is_directory(file, ignored)) {
    return absl::NotFoundError(absl::StrCat(file, ": is a directory; name a file in it"));
  }
  std::ifstream stream(file, std::ios::binary);
  if (!stream) {
    return absl::NotFoundError(absl::StrCat(file, ": cannot be read: ", std::strerror(errno)));
  }
  text << stream.rdbuf();
  return text.str();
}

ExitCode ValidateSpec(Context& context, const std::string& file, bool resolved) {
  absl::StatusOr<std::string> text = ReadInput(context, file);
  const std::string name = file == "-" ? "stdin" : file;
  absl::StatusOr<v1::Deployment> deployment =
      text.ok() ? spec::ParseDeployment(*text, name) : text.status();
  if (!deployment.ok()) {
    context.terminal.err << deployment.status().message() << "\n" << std::flush;
    return ExitCode::kUsage;
  }
  v1::Deployment shown = resolved ? spec::ResolveDefaults(*deployment) : *deployment;
  context.Print(shown, [&] {
    if (resolved) return spec::WriteYaml(shown);
    google::protobuf::RepeatedPtrField<std::string> notes;
    for (std::string& note : spec::Notes(*deployment)) *notes.Add() = std::move(note);
    return absl::StrCat(name, ": ok\n", RenderNotes(notes, context.Now()));
  });
  return ExitCode::kDone;
}

ExitCode InitSpec(Context& context, const InitOptions& options) {
  InitialSpec spec;
  if (!options.model.empty()) spec.model = options.model;
  spec.name = options.name;
  const bool offline =
      !options.nodes.empty() && absl::c_all_of(options.nodes, [](const auto& node) {
        return node.find('=') != std::string::npos;
      });
  if (offline) {
    for (const std::string& text : options.nodes) {
      absl::StatusOr<InitialSpec::Node> node = ParseNode(text);
      if (!node.ok()) return context.Fail(ExitCode::kUsage, std::string(node.status().message()));
      spec.nodes.push_back(*std::move(node));
    }
  } else {
    if (!context.Connect()) return ExitCode::kUsage;
    v1::ListNodesReply fleet;
    grpc::ClientContext call;
    SetDeadline(call, kCallDeadline);
    grpc::Status status = context.stub->ListNodes(&call, {}, &fleet);
    if (!status.ok()) return context.Fail(status);
    const absl::Status taken = TakeNodes(fleet, options.nodes, &spec);
    if (!taken.ok()) return context.Fail(ExitCode::kFailed, std::string(taken.message()));
  }
  if (options.chips > 0) {
    spec.chips.resize(std::min<size_t>(options.chips, spec.chips.size()));
    if (spec.chips.size() < options.chips) {
      return context.Fail(ExitCode::kUsage, absl::StrCat("--chips ", options.chips,
                                                         ": each node has ", spec.chips.size()));
    }
  }
  context.terminal.out << WriteInitialSpec(spec) << std::flush;
  return ExitCode::kDone;
}

ExitCode PrintSchema(Context& context) {
  context.terminal.out << spec::DeploymentSchema() << std::flush;
  return ExitCode::kDone;
}

ExitCode ShowVersion(Context& context, bool client_only) {
  const Program& program = context.program;
  v1::Version controller;
  grpc::Status status;
  // ctl's own version is known, and said, whatever becomes of the controller's.
  const bool asks = !client_only && context.Connect();
  if (asks) {
    grpc::ClientContext call;
    SetDeadline(call, kCallDeadline);
    status = context.stub->GetVersion(&call, {}, &controller);
  }
  const bool answered = asks && status.ok();
  nlohmann::ordered_json json;
  json["ctl"] = {{"version", program.version}, {"commit", program.commit}};
  if (answered) {
    json["controller"] = nlohmann::ordered_json::parse(spec::WriteCompactJson(controller));
  }
  switch (context.output) {
    case Output::kTable:
      context.terminal.out << "ctl         " << program.version << " (" << program.commit << ")\n";
      if (answered) {
        context.terminal.out << "controller  " << controller.version() << " ("
                             << controller.commit() << "), epoch " << controller.epoch() << "\n";
      }
      break;
    case Output::kJson:
      context.terminal.out << WriteJson(json);
      break;
    case Output::kYaml:
      context.terminal.out << WriteYaml(json);
      break;
  }
  context.terminal.out << std::flush;
  if (!client_only && !asks) return ExitCode::kUsage;
  return status.ok() ? ExitCode::kDone : context.Fail(status);
}

}  // namespace npufleet::ctl
