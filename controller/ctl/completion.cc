// SPDX-License-Identifier: Apache-2.0
#include "controller/ctl/completion.h"

#include <functional>

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

// A function in sh that prints what may follow each command path.
std::string WordsFunction(const CommandNode& root) {
  std::string text = "_ctl_words() {\n  case \"$1\" in\n";
  Walk(root, root.name, [&](const std::string& path, const CommandNode& node) {
    absl::StrAppend(&text, "    '", path, "') commands='", Names(node), "'; options='",
                    absl::StrJoin(node.options, " "), "' ;;\n");
  });
  return text + "    *) return 1 ;;\n  esac\n}\n";
}

// Both shells find the deepest command on the line and offer its commands, or its options after
// "-".
std::string Bash(const CommandNode& root) {
  return absl::StrCat("# bash completion for ctl: source <(ctl completion bash)\n",
                      WordsFunction(root),
                      R"(_ctl() {
  local path=ctl word commands options
  local current=${COMP_WORDS[COMP_CWORD]}
  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    _ctl_words "$path" || return
    case " $commands " in *" $word "*) path="$path $word" ;; esac
  done
  _ctl_words "$path" || return
  case "${COMP_WORDS[COMP_CWORD-1]}" in
    -f|--file|--config) COMPREPLY=($(compgen -f -- "$current")); return ;;
    -o|--output) COMPREPLY=($(compgen -W "table json yaml" -- "$current")); return ;;
  esac
  case "$current" in
    -*) COMPREPLY=($(compgen -W "$options" -- "$current")) ;;
    *) COMPREPLY=($(compgen -W "$commands" -- "$current")) ;;
  esac
}
complete -o default -F _ctl ctl
)");
}

std::string Zsh(const CommandNode& root) {
  return absl::StrCat("#compdef ctl\n# zsh completion for ctl: source <(ctl completion zsh)\n",
                      WordsFunction(root),
                      R"(_ctl() {
  local path_so_far=ctl word commands options
  for word in "${(@)words[2,CURRENT-1]}"; do
    _ctl_words "$path_so_far" || return 1
    case " $commands " in *" $word "*) path_so_far="$path_so_far $word" ;; esac
  done
  _ctl_words "$path_so_far" || return 1
  case "${words[CURRENT-1]}" in
    -f|--file|--config) _files; return ;;
    -o|--output) compadd -- table json yaml; return ;;
  esac
  case "$PREFIX" in
    -*) compadd -- ${=options} ;;
    *) compadd -- ${=commands} ;;
  esac
}
compdef _ctl ctl
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
    for (const std::string& option : node.options) {
      bool is_long = option.substr(0, 2) == "--";
      bool takes_file = option == "-f" || option == "--file" || option == "--config";
      absl::StrAppend(&text, "complete -c ctl", condition, is_long ? " -l " : " -s ",
                      option.substr(is_long ? 2 : 1), takes_file ? " -r -F" : "", "\n");
    }
  });
  return text;
}

}  // namespace

std::string CompletionScript(const CommandNode& root, const std::string& shell) {
  if (shell == "bash") return Bash(root);
  if (shell == "zsh") return Zsh(root);
  if (shell == "fish") return Fish(root);
  return "";
}

}  // namespace npufleet::ctl
