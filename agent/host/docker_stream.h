// SPDX-License-Identifier: Apache-2.0
//
// The two streams of the Docker Engine API: frames of an exec without a terminal, and one JSON
// object after the other. One thread at a time.
#ifndef AGENT_HOST_DOCKER_STREAM_H_
#define AGENT_HOST_DOCKER_STREAM_H_

#include <functional>
#include <string>
#include <string_view>

#include "agent/host/json.h"

namespace npufleet::host {

// Frames: one byte stream (1 stdout, 2 stderr), three zero bytes, the length as 32 bits big endian,
// that many bytes.
class FrameDecoder {
 public:
  using OnBytes = std::function<void(int stream, std::string_view bytes)>;
  explicit FrameDecoder(OnBytes on_bytes) : on_bytes_(std::move(on_bytes)) {}
  void Add(std::string_view bytes);

 private:
  OnBytes on_bytes_;
  std::string header_;
  int stream_ = 1;
  size_t left_ = 0;  // bytes of the present frame that are still to come
};

// Objects separated by line ends, as load, pull and events write them. What is not JSON is dropped.
class JsonLines {
 public:
  using OnObject = std::function<void(const Json&)>;
  explicit JsonLines(OnObject on_object) : on_object_(std::move(on_object)) {}
  void Add(std::string_view bytes);
  void Finish();  // the last object may have no line end

 private:
  void Take(std::string_view line);

  OnObject on_object_;
  std::string rest_;
};

}  // namespace npufleet::host

#endif  // AGENT_HOST_DOCKER_STREAM_H_
