// SPDX-License-Identifier: Apache-2.0
#include "controller/api/rest.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/status_macros.h"
#include "common/tls/keys.h"
#include "controller/api/listing.h"

namespace npufleet::api {
namespace {

constexpr char kResources[] =
    "/api/v1/{nodes,npus,deployments,rollouts,rollouts/ID,rollouts/ID/tasks,events}";

RestAnswer Ok(std::string body, std::string content_type = "application/json") {
  return {200, std::move(content_type), std::move(body), {}};
}

// Each parameter once, and only those that the path takes.
absl::Status CheckParameters(const RestRequest& request, const std::vector<std::string>& known) {
  for (const auto& [name, value] : request.parameters) {
    if (std::find(known.begin(), known.end(), name) == known.end()) {
      return absl::InvalidArgumentError(
          absl::StrCat("unknown parameter \"", name, "\"; ", request.path, " takes ",
                       known.empty() ? "none" : absl::StrJoin(known, ", ")));
    }
    if (request.parameters.count(name) > 1) {
      return absl::InvalidArgumentError(absl::StrCat("parameter \"", name, "\" is given twice"));
    }
  }
  return absl::OkStatus();
}

std::string Parameter(const RestRequest& request, const std::string& name) {
  const auto found = request.parameters.find(name);
  return found == request.parameters.end() ? "" : found->second;
}

absl::StatusOr<uint32_t> PageSize(const RestRequest& request) {
  if (request.parameters.count("pageSize") == 0) return kDefaultPageSize;
  const std::string text = Parameter(request, "pageSize");
  uint32_t size = 0;
  if (!absl::SimpleAtoi(text, &size) || size < 1 || size > kLargestPageSize) {
    return absl::InvalidArgumentError(
        absl::StrCat("pageSize \"", text, "\" is not a number from 1 to ", kLargestPageSize));
  }
  return size;
}

bool Matches(const std::string& if_none_match, const std::string& etag) {
  for (absl::string_view part : absl::StrSplit(if_none_match, ',')) {
    part = absl::StripAsciiWhitespace(part);
    absl::ConsumePrefix(&part, "W/");
    if (part == "*" || part == etag) return true;
  }
  return false;
}

absl::StatusOr<std::string> TextField(const Json& body, const char* name) {
  const auto field = body.find(name);
  if (field == body.end() || !field->is_string()) {
    return absl::InvalidArgumentError(absl::StrCat("the body has no text \"", name, "\""));
  }
  return field->get<std::string>();
}

}  // namespace

int HttpStatusOf(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kOk:
      return 200;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kOutOfRange:
      return 400;
    case absl::StatusCode::kUnauthenticated:
      return 401;
    case absl::StatusCode::kPermissionDenied:
      return 403;
    case absl::StatusCode::kNotFound:
      return 404;
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kAlreadyExists:
      return 409;
    case absl::StatusCode::kResourceExhausted:
      return 429;
    case absl::StatusCode::kUnimplemented:
      return 501;
    case absl::StatusCode::kUnavailable:
      return 503;
    case absl::StatusCode::kDeadlineExceeded:
      return 504;
    default:
      return 500;
  }
}

RestAnswer ErrorAnswer(int http_status, const std::string& name, const std::string& message) {
  const Json body = {{"error", {{"code", http_status}, {"status", name}, {"message", message}}}};
  RestAnswer answer;
  answer.status = http_status;
  // A message may quote what was sent, which need not be UTF-8.
  answer.body = body.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (http_status == 401) answer.headers["WWW-Authenticate"] = "Bearer";
  return answer;
}

RestAnswer ErrorAnswer(const absl::Status& status) {
  return ErrorAnswer(HttpStatusOf(status.code()), absl::StatusCodeToString(status.code()),
                     std::string(status.message()));
}

RestAnswer Rest::Handle(const RestRequest& request) {
  const bool is_join =
      enrolment_ != nullptr && (request.path == "/join" || request.path == "/join/renew");
  const bool reads = request.method == "GET" || request.method == "HEAD";
  if (is_join ? request.method != "POST" : !reads) {
    const char* allowed = is_join ? "POST" : "GET, HEAD";
    RestAnswer answer =
        ErrorAnswer(405, "METHOD_NOT_ALLOWED", absl::StrCat(request.path, " takes only ", allowed));
    answer.headers["Allow"] = allowed;
    return answer;
  }
  absl::StatusOr<RestAnswer> answer = is_join ? Post(request) : Get(request);
  if (!answer.ok()) return ErrorAnswer(answer.status());
  if (!reads) return *std::move(answer);
  const std::string etag = absl::StrCat("\"", tls::Sha256Hex(answer->body).substr(0, 32), "\"");
  answer->headers["ETag"] = etag;
  answer->headers["Cache-Control"] = "no-cache";
  if (Matches(request.if_none_match, etag)) {
    answer->status = 304;
    answer->body.clear();
  }
  return *std::move(answer);
}

