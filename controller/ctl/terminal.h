// SPDX-License-Identifier: Apache-2.0
//
// Where ctl writes to. Everything that asks the real terminal is here; rendering is pure
// (render.h).
#ifndef CONTROLLER_CTL_TERMINAL_H_
#define CONTROLLER_CTL_TERMINAL_H_

#include <iostream>
#include <string>

namespace npufleet::ctl {

struct Terminal {
  std::istream& in;
  std::ostream& out;
  std::ostream& err;
  bool interactive = false;  // `out` is a terminal: redraw in place
  bool colour = false;

  // The process's own. Colour on a terminal, unless NO_COLOR is set or TERM is dumb.
  static Terminal OfProcess();
};

// Redraws a text in place on an interactive terminal.
class LiveText {
 public:
  explicit LiveText(std::ostream& out) : out_(out) {}

  // Replaces what the last Draw wrote. Lines are cut to the terminal's width and, beyond its
  // height, left out at the top, as the cursor cannot go back above the screen.
  void Draw(const std::string& text);

 private:
  std::ostream& out_;
  int lines_ = 0;
};

}  // namespace npufleet::ctl

#endif  // CONTROLLER_CTL_TERMINAL_H_
