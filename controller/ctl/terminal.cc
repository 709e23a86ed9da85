// SPDX-License-Identifier: Apache-2.0
#include "controller/ctl/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "controller/ctl/text.h"

namespace npufleet::ctl {
namespace {

struct Size {
  int columns = 80;
  int rows = 24;
};

Size TerminalSize() {
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0 || size.ws_row == 0)
    return {};
  return {size.ws_col, size.ws_row};
}

}  // namespace

Terminal Terminal::OfProcess() {
  const char* no_color = std::getenv("NO_COLOR");
  const char* term = std::getenv("TERM");
  bool dumb = term == nullptr || std::string_view(term) == "dumb";
  bool is_terminal = isatty(STDOUT_FILENO) == 1;
  bool colour = is_terminal && !dumb && (no_color == nullptr || *no_color == '\0');
  return {std::cin, std::cout, std::cerr, is_terminal && !dumb, colour};
}

void LiveText::Draw(const std::string& text) {
  Size size = TerminalSize();
  std::vector<std::string> lines = absl::StrSplit(text, '\n');
  if (!lines.empty() && lines.back().empty()) lines.pop_back();
  size_t most = static_cast<size_t>(std::max(2, size.rows - 1));
  if (lines.size() > most) lines.erase(lines.begin(), lines.end() - static_cast<long>(most));
  std::string frame;
  if (lines_ > 0) absl::StrAppend(&frame, "\x1b[", lines_, "A\r");
  // Each line clears its own rest, and the end what stood below: no flicker from a cleared screen.
  for (const std::string& line : lines) {
    absl::StrAppend(&frame, CutToWidth(line, size.columns), "\x1b[K\n");
  }
  frame += "\x1b[J";
  lines_ = static_cast<int>(lines.size());
  out_ << frame << std::flush;
}

}  // namespace npufleet::ctl
