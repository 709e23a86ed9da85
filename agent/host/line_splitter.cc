// SPDX-License-Identifier: Apache-2.0
#include "agent/host/line_splitter.h"

namespace npufleet::host {
namespace {

constexpr size_t kLongestLine = 64 << 10;
constexpr char kEscape = '\x1b';
constexpr char kBell = '\x07';

// The position behind the escape sequence that starts at `at` (ECMA-48: CSI, OSC, two-byte ones).
size_t SkipSequence(std::string_view text, size_t at) {
  size_t next = at + 1;
  if (next >= text.size()) return next;
  if (text[next] == '[') {
    for (++next; next < text.size(); ++next) {
      if (text[next] >= 0x40 && text[next] <= 0x7e) return next + 1;
    }
    return next;
  }
  if (text[next] == ']') {
    for (++next; next < text.size(); ++next) {
      if (text[next] == kBell) return next + 1;
      if (text[next] == kEscape) return next + 1 < text.size() ? next + 2 : next + 1;
    }
    return next;
  }
  while (next < text.size() && text[next] >= 0x20 && text[next] <= 0x2f) ++next;
  return next < text.size() ? next + 1 : next;
}

}  // namespace

std::string WithoutAnsiCodes(std::string_view text) {
  std::string plain;
  plain.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    if (text[at] == kEscape) {
      at = SkipSequence(text, at);
    } else {
      plain += text[at++];
    }
  }
  return plain;
}

void LineSplitter::Add(std::string_view bytes) {
  if (!on_line_) return;
  for (char byte : bytes) {
    if (byte == '\n') {
      if (!after_return_) Emit();
      after_return_ = false;
    } else if (byte == '\r') {
      if (!line_.empty()) {
        Emit();
        after_return_ = true;
      }
    } else {
      after_return_ = false;
      line_ += byte;
      if (line_.size() >= kLongestLine) Emit();
    }
  }
}

void LineSplitter::Finish() {
  if (on_line_ && !line_.empty()) Emit();
}

void LineSplitter::Emit() {
  on_line_(WithoutAnsiCodes(line_));
  line_.clear();
}

}  // namespace npufleet::host
