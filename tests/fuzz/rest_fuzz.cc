// SPDX-License-Identifier: Apache-2.0
//
// Requests to the REST view: each answer is well-formed, and without the token there is no answer.
#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "common/tls/keys.h"
#include "controller/api/rest.h"
#include "tests/controller/api/fakes.h"
#include "tests/fuzz/require.h"

using namespace npufleet;

namespace {

constexpr char kBearer[] = "bbbb";

struct Server {
  Server() {
    view.SetRollout("alpha", 1);
    view.SetRollout("beta", 2);
    view.nodes.add_nodes()->set_name("node-a");
    for (int i = 0; i < 5; ++i) view.AddEvent("alpha", "something");
    Require(store->AddBearer(tls::Sha256Hex(kBearer), {"web", "viewer"}, absl::Now()).ok());
  }
  api::FakeView view;
  tls::CertificateAuthority authority = tls::CertificateAuthority::Create("fleet").value();
  std::unique_ptr<store::NodeStore> store = store::NodeStore::Open(":memory:", true).value();
  api::Enrolment enrolment{*store, authority, Clock::Real(), nullptr};
  api::Rest rest{view, *store, &enrolment};
};

}  // namespace

// Lines: method, path, If-None-Match, then parameters NAME=VALUE up to an empty line; the rest is
// the body.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static Server* const server = new Server;
  const std::string text(reinterpret_cast<const char*>(data), size);
  const std::pair<std::string, std::string> parts =
      absl::StrSplit(text, absl::MaxSplits("\n\n", 1));
  const std::vector<std::string> lines = absl::StrSplit(parts.first, '\n');
  api::RestRequest request;
  request.method = lines[0];
  request.path = lines.size() > 1 ? lines[1] : "";
  request.if_none_match = lines.size() > 2 ? lines[2] : "";
  for (size_t i = 3; i < lines.size(); ++i) {
    request.parameters.insert(absl::StrSplit(lines[i], absl::MaxSplits('=', 1)));
  }
  request.body = parts.second;
  for (const bool known : {true, false}) {
    request.authorization = known ? std::string("Bearer ") + kBearer : request.if_none_match;
    const api::RestAnswer answer = server->rest.Handle(request);
    Require(answer.status >= 200 && answer.status < 600 && answer.status != 500);
    const bool is_json = !answer.body.empty() && answer.content_type == "application/json";
    if (is_json) Require(nlohmann::json::accept(answer.body));
    if (!known && absl::StartsWith(request.path, "/api/v1/") &&
        request.authorization != std::string("Bearer ") + kBearer) {
      Require(answer.status >= 400);
    }
  }
  return 0;
}
