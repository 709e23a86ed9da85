// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
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

namespace npufleet::ctl {

absl::StatusOr<std::string> ReadInput(Context& context, const std::string& file) {
  std::ostringstream text;
  if (file == "-") {
    text << context.terminal.in.rdbuf();
    return text.str();
  }
  std::error_code error;
  std::ifstream stream(file, std::ios::binary);
  if (!stream || std::filesystem::is_directory(file, error)) {
    return absl::NotFoundError(absl::StrCat(file, ": cannot be read"));
  }
  text << stream.rdbuf();
  return text.str();
}

ExitCode ValidateSpec(Context& context, const std::string& file, bool resolved) {
  absl::StatusOr<std::string> text = ReadInput(context, file);
  absl::StatusOr<v1::Deployment> deployment =
      text.ok() ? spec::ParseDeployment(*text, file == "-" ? "stdin" : file) : text.status();
  if (!deployment.ok()) {
    context.terminal.err << deployment.status().message() << "\n" << std::flush;
    return ExitCode::kUsage;
  }
  v1::Deployment shown = resolved ? spec::ResolveDefaults(*deployment) : *deployment;
  context.Print(shown, [&] {
    if (resolved) return spec::WriteYaml(shown);
    google::protobuf::RepeatedPtrField<std::string> notes;
    for (std::string& note : spec::Notes(*deployment)) *notes.Add() = std::move(note);
    return absl::StrCat(file, ": ok\n", RenderNotes(notes, context.Now()));
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
  v1::Version own;
  own.set_version(context.program.version);
  own.set_commit(context.program.commit);
  if (client_only) {
    context.Print(own, [&] {
      return absl::StrCat("ctl         ", own.version(), " (", own.commit(), ")\n");
    });
    return ExitCode::kDone;
  }
  if (context.output == Output::kTable) {
    context.terminal.out << "ctl         " << own.version() << " (" << own.commit() << ")\n"
                         << std::flush;
  }
  if (!context.Connect()) return ExitCode::kUsage;
  v1::Version controller;
  grpc::ClientContext call;
  SetDeadline(call, kCallDeadline);
  grpc::Status status = context.stub->GetVersion(&call, {}, &controller);
  if (!status.ok()) return context.Fail(status);
  context.Print(controller, [&] {
    return absl::StrCat("controller  ", controller.version(), " (", controller.commit(),
                        "), epoch ", controller.epoch(), "\n");
  });
  return ExitCode::kDone;
}

}  // namespace npufleet::ctl
