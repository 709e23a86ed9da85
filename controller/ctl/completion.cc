// SPDX-License-Identifier: Apache-2.0
#include "controller/ctl/completion.h"

#include <functional>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"

namespace npufleet::ctl {
namespace {

using Visit = std::function<void(const std::string& path, const CommandNode&)>;

void Walk(const CommandNode& node, const std::string& path, const Visit& visit) {
  visit(path, node);
  for (const CommandNode& command : node.commands)
    Walk(command, absl::StrCat(path, " ", command.name), visit);
}

std::string Names(const CommandNode& node) {
  return absl::StrJoin(node.commands, " ", [](std::string* out, const CommandNode& command) {
    out->append(command.name);
  });
}

std::vector<std::string> FileOptionNames(const CommandNode& command) {
  std::vector<std::string> names;
  for (const CommandOption& option : command.options) {
    if (option.is_file) names.insert(names.end(), option.names.begin(), option.names.end());
  }
  return names;
}

// Those of `command`, and those of `root` that it lacks: "-h" is of both.
std::string WithGlobal(std::vector<std::string> names, const std::vector<std::string>& global) {
  for (const std::string& name : global) {
    if (!absl::c_linear_search(names, name)) names.push_back(name);
  }
  return absl::StrJoin(names, " ");
}

// A function in sh that sets what may follow each command path.
std::string WordsFunction(const CommandNode& root) {
  std::string text = "_ctl_words() {\n  case \"$1\" in\n";
  Walk(root, root.name, [&](const std::string& path, const CommandNode& node) {
    absl::StrAppend(&text, "    '", path, "') commands='", Names(node), "'; arguments='",
                    absl::StrJoin(node.arguments, " "), "'; options='",
                    WithGlobal(OptionNames(node), OptionNames(root)), "'; files='",
                    WithGlobal(FileOptionNames(node), FileOptionNames(root)), "' ;;\n");
  });
  return text + "  esac\n}\n";
}

// The lines of a case that offer the values of the global options: `offer` is the shell's way, in
// which {} are the words.
std::string ValueCases(const CommandNode& root, const std::string& offer) {
  std::string text;
  for (const CommandOption& option : root.options) {
    if (option.values.empty()) continue;
    absl::StrAppend(&text, "    ", absl::StrJoin(option.names, "|"), ") ",
                    absl::StrReplaceAll(offer, {{"{}", absl::StrJoin(option.values, " ")}}),
                    "; return ;;\n");
  }
  return text;
}

// Both shells find the deepest command on the line and offer its commands, or its options after
// "-".
std::string Bash(const CommandNode& root) {
  return absl::StrCat("# bash completion for ctl: source <(ctl completion bash)\n",
                      WordsFunction(root),
                      R"(_ctl() {
  local path=ctl word commands arguments options files
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}
  _ctl_words "$path"
  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case " $commands " in *" $word "*) path="$path $word"; _ctl_words "$path" ;; esac
  done
  case " $files " in
    *" $previous "*) COMPREPLY=($(compgen -f -- "$current")); return ;;
  esac
  case "$previous" in
)",
                      ValueCases(root, "COMPREPLY=($(compgen -W '{}' -- \"$current\"))"),
                      R"(  esac
  case "$current" in
    -*) COMPREPLY=($(compgen -W "$options" -- "$current")) ;;
    *) COMPREPLY=($(compgen -W "$commands $arguments" -- "$current")) ;;
  esac
}
complete -o default -F _ctl ctl
)");
}

// As ~/.zfunc/_ctl the script is itself the body of _ctl when zsh calls it first; when it is
// sourced it only says who completes ctl.
std::string Zsh(const CommandNode& root) {
  return absl::StrCat("#compdef ctl\n# zsh completion for ctl: source <(ctl completion zsh)\n",
                      WordsFunction(root),
                      R"(_ctl() {
  local path_so_far=ctl word commands arguments options files
  _ctl_words "$path_so_far"
  for word in "${(@)words[2,CURRENT-1]}"; do
    case " $commands " in *" $word "*) path_so_far="$path_so_far $word"; _ctl_words "$path_so_far" ;; esac
  done
  case " $files " in
    *" ${words[CURRENT-1]} "*) _files; return ;;
  esac
  case "${words[CURRENT-1]}" in
)",
                      ValueCases(root, "compadd -- {}"),
                      R"(  esac
  case "$PREFIX" in
    -*) compadd -- ${=options} ;;
    *) compadd -- ${=commands} ${=arguments} || _files ;;
  esac
}
if [ "$funcstack[1]" = _ctl ]; then
  _ctl "$@"
else
  compdef _ctl ctl
fi
)");
}

std::string Fish(const CommandNode& root) {
  std::string text =
      "# fish completion for ctl: ctl completion fish | source\ncomplete -c ctl -f\n";
  Walk(root, "", [&](const std::string& path, const CommandNode& node) {
    for (const CommandNode& command : node.commands) {
      std::string condition =
          path.empty() ? "__fish_use_subcommand"
                       : absl::StrCat("__fish_seen_subcommand_from", path,
                                      "; and not __fish_seen_subcommand_from ", Names(node));
      absl::StrAppend(&text, "complete -c ctl -n '", condition, "' -a ", command.name, " -d '",
                      absl::StrReplaceAll(command.description, {{"'", "\\'"}}), "'\n");
    }
    std::string condition =
        path.empty() ? "" : absl::StrCat(" -n '__fish_seen_subcommand_from ", node.name, "'");
    if (!node.arguments.empty()) {
      absl::StrAppend(&text, "complete -c ctl", condition, " -a '",
                      absl::StrJoin(node.arguments, " "), "'\n");
    }
    for (const CommandOption& option : node.options) {
      absl::StrAppend(&text, "complete -c ctl", condition);
      for (const std::string& name : option.names) {
        const bool is_long = name.substr(0, 2) == "--";
        absl::StrAppend(&text, is_long ? " -l " : " -s ", name.substr(is_long ? 2 : 1));
      }
      if (option.is_file) absl::StrAppend(&text, " -r -F");
      if (!option.values.empty()) {
        absl::StrAppend(&text, " -x -a '", absl::StrJoin(option.values, " "), "'");
      }
      absl::StrAppend(&text, "\n");
    }
  });
  return text;
}

}  // namespace

std::vector<std::string> OptionNames(const CommandNode& command) {
  std::vector<std::string> names;
  for (const CommandOption& option : command.options)
    names.insert(names.end(), option.names.begin(), option.names.end());
  return names;
}

std::string CompletionScript(const CommandNode& root, const std::string& shell) {
  if (shell == "bash") return Bash(root);
  if (shell == "zsh") return Zsh(root);
  if (shell == "fish") return Fish(root);
  return "";
}

}  // namespace npufleet::ctl
