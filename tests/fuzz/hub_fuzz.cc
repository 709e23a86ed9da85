// SPDX-License-Identifier: Apache-2.0
//
// What a model hub answers, and the manifest of a model's folder.
#include "agent/artifacts/fetch.h"
#include "agent/artifacts/hub.h"
#include "agent/artifacts/manifest.h"
#include "tests/fakes/fake_host.h"
#include "tests/fuzz/require.h"

using namespace npufleet;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static fakes::FakeHost* const node = new fakes::FakeHost;
  const std::string text(reinterpret_cast<const char*>(data), size);
  // The first line is a header that turns the page, as Hugging Face does.
  const size_t end = std::min(text.find('\n'), size);
  node->http().On("GET", "http://hub/", 200, text.substr(std::min(end + 1, size)),
                  {{"link", text.substr(0, end)}});
  v1::Model::Hub hub;
  hub.set_id("Qwen/Qwen3-235B-A22B");
  hub.set_endpoint("http://hub");
  for (const auto kind : {artifacts::HubKind::kModelScope, artifacts::HubKind::kHuggingFace}) {
    const auto files = artifacts::ListHubFiles(node->host(), kind, hub, nullptr);
    if (!files.ok()) continue;
    for (const artifacts::HubFile& file : *files) {
      Require(!file.path.empty() && file.path[0] != '/');
      Require(file.path.find("..") != 0 && file.path.find("/../") == std::string::npos);
    }
  }
  Require(node->files().Write("/model/.npufleet-manifest.json", text).ok());
  if (const auto manifest = artifacts::ReadManifest(node->files(), "/model"); manifest.ok()) {
    manifest->Digest();
    manifest->TotalBytes();
  }
  artifacts::ShownUrl(text);
  return 0;
}
