// SPDX-License-Identifier: Apache-2.0
#include "controller/ctl/command_line.h"

#include <algorithm>
#include <functional>
#include <memory>

#include "CLI/CLI.hpp"
#include "absl/algorithm/container.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "common/spec/nearest.h"
#include "controller/ctl/commands.h"
#include "controller/ctl/completion.h"

namespace npufleet::ctl {
namespace {

// Of the options whose value is a file: it stands in the help, and completion offers files.
constexpr char kFileType[] = "FILE";

// The options of all commands; each command reads its own.
struct Options {
  std::string output = "table";
  std::string file;
  std::string name;
  std::string task;
  std::string from;
  std::string node;
  std::string shell;
  std::vector<std::string> chat;
  WaitOptions wait;
  absl::Duration valid_for = absl::Hours(1);
  bool follow = false;
  bool forever = false;
  bool no_stream = false;
  bool resolved = false;
  bool client = false;
  bool commands = false;
  InitOptions init;
  uint64_t after = 0;
  uint64_t to_revision = 0;
  ChatOptions chat_options;
};

// Beneath the help of each command.
constexpr char kGlobalOptions[] =
    "\nWith every command: -o table|json|yaml, --config FILE; see ctl --help";

class CommandLine {
 public:
  CommandLine(Terminal& terminal, const Program& program)
      : context_{terminal, program, {}, {}, nullptr} {
    Global();
    Rollout();
    RolloutControl();
    Fleet();
    Others();
  }

  ExitCode Run(std::vector<std::string> arguments);

 private:
  using Action = std::function<ExitCode()>;

  CLI::App* Command(CLI::App* parent, const char* name, const char* description,
                    const char* examples, Action action);
  CLI::App* Group(const char* name, const char* description, const char* examples);
  void AddName(CLI::App* command) {
    command->add_option("NAME", options_.name, "the rollout")->required();
  }
  void AddFile(CLI::App* command) {
    command->add_option("-f,--file", options_.file, "the deployment's YAML; - is stdin")
        ->type_name(kFileType)
        ->required();
  }
  void AddWait(CLI::App* command);
  void AddDuration(CLI::App* command, const char* flags, absl::Duration* value,
                   const char* description);
  void AddControl(CLI::App* parent, const char* name, const char* description, const char* examples,
                  v1::ControlRolloutRequest::Verb verb, bool waits);

  void Global();
  void Rollout();
  void RolloutControl();
  void Fleet();
  void Others();
  ExitCode Complete() const;
  std::string Usage(const CLI::ParseError& error) const;

