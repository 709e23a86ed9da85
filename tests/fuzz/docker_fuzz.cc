// SPDX-License-Identifier: Apache-2.0
//
// What the Docker Engine API answers: documents, streams of objects, frames of an exec.
#include "agent/host/docker_json.h"
#include "agent/host/docker_stream.h"
#include "tests/fuzz/require.h"

using namespace npufleet;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const host::Json json = host::ParseJson(text);
  host::InfoFromJson(json);
  host::ImageFromJson(json);
  host::ContainerFromJson(json);
  host::EnvironmentMap(json);
  if (!json.is_discarded()) host::WriteJson(json);
  const host::ImageReference reference = host::ParseImageReference(text);
  Require(reference.name.size() <= size);

  // Streams give the same however they are cut.
  const auto objects = [&](size_t piece) {
    std::string said;
    host::JsonLines lines([&](const host::Json& object) {
      said += host::LineOfMessage(object) + "\n" + host::ErrorOfMessage(object) + "\n";
    });
    for (size_t at = 0; at < size; at += piece) lines.Add(text.substr(at, piece));
    lines.Finish();
    return said;
  };
  Require(objects(size + 1) == objects(1));
  const auto frames = [&](size_t piece) {
    std::string out;
    size_t bytes = 0;
    host::FrameDecoder decoder([&](int stream, std::string_view part) {
      bytes += part.size();
      for (const char c : part) out += static_cast<char>('0' + (stream & 7)), out += c;
    });
    for (size_t at = 0; at < size; at += piece) decoder.Add(text.substr(at, piece));
    Require(bytes <= size);
    return out;
  };
  Require(frames(size + 1) == frames(1));
  return 0;
}
