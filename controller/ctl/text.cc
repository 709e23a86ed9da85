// SPDX-License-Identifier: Apache-2.0
#include "controller/ctl/text.h"

#include <algorithm>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace npufleet::ctl {
namespace {

constexpr const char* kReset = "\x1b[0m";

const char* Code(Style style) {
  switch (style) {
    case Style::kPlain:
      return "";
    case Style::kBold:
      return "\x1b[1m";
    case Style::kDim:
      return "\x1b[2m";
    case Style::kRed:
      return "\x1b[31m";
    case Style::kGreen:
      return "\x1b[32m";
    case Style::kYellow:
      return "\x1b[33m";
    case Style::kCyan:
      return "\x1b[36m";
  }
  return "";
}

// One step through a text: an escape sequence (0 columns) or a character.
struct Glyph {
  size_t bytes;
  int columns;
};

bool IsWide(uint32_t code) {
  return (code >= 0x1100 && code <= 0x115f) || (code >= 0x2e80 && code <= 0xa4cf) ||
         (code >= 0xac00 && code <= 0xd7a3) || (code >= 0xf900 && code <= 0xfaff) ||
         (code >= 0xfe30 && code <= 0xfe6f) || (code >= 0xff00 && code <= 0xff60) ||
         (code >= 0xffe0 && code <= 0xffe6) || (code >= 0x1f300 && code <= 0x1faff) ||
         (code >= 0x20000 && code <= 0x3fffd);
}

Glyph NextGlyph(std::string_view text) {
  unsigned char first = static_cast<unsigned char>(text[0]);
  if (first == 0x1b && text.size() > 1 && text[1] == '[') {
    size_t end = 2;
    while (end < text.size() && (text[end] < 0x40 || text[end] > 0x7e)) ++end;
    return {std::min(end + 1, text.size()), 0};
  }
  size_t length = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  length = std::min(length, text.size());
  uint32_t code = length == 1 ? first : first & (0xff >> (length + 1));
  for (size_t i = 1; i < length; ++i) code = (code << 6) | (text[i] & 0x3f);
  return {length, IsWide(code) ? 2 : 1};
}

}  // namespace

std::string Styled(const std::string& text, Style style, bool colour) {
  if (!colour || style == Style::kPlain || text.empty()) return text;
  return absl::StrCat(Code(style), text, kReset);
}

int DisplayWidth(std::string_view text) {
  int width = 0;
  while (!text.empty()) {
    Glyph glyph = NextGlyph(text);
    width += glyph.columns;
    text.remove_prefix(glyph.bytes);
  }
  return width;
}

std::string CutToWidth(std::string_view text, int width) {
  std::string cut;
  bool has_escape = false;
  while (!text.empty()) {
    Glyph glyph = NextGlyph(text);
    if (glyph.columns > width) return has_escape ? cut + kReset : cut;
    has_escape = has_escape || glyph.columns == 0;
    width -= glyph.columns;
    cut.append(text.substr(0, glyph.bytes));
    text.remove_prefix(glyph.bytes);
  }
  return cut;
}

std::string Printable(std::string_view text) {
  std::string printable(text);
  for (size_t i = 0; i < printable.size(); ++i) {
    unsigned char c = static_cast<unsigned char>(printable[i]);
    // 0xc2 0x80 to 0xc2 0x9f are the C1 controls, 0x9b of which begins a sequence on some
    // terminals.
    bool c1 = c == 0xc2 && i + 1 < printable.size() &&
              static_cast<unsigned char>(printable[i + 1]) < 0xa0;
    if (c1) printable.replace(i, 2, " ");
    if (c < 0x20 || c == 0x7f) printable[i] = ' ';
  }
  return printable;
}

std::string ShortDuration(absl::Duration duration) {
  if (duration < absl::ZeroDuration()) duration = absl::ZeroDuration();
  if (duration == absl::ZeroDuration()) return "0s";
  if (duration < absl::Seconds(1)) return absl::StrCat(absl::ToInt64Milliseconds(duration), "ms");
  int64_t seconds = absl::ToInt64Seconds(duration);
  if (seconds < 60) return absl::StrCat(seconds, "s");
  if (seconds < 3600) return absl::StrFormat("%dm%02ds", seconds / 60, seconds % 60);
  if (seconds < 86400) return absl::StrFormat("%dh%02dm", seconds / 3600, seconds % 3600 / 60);
  return absl::StrFormat("%dd%dh", seconds / 86400, seconds % 86400 / 3600);
}

std::string Bytes(uint64_t bytes) {
  static constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1024 && unit + 1 < std::size(kUnits)) {
    value /= 1024;
    ++unit;
  }
  return unit == 0 || value >= 100 ? absl::StrFormat("%.0f %s", value, kUnits[unit])
                                   : absl::StrFormat("%.1f %s", value, kUnits[unit]);
}

Table::Table(std::vector<std::string> header) {
  std::vector<Cell> cells;
  for (std::string& name : header) cells.push_back({std::move(name), Style::kBold});
  rows_.push_back(std::move(cells));
}

void Table::Add(std::vector<Cell> row) { rows_.push_back(std::move(row)); }

std::string Table::Render(bool colour) const {
  if (rows_.size() == 1) return "";
  std::vector<int> widths;
  for (const auto& row : rows_) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) {
      widths[i] = std::max(widths[i], DisplayWidth(row[i].text));
    }
  }
  std::string text;
  for (const auto& row : rows_) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      line += Styled(row[i].text, row[i].style, colour);
      if (i + 1 < row.size()) line.append(widths[i] - DisplayWidth(row[i].text) + 2, ' ');
    }
    while (!line.empty() && line.back() == ' ') line.pop_back();
    absl::StrAppend(&text, line, "\n");
  }
  return text;
}

}  // namespace npufleet::ctl