  CLI::App app_{
      "ctl: one OpenAI-compatible endpoint out of servers with Ascend NPUs, and keeping it so",
      "ctl"};
  CLI::App* rollout_ = nullptr;
  Context context_;
  Options options_;
  Action action_;
};

CLI::App* CommandLine::Command(CLI::App* parent, const char* name, const char* description,
                               const char* examples, Action action) {
  CLI::App* command = parent->add_subcommand(name, description);
  command->footer(absl::StrCat(examples, kGlobalOptions));
  command->callback([this, action = std::move(action)] { action_ = action; });
  return command;
}

CLI::App* CommandLine::Group(const char* name, const char* description, const char* examples) {
  CLI::App* group = app_.add_subcommand(name, description);
  group->require_subcommand(1);
  group->footer(absl::StrCat(examples, kGlobalOptions));
  return group;
}

void CommandLine::AddDuration(CLI::App* command, const char* flags, absl::Duration* value,
                              const char* description) {
  command
      ->add_option_function<std::string>(
          flags,
          [value, flags](const std::string& text) {
            if (!absl::ParseDuration(text, value) || *value <= absl::ZeroDuration()) {
              throw CLI::ValidationError(flags, "needs a duration like 30s, 5m or 2h, not " + text);
            }
          },
          description)
      ->type_name("DURATION");
}

void CommandLine::AddWait(CLI::App* command) {
  command->add_flag("--wait", options_.wait.wait, "stay until it is done, and show its progress");
  AddDuration(command, "--timeout", &options_.wait.timeout,
              "with --wait: exit 4 after this; the rollout goes on");
}

void CommandLine::Global() {
  app_.require_subcommand(1);
  app_.fallthrough();
  app_.option_defaults()->always_capture_default(false);
  app_.add_option("-o,--output", options_.output, "table, json or yaml")
      ->check(CLI::IsMember({"table", "json", "yaml"}));
  app_.add_option("--config", context_.connection.config,
                  "the controller's address and the identity to show it; default $NPUFLEET_CONFIG, "
                  "~/.npufleet/config.yaml, /etc/npufleet/ctl/config.yaml")
      ->type_name(kFileType);
  // Plaintext to a controller on this machine. Only those of tests speak it: it is not in the help.
  app_.add_option("--insecure-loopback", context_.connection.insecure_loopback)->group("");
  app_.set_version_flag(
      "--version",
      absl::StrCat("ctl ", context_.program.version, " (", context_.program.commit, ")"),
      "of ctl; `ctl version` asks the controller, too");
  app_.footer(
      "Begin with:\n"
      "  ctl node list                                # which servers are there\n"
      "  ctl rollout plan -f qwen3-235b.yaml          # what would be done\n"
      "  ctl rollout apply -f qwen3-235b.yaml --wait  # do it\n"
      "  ctl chat 你是谁                              # ask the model\n"
      "  ctl help rollout apply                       # or: ctl rollout apply --help\n\n"
      "Exit codes: 0 done, 1 failed, 2 usage or bad spec, 3 unreachable, 4 timed out.");
}

void CommandLine::Rollout() {
  rollout_ = Group(
      "rollout", "make a deployment true, and see how far it is",
      "Examples:\n  ctl rollout apply -f qwen3-235b.yaml --wait\n  ctl rollout status qwen3-235b");
  CLI::App* apply = Command(
      rollout_, "apply", "make the deployment in FILE true",
      "Examples:\n"
      "  ctl rollout apply -f qwen3-235b.yaml\n"
      "  ctl rollout apply -f qwen3-235b.yaml --wait --timeout 3h\n"
      "What is true already is not done again: an unchanged deployment is \"nothing to do\".\n"
      "A node that has not joined, or that another rollout claims, is a reason to refuse it all;\n"
      "a node that is offline is waited for.",
      [this] { return ApplyRollout(context_, options_.file, options_.wait); });
  AddFile(apply);
  AddWait(apply);
  CLI::App* plan =
      Command(rollout_, "plan", "what apply would do, and why; changes nothing",
              "Examples:\n  ctl rollout plan -f qwen3-235b.yaml\n"
              "  ctl rollout plan -f qwen3-235b.yaml --commands > runbook.sh",
              [this] { return PlanRollout(context_, options_.file, options_.commands); });
  AddFile(plan);
  plan->add_flag("--commands", options_.commands,
                 "as the shell commands that you would have typed, with what is skipped and why");
  CLI::App* status =
      Command(rollout_, "status", "all rollouts, or the stages, failures and endpoint of one",
              "Examples:\n  ctl rollout status\n  ctl rollout status qwen3-235b\n"
              "  ctl rollout status qwen3-235b -o json | jq .phase\n"
              "Exits 1 when the rollout has failed.",
              [this] {
                return options_.name.empty() ? ShowRollouts(context_)
                                             : ShowRollout(context_, options_.name);
              });
  status->add_option("NAME", options_.name, "the rollout; default: all");
  CLI::App* watch = Command(rollout_, "watch", "stay with a rollout until it serves or has failed",
                            "Examples:\n  ctl rollout watch qwen3-235b\n"
                            "  ctl rollout watch qwen3-235b --timeout 2h || echo not yet",
                            [this] {
                              return WatchRollout(context_, options_.name, options_.forever,
                                                  options_.wait.timeout);
                            });
  AddName(watch);
  watch->add_flag("--forever", options_.forever, "go on when it serves");
  AddDuration(watch, "--timeout", &options_.wait.timeout, "exit 4 after this");
  AddName(Command(rollout_, "history", "the revisions of a rollout",
                  "Examples:\n  ctl rollout history qwen3-235b",
                  [this] { return ShowHistory(context_, options_.name); }));
  CLI::App* logs = Command(
      rollout_, "logs", "the log of a task's newest operation",
      "Examples:\n  ctl rollout logs qwen3-235b driver@node-b\n"
      "  ctl rollout logs qwen3-235b serve@node-a -f",
      [this] { return ShowTaskLog(context_, options_.name, options_.task, options_.follow); });
  AddName(logs);
  logs->add_option("TASK", options_.task, "STAGE@NODE, as `status` names it")->required();
  logs->add_flag("-f,--follow", options_.follow, "stay until the operation ends");
  CLI::App* explain =
      Command(rollout_, "explain", "why a task is in its state: the whole chain of reasons",
              "Examples:\n  ctl rollout explain qwen3-235b serve@node-a\n"
              "  ctl rollout explain qwen3-235b driver@node-b -o json",
              [this] { return ExplainTask(context_, options_.name, options_.task); });
  AddName(explain);
  explain->add_option("TASK", options_.task, "STAGE@NODE, as `status` names it")->required();
  CLI::App* events = Command(
      rollout_, "events", "what happened, oldest first",
      "Examples:\n  ctl rollout events\n  ctl rollout events qwen3-235b -f",
      [this] { return ShowEvents(context_, options_.name, options_.follow, options_.after); });
  events->add_option("NAME", options_.name, "the rollout; default: all");
  events->add_flag("-f,--follow", options_.follow, "stay for new ones");
  events->add_option("--after", options_.after, "only events behind this id");
  CLI::App* replay = Command(
      rollout_, "replay", "what the event log in FILE tells: each event, and what came of it",
      "Examples:\n  ctl rollout replay simulation-failed-17.events\n"
      "  ctl rollout replay - -o json < qwen3-235b.events | jq '.entries[] | select(.notes != "
      "[])'\n"
      "Asks no controller. A simulator's seed that fails writes such a file (CONTRIBUTING.md).",
      [this] { return ReplayRollout(context_, options_.file); });
  replay->add_option("FILE", options_.file, "the event log; - is stdin")
      ->type_name(kFileType)
      ->required();
}

void CommandLine::AddControl(CLI::App* parent, const char* name, const char* description,
                             const char* examples, v1::ControlRolloutRequest::Verb verb,
                             bool waits) {
  CLI::App* command = Command(parent, name, description, examples, [this, verb] {
    v1::ControlRolloutRequest request;
    request.set_name(options_.name);
    request.set_verb(verb);
    request.set_from(options_.from);
    request.set_to_revision(options_.to_revision);
    return ControlRollout(context_, request, options_.wait);
  });
  AddName(command);
  if (waits) AddWait(command);
  if (verb == v1::ControlRolloutRequest::RESTART) {
    command->add_option("--from", options_.from, "the stage to run again, on all nodes or on one")
        ->type_name("STAGE[@NODE]");
  }
  if (verb == v1::ControlRolloutRequest::UNDO) {
    command
        ->add_option("--to-revision", options_.to_revision,
                     "a revision of `ctl rollout history`; default: the one before the newest")
        ->check(CLI::PositiveNumber)
        ->type_name("REVISION");
  }
}

void CommandLine::RolloutControl() {
  AddControl(rollout_, "undo", "go back: a new revision with the spec of a former one",
             "Examples:\n  ctl rollout undo qwen3-235b --wait\n"
             "  ctl rollout undo qwen3-235b --to-revision 3\n"
             "What both revisions have in common is not done again. It may be asked for in the "
             "middle of a rollout.",
             v1::ControlRolloutRequest::UNDO, true);
  AddControl(rollout_, "retry", "forget kept failures and go on from there",
             "Examples:\n  ctl rollout retry qwen3-235b --wait", v1::ControlRolloutRequest::RETRY,
             true);
  AddControl(rollout_, "restart", "run stages again, and what depends on them",
             "Examples:\n  ctl rollout restart qwen3-235b                    # the engine\n"
             "  ctl rollout restart qwen3-235b --from ray-head\n"
             "  ctl rollout restart qwen3-235b --from docker@node-b",
             v1::ControlRolloutRequest::RESTART, true);
  AddControl(rollout_, "pause", "start nothing new; what is under way and what serves go on",
             "Examples:\n  ctl rollout pause qwen3-235b\n"
             "While it is paused nothing that is lost is repaired.",
             v1::ControlRolloutRequest::PAUSE, false);
  AddControl(rollout_, "resume", "go on after a pause",
             "Examples:\n  ctl rollout resume qwen3-235b", v1::ControlRolloutRequest::RESUME, true);
  AddControl(rollout_, "cancel", "end what is under way, where that is safe, and start nothing",
             "Examples:\n  ctl rollout cancel qwen3-235b\n"
             "Downloads and starts end, installers go on to their end, and what serves goes on.",
             v1::ControlRolloutRequest::CANCEL, false);
  CLI::App* remove = Command(rollout_, "delete", "stop what serves; what is installed stays",
                             "Examples:\n  ctl rollout delete qwen3-235b --wait", [this] {
                               return DeleteRollout(context_, options_.name, options_.wait);
                             });
  AddName(remove);
  AddWait(remove);
}

void CommandLine::Fleet() {
  CLI::App* node = Group("node", "the servers of the fleet",
                         "Examples:\n  ctl node list\n  ctl node show node-b");
  Command(node, "list", "all nodes", "Examples:\n  ctl node list -o yaml",
          [this] { return ListNodes(context_); });
  CLI::App* show =
      Command(node, "show", "one node, with its NPUs", "Examples:\n  ctl node show node-b",
              [this] { return ShowNode(context_, options_.node); });
  show->add_option("NAME", options_.node, "the node")->required();
  CLI::App* reboot =
      Command(node, "reboot", "reboot a node; its rollout goes on by itself afterwards",
              "Examples:\n  ctl node reboot node-b",
              [this] { return RebootNode(context_, options_.node); });
  reboot->add_option("NAME", options_.node, "the node")->required();
  CLI::App* remove = Command(node, "remove", "forget a node that no rollout uses",
                             "Examples:\n  ctl node remove node-b\n"
                             "Its certificate is not renewed any more; what is installed stays.",
                             [this] { return RemoveNode(context_, options_.node); });
  remove->add_option("NAME", options_.node, "the node")->required();
  Command(&app_, "npu", "all NPUs of the fleet",
          "Examples:\n  ctl npu\n  ctl npu -o json | jq '.nodes[].inventory.chips'",
          [this] { return ShowChips(context_); });
  CLI::App* token =
      Group("token", "admit nodes to the fleet", "Examples:\n  ctl token create --node node-b");
  CLI::App* create =
      Command(token, "create", "a one-time token for `npufleet-agent join`",
              "Examples:\n  ctl token create --node node-b\n  ctl token create --node node-b "
              "--valid-for 24h",
              [this] { return CreateToken(context_, options_.node, options_.valid_for); });
  create->add_option("--node", options_.node, "the node's name")->required();
  AddDuration(create, "--valid-for", &options_.valid_for, "default 1h");
}

void CommandLine::Others() {
  CLI::App* chat = Command(
      &app_, "chat", "ask the model of a rollout",
      "Examples:\n  ctl chat 你是谁\n  ctl chat qwen3-235b \"Write a haiku\" --max-tokens 2000\n"
      "  ctl chat 你是谁 --no-stream -o json",
      [this] {
        if (options_.chat.size() > 2) {
          return context_.Fail(ExitCode::kUsage,
                               absl::StrCat("the prompt is one argument: quote it, as in ctl chat ",
                                            "\"", absl::StrJoin(options_.chat, " "), "\""));
        }
        ChatOptions& chat_options = options_.chat_options;
        chat_options.prompt = options_.chat.back();
        if (options_.chat.size() == 2) chat_options.rollout = options_.chat.front();
        chat_options.stream = !options_.no_stream;
        return Chat(context_, chat_options);
      });
  chat->add_option("[NAME] PROMPT", options_.chat,
                   "the rollout (default: the one that serves), and what to ask")
      ->required()
      ->expected(1, -1);  // too many are told what to do
  chat->add_option("--max-tokens", options_.chat_options.max_tokens, "default 512")
      ->check(CLI::Range(1, 1000000));
  chat->add_flag("--no-stream", options_.no_stream, "print the answer when it is complete");
  AddDuration(chat, "--timeout", &options_.chat_options.timeout, "default 10m");

  CLI::App* spec = Group("spec", "write and look at deployments",
                         "Examples:\n  ctl spec validate -f qwen3-235b.yaml\n  ctl spec schema > "
                         "deployment.schema.json");
  CLI::App* validate =
      Command(spec, "validate", "check FILE; errors as FILE:LINE:COLUMN",
              "Examples:\n  ctl spec validate qwen3-235b.yaml\n"
              "  ctl spec validate -f qwen3-235b.yaml --resolved",
              [this] { return ValidateSpec(context_, options_.file, options_.resolved); });
  validate->add_option("-f,--file,FILE", options_.file, "the deployment's YAML; - is stdin")
      ->type_name(kFileType)
      ->required();
  validate->add_flag("--resolved", options_.resolved, "print it with all defaults");
  CLI::App* init = Command(
      spec, "init", "a commented deployment to complete, for the nodes of the fleet or named ones",
      "Examples:\n  ctl spec init > qwen3-235b.yaml                    # asks the controller\n"
      "  ctl spec init --node node-b --node node-a --model deepseek-ai/DeepSeek-R1\n"
      "  ctl spec init --node node-a=192.168.0.15,enp67s0f0 --node node-b=192.168.0.21,enp67s0f0\n"
      "The first node is the head. With an address for each, nobody is asked.",
      [this] { return InitSpec(context_, options_.init); });
  init->add_option("--node", options_.init.nodes, "NAME, or NAME=ADDRESS[,NIC]; once for each node")
      ->type_name("NODE");
  init->add_option("--chips", options_.init.chips, "of each node; default: all that it has")
      ->check(CLI::Range(1, 64));
  init->add_option("--model", options_.init.model, "OWNER/NAME; default Qwen/Qwen3-235B-A22B");
  init->add_option("--name", options_.init.name, "of the deployment; default: from the model");
  Command(spec, "schema", "the JSON Schema, for editors",
          "Examples:\n  ctl spec schema > deployment.schema.json",
          [this] { return PrintSchema(context_); });
  CLI::App* version = Command(&app_, "version", "of ctl and of the controller",
                              "Examples:\n  ctl version\n  ctl version --client",
                              [this] { return ShowVersion(context_, options_.client); });
  version->add_flag("--client", options_.client, "of ctl only");
  CLI::App* completion =
      Command(&app_, "completion", "a completion script for your shell",
              "Examples:\n  source <(ctl completion bash)\n"
              "  ctl completion zsh > ~/.zfunc/_ctl\n  ctl completion fish | source",
              [this] { return Complete(); });
  completion->add_option("SHELL", options_.shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
}

// "TEXT:{bash,zsh,fish}", which CLI11 makes of IsMember, as its words. Empty: anything goes.
std::vector<std::string> ValuesOf(const CLI::Option& option) {
  const std::string type = option.get_type_name();
  const size_t begin = type.find('{');
  if (begin == std::string::npos || type.back() != '}') return {};
  return absl::StrSplit(type.substr(begin + 1, type.size() - begin - 2), ',');
}

CommandNode TreeOf(const CLI::App& app) {
  CommandNode node{app.get_name(), app.get_description(), {}, {}, {}};
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_group().empty()) continue;  // hidden
    if (option->get_positional()) {
      for (const std::string& value : ValuesOf(*option)) node.arguments.push_back(value);
      if (!option->nonpositional()) continue;
    }
    CommandOption made;
    for (const std::string& name : option->get_snames()) made.names.push_back("-" + name);
    for (const std::string& name : option->get_lnames()) made.names.push_back("--" + name);
    made.is_file = option->get_type_name() == kFileType;
    made.values = ValuesOf(*option);
    node.options.push_back(std::move(made));
  }
  for (const CLI::App* command : app.get_subcommands(nullptr))
    node.commands.push_back(TreeOf(*command));
  return node;
}

ExitCode CommandLine::Complete() const {
  context_.terminal.out << CompletionScript(TreeOf(app_), options_.shell) << std::flush;
  return ExitCode::kDone;
}

std::vector<std::string> CommandNames(const CommandNode& node) {
  std::vector<std::string> names;
  for (const CommandNode& command : node.commands) names.push_back(command.name);
  return names;
}

std::string NoSuchCommand(const CommandNode& node, const std::string& word) {
  const std::vector<std::string> names = CommandNames(node);
  const std::string nearest = spec::Nearest(word, names);
  return absl::StrCat("no command \"", word, "\" in ", node.name,
                      nearest.empty() ? absl::StrCat("; known are ", absl::StrJoin(names, ", "))
                                      : absl::StrCat("; did you mean \"", nearest, "\"?"));
}

// CLI11 says of a misspelt command only that one is missing. Empty: every word up to the first
// option is a command, or an argument of one that takes some.
std::string UnknownCommand(const CommandNode& root, const std::vector<std::string>& arguments) {
  const CommandNode* node = &root;
  for (const std::string& word : arguments) {
    if (node->commands.empty() || absl::StartsWith(word, "-")) return "";
    const auto next = absl::c_find_if(
        node->commands, [&](const CommandNode& command) { return command.name == word; });
    if (next == node->commands.end()) return NoSuchCommand(*node, word);
    node = &*next;
  }
  return "";
}

// What is wrong with the command line, and what to do. CLI11 names neither the command nor what
// was probably meant, and turns the order of what it does not expect.
std::string CommandLine::Usage(const CLI::ParseError& error) const {
  const CLI::App* command = &app_;
  std::string path = app_.get_name();
  while (!command->get_subcommands().empty()) {
    command = command->get_subcommands().front();
    absl::StrAppend(&path, " ", command->get_name());
  }
  const std::string help = absl::StrCat("; see ", path, " --help");
  const CommandNode node = TreeOf(*command);
  const std::vector<std::string> unexpected = app_.remaining(/*recurse=*/true);
  for (const std::string& word : unexpected) {
    if (word.size() < 2 || word.front() != '-') continue;
    std::vector<std::string> known = OptionNames(node);
    for (const std::string& name : OptionNames(TreeOf(app_))) known.push_back(name);
    const std::string name = word.substr(0, word.find('='));
    const std::string nearest = spec::Nearest(name, known);
    return absl::StrCat("no option \"", name, "\" of ", path,
                        nearest.empty() ? help : absl::StrCat("; did you mean ", nearest, "?"));
  }
  if (!node.commands.empty()) {
    if (!unexpected.empty()) return NoSuchCommand(node, unexpected.front());
    return absl::StrCat("a command is missing; ", path, " has ",
                        absl::StrJoin(CommandNames(node), ", "), help);
  }
  if (unexpected.empty()) return absl::StrCat(error.what(), help);
  return absl::StrCat(path, " does not take \"", absl::StrJoin(unexpected, " "), "\"", help);
}

ExitCode CommandLine::Run(std::vector<std::string> arguments) {
  if (!arguments.empty() && arguments.front() == "help") {  // ctl help COMMAND…
    arguments.erase(arguments.begin());
    arguments.push_back("--help");
  }
  if (std::string unknown = UnknownCommand(TreeOf(app_), arguments); !unknown.empty()) {
    return context_.Fail(ExitCode::kUsage, unknown);
  }
  try {
    std::reverse(arguments.begin(), arguments.end());  // CLI11 takes them from the back
    app_.parse(arguments);
  } catch (const CLI::Success& help) {
    app_.exit(help, context_.terminal.out, context_.terminal.err);
    context_.terminal.out << std::flush;
    return ExitCode::kDone;
  } catch (const CLI::ParseError& error) {
    return context_.Fail(ExitCode::kUsage, Usage(error));
  }
  context_.output = options_.output == "json"   ? Output::kJson
                    : options_.output == "yaml" ? Output::kYaml
                                                : Output::kTable;
  return action_();
}

}  // namespace

ExitCode RunCtl(std::vector<std::string> arguments, Terminal& terminal, const Program& program) {
  return CommandLine(terminal, program).Run(std::move(arguments));
}

}  // namespace npufleet::ctl
