// SPDX-License-Identifier: Apache-2.0
//
// Text for people: colours, columns, durations, sizes. All pure.
#ifndef CONTROLLER_CTL_TEXT_H_
#define CONTROLLER_CTL_TEXT_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"

namespace npufleet::ctl {

enum class Style { kPlain, kBold, kDim, kRed, kGreen, kYellow, kCyan };

// `text` itself when colour is off or the style is plain.
std::string Styled(const std::string& text, Style style, bool colour);

// Columns on a terminal: escape sequences take none, Chinese characters two.
int DisplayWidth(std::string_view text);
// The first `width` columns, with colours ended where the text is cut.
std::string CutToWidth(std::string_view text, int width);

// Text that a node or an engine wrote, safe for a terminal: control characters become spaces.
std::string Printable(std::string_view text);

// "850ms", "42s", "4m12s", "2h05m", "3d4h".
std::string ShortDuration(absl::Duration duration);
// "1.4 GiB", "312 MiB", "17 B".
std::string Bytes(uint64_t bytes);

// Columns as wide as their widest cell, two spaces apart; the last one is not padded.
class Table {
 public:
  explicit Table(std::vector<std::string> header);
  struct Cell {
    std::string text;
    Style style = Style::kPlain;
  };
  void Add(std::vector<Cell> row);
  // One line a row, the header first (bold). Empty text for a table without rows.
  std::string Render(bool colour) const;

 private:
  std::vector<std::vector<Cell>> rows_;
};

}  // namespace npufleet::ctl

#endif  // CONTROLLER_CTL_TEXT_H_