absl::StatusOr<RestAnswer> Rest::Get(const RestRequest& request) {
  const std::vector<std::string> path = absl::StrSplit(absl::StripPrefix(request.path, "/"), '/');
  if (path.size() > 2 && path[0] == "api" && path[1] == "v1") {
    RETURN_IF_ERROR(CheckBearer(request.authorization));
    ASSIGN_OR_RETURN(std::string body, Resource({path.begin() + 2, path.end()}, request));
    return Ok(std::move(body));
  }
  if (request.path == "/healthz" || request.path == "/readyz") {
    RETURN_IF_ERROR(CheckParameters(request, {}));
    if (request.path == "/readyz") {
      if (absl::Status ready = view_.Ready(); !ready.ok()) {
        return ErrorAnswer(503, "UNAVAILABLE", std::string(ready.message()));
      }
    }
    return Ok(R"({"status":"ok"})");
  }
  if (request.path == "/join/ca" && enrolment_ != nullptr) {
    return Ok(enrolment_->ca_pem(), "application/x-pem-file");
  }
  return absl::NotFoundError(
      absl::StrCat("there is no ", request.path, "; there is /healthz, /readyz, ", kResources));
}

absl::StatusOr<std::string> Rest::Resource(const std::vector<std::string>& path,
                                           const RestRequest& request) {
  if (path.size() == 1 && path[0] == "events") return Events(request);
  if (path.size() == 2 && path[0] == "rollouts") {
    RETURN_IF_ERROR(CheckParameters(request, {}));
    ASSIGN_OR_RETURN(const v1::Rollout rollout, view_.GetRollout(path[1]));
    ASSIGN_OR_RETURN(const Json body, ToJson(rollout));
    return body.dump();
  }
  absl::StatusOr<std::vector<Item>> (*list)(runtime::View&) = nullptr;
  if (path.size() == 1) {
    if (path[0] == "nodes") list = NodeItems;
    if (path[0] == "npus") list = NpuItems;
    if (path[0] == "deployments") list = DeploymentItems;
    if (path[0] == "rollouts") list = RolloutItems;
  }
  const bool is_tasks = path.size() == 3 && path[0] == "rollouts" && path[2] == "tasks";
  if (list == nullptr && !is_tasks) {
    return absl::NotFoundError(
        absl::StrCat("there is no ", request.path, "; there is ", kResources));
  }
  RETURN_IF_ERROR(CheckParameters(request, {"pageSize", "pageToken"}));
  ASSIGN_OR_RETURN(const uint32_t page_size, PageSize(request));
  ASSIGN_OR_RETURN(const std::vector<Item> items,
                   is_tasks ? TaskItems(view_, path[1]) : list(view_));
  ASSIGN_OR_RETURN(const Json body, Page(is_tasks ? "tasks" : path[0], items, page_size,
                                         Parameter(request, "pageToken")));
  return body.dump();
}

absl::StatusOr<std::string> Rest::Events(const RestRequest& request) {
  RETURN_IF_ERROR(CheckParameters(request, {"after", "pageSize", "rollout"}));
  v1::ListEventsRequest query;
  ASSIGN_OR_RETURN(const uint32_t page_size, PageSize(request));
  query.set_page_size(page_size);
  query.set_rollout(Parameter(request, "rollout"));
  uint64_t after = 0;
  if (request.parameters.count("after") > 0) {
    const std::string text = Parameter(request, "after");
    if (!absl::SimpleAtoi(text, &after)) {
      return absl::InvalidArgumentError(
          absl::StrCat("after \"", text, "\" is not the id of an event"));
    }
  }
  query.set_after(after);
  ASSIGN_OR_RETURN(const v1::ListEventsReply reply, view_.ListEvents(query));
  ASSIGN_OR_RETURN(const Json body, ToJson(reply));
  return body.dump();
}

absl::StatusOr<RestAnswer> Rest::Post(const RestRequest& request) {
  const Json body = Json::parse(request.body, nullptr, /*allow_exceptions=*/false);
  if (!body.is_object()) return absl::InvalidArgumentError("the body is not a JSON object");
  ASSIGN_OR_RETURN(const std::string csr, TextField(body, "csr"));
  std::string certificate;
  if (request.path == "/join") {
    JoinRequest join;
    join.csr = csr;
    ASSIGN_OR_RETURN(join.node, TextField(body, "node"));
    ASSIGN_OR_RETURN(join.secret, TextField(body, "secret"));
    ASSIGN_OR_RETURN(join.address, TextField(body, "address"));
    ASSIGN_OR_RETURN(certificate, enrolment_->Join(join));
  } else {
    ASSIGN_OR_RETURN(const std::string present, TextField(body, "certificate"));
    ASSIGN_OR_RETURN(const std::string signature, TextField(body, "signature"));
    ASSIGN_OR_RETURN(certificate, enrolment_->Renew(present, csr, signature));
  }
  return Ok(Json{{"certificate", certificate}}.dump());
}

absl::Status Rest::CheckBearer(const std::string& authorization) {
  absl::string_view token = authorization;
  if (!absl::ConsumePrefix(&token, "Bearer ") || token.empty()) {
    return absl::UnauthenticatedError(
        "needs the header \"Authorization: Bearer TOKEN\"; make one by `npufleet-controller "
        "identity "
        "create --bearer`");
  }
  const absl::StatusOr<store::Bearer> bearer =
      nodes_.FindBearer(tls::Sha256Hex(std::string(absl::StripAsciiWhitespace(token))));
  if (absl::IsNotFound(bearer.status())) {
    return absl::UnauthenticatedError("the bearer token is not known");
  }
  return bearer.status();  // every role may read
}

}  // namespace npufleet::api
