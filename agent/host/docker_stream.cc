// SPDX-License-Identifier: Apache-2.0
#include "agent/host/docker_stream.h"

#include <algorithm>

namespace npufleet::host {
namespace {

constexpr size_t kHeaderSize = 8;
constexpr size_t kLongestObject = 16 << 20;

}  // namespace

void FrameDecoder::Add(std::string_view bytes) {
  while (!bytes.empty()) {
    if (left_ == 0) {
      const size_t taken = std::min(kHeaderSize - header_.size(), bytes.size());
      header_.append(bytes.substr(0, taken));
      bytes.remove_prefix(taken);
      if (header_.size() < kHeaderSize) return;
      stream_ = header_[0];
      for (size_t at = 4; at < kHeaderSize; ++at) {
        left_ = left_ << 8 | static_cast<unsigned char>(header_[at]);
      }
      header_.clear();
      continue;
    }
    const size_t taken = std::min(left_, bytes.size());
    on_bytes_(stream_, bytes.substr(0, taken));
    bytes.remove_prefix(taken);
    left_ -= taken;
  }
}

void JsonLines::Add(std::string_view bytes) {
  for (size_t end; (end = bytes.find('\n')) != std::string_view::npos;) {
    rest_.append(bytes.substr(0, end));
    bytes.remove_prefix(end + 1);
    Take(rest_);
    rest_.clear();
  }
  if (rest_.size() + bytes.size() <= kLongestObject) rest_.append(bytes);
}

void JsonLines::Finish() {
  Take(rest_);
  rest_.clear();
}

void JsonLines::Take(std::string_view line) {
  const Json object = ParseJson(line);
  if (object.is_object()) on_object_(object);
}

}  // namespace npufleet::host
