// SPDX-License-Identifier: Apache-2.0
//
// Cuts a stream of bytes into lines as a person sees them. One thread at a time.
#ifndef AGENT_HOST_LINE_SPLITTER_H_
#define AGENT_HOST_LINE_SPLITTER_H_

#include <functional>
#include <string>
#include <string_view>

namespace npufleet::host {

// `text` without its ANSI escape sequences (colours, cursor moves, titles).
std::string WithoutAnsiCodes(std::string_view text);

class LineSplitter {
 public:
  using OnLine = std::function<void(std::string_view)>;

  // An empty `on_line` makes it do nothing.
  explicit LineSplitter(OnLine on_line) : on_line_(std::move(on_line)) {}

  // '\n' and '\r' end a line (progress bars redraw with '\r'), "\r\n" ends one. Empty lines are
  // kept only when '\n' ended them. A line of more than 64 KiB is passed on in pieces.
  void Add(std::string_view bytes);
  // Passes on what is left without an end.
  void Finish();

 private:
  void Emit();

  OnLine on_line_;
  std::string line_;
  bool after_return_ = false;
};

}  // namespace npufleet::host

#endif  // AGENT_HOST_LINE_SPLITTER_H_
