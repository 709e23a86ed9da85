// SPDX-License-Identifier: Apache-2.0
//
// The REST view: read only, and the two requests of a joining node. Here is what is answered;
// rest_server.h is how it is served.
//
//   GET  /healthz, /readyz                        open
//   GET  /join/ca, POST /join, POST /join/renew   open (common/tls/join_token.h)
//   GET  /api/v1/nodes | npus | deployments | rollouts | rollouts/ID | rollouts/ID/tasks
//              lists: ?pageSize= (default 100, 1 to 1000) and ?pageToken= (nextPageToken of the
//              page before)
//   GET  /api/v1/events                           ?after=ID (the last one seen), pageSize, rollout;
//                                                 "next" is the cursor for the next call
//
// /api needs "Authorization: Bearer TOKEN". Messages are written by protobuf's JSON mapping, so 64
// bit numbers are strings. Each answer to a GET has an ETag; If-None-Match gets 304. Errors are
// {"error":{"code":404,"status":"NOT_FOUND","message":"…"}}.
#ifndef CONTROLLER_API_REST_H_
#define CONTROLLER_API_REST_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "controller/api/enrolment.h"
#include "controller/runtime/view.h"
#include "controller/store/node_store.h"

namespace npufleet::api {

struct RestRequest {
  std::string method = "GET";
  std::string path;  // decoded, without the query
  std::multimap<std::string, std::string> parameters;
  std::string authorization;  // header, empty when missing
  std::string if_none_match;  // header, empty when missing
  std::string body;
};

struct RestAnswer {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::map<std::string, std::string> headers;
};

// HTTP's number for a code of ours: NotFound 404, InvalidArgument 400, Unavailable 503, …
int HttpStatusOf(absl::StatusCode code);
RestAnswer ErrorAnswer(int http_status, const std::string& name, const std::string& message);
RestAnswer ErrorAnswer(const absl::Status& status);

// Threadsafe. What is injected outlives it.
class Rest {
 public:
  // Without `enrolment` (plain HTTP on loopback) there is no /join: it would have nothing to pin.
  Rest(runtime::View& view, store::NodeStore& nodes, Enrolment* enrolment)
      : view_(view), nodes_(nodes), enrolment_(enrolment) {}

  RestAnswer Handle(const RestRequest& request);

 private:
  absl::StatusOr<RestAnswer> Get(const RestRequest& request);
  absl::StatusOr<RestAnswer> Post(const RestRequest& request);
  // `path` is split, without /api/v1.
  absl::StatusOr<std::string> Resource(const std::vector<std::string>& path,
                                       const RestRequest& request);
  absl::StatusOr<std::string> Events(const RestRequest& request);
  absl::Status CheckBearer(const std::string& authorization);

  runtime::View& view_;
  store::NodeStore& nodes_;
  Enrolment* const enrolment_;
};

}  // namespace npufleet::api

#endif  // CONTROLLER_API_REST_H_
