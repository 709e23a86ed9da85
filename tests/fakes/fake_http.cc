// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "tests/fakes/fake_host.h"

namespace npufleet::fakes {
namespace {

std::string HeaderOf(const host::HttpRequest& request, const std::string& name) {
  for (const auto& [key, value] : request.headers) {
    if (absl::EqualsIgnoreCase(key, name)) return value;
  }
  return "";
}

// The first byte of "bytes=N-", or -1.
int64_t FirstByte(const std::string& range) {
  int64_t first = -1;
  if (!absl::StartsWith(range, "bytes=")) return -1;
  const std::vector<std::string> ends = absl::StrSplit(range.substr(6), '-');
  return absl::SimpleAtoi(ends[0], &first) ? first : -1;
}

host::HttpResponse FileAnswer(const host::HttpRequest& request, const std::string& body,
                              const std::string& etag, const std::string& content_type) {
  host::HttpResponse response;
  response.status = 200;
  response.headers = {{"etag", etag}, {"content-type", content_type}, {"accept-ranges", "bytes"}};
  response.body = body;
  const int64_t first = FirstByte(HeaderOf(request, "Range"));
  const std::string condition = HeaderOf(request, "If-Range");
  if (first >= 0 && (condition.empty() || condition == etag)) {
    if (first >= static_cast<int64_t>(body.size())) {
      response.status = 416;
      response.headers["content-range"] = absl::StrCat("bytes */", body.size());
      response.body.clear();
    } else {
      response.status = 206;
      response.headers["content-range"] =
          absl::StrCat("bytes ", first, "-", body.size() - 1, "/", body.size());
      response.body = body.substr(static_cast<size_t>(first));
    }
  }
  response.headers["content-length"] = absl::StrCat(response.body.size());
  if (request.method == "HEAD") response.body.clear();
  return response;
}

}  // namespace

void FakeHttp::On(const std::string& method, const std::string& url_prefix, int status,
                  std::string body, std::map<std::string, std::string> headers) {
  host::HttpResponse response;
  response.status = status;
  response.body = std::move(body);
  response.headers = std::move(headers);
  On(method, url_prefix, [response](const host::HttpRequest&) { return response; });
}

void FakeHttp::On(const std::string& method, const std::string& url_prefix, Answer answer) {
  absl::MutexLock lock(&mutex_);
  answers_[{method, url_prefix}] = std::move(answer);
}

void FakeHttp::Serve(const std::string& url, std::string body, std::string etag,
                     std::string content_type) {
  Answer answer = [body, etag, content_type](const host::HttpRequest& request) {
    return FileAnswer(request, body, etag, content_type);
  };
  On("GET", url, answer);
  On("HEAD", url, answer);
}

std::vector<host::HttpRequest> FakeHttp::Requests() const {
  absl::MutexLock lock(&mutex_);
  return requests_;
}

int FakeHttp::Count(const std::string& method, const std::string& url_prefix) const {
  absl::MutexLock lock(&mutex_);
  return static_cast<int>(
      std::count_if(requests_.begin(), requests_.end(), [&](const host::HttpRequest& request) {
        return request.method == method && absl::StartsWith(request.url, url_prefix);
      }));
}

absl::StatusOr<host::HttpResponse> FakeHttp::Send(const host::HttpRequest& request) {
  if (request.cancelled && request.cancelled()) {
    return absl::CancelledError(absl::StrCat(request.url, ": cancelled"));
  }
  Answer answer;
  {
    absl::MutexLock lock(&mutex_);
    requests_.push_back(request);
    requests_.back().on_data = nullptr;
    requests_.back().on_head = nullptr;
    requests_.back().cancelled = nullptr;
    size_t length = 0;
    for (const auto& [key, candidate] : answers_) {
      if (key.first != request.method || !absl::StartsWith(request.url, key.second)) continue;
      if (!answer || key.second.size() >= length) {
        answer = candidate;
        length = key.second.size();
      }
    }
  }
  if (!answer) {
    return absl::UnavailableError(
        absl::StrCat(request.method, " ", request.url, ": connection refused (not scripted)"));
  }
  absl::StatusOr<host::HttpResponse> response = answer(request);
  if (!response.ok()) return response;
  if (response->effective_url.empty()) response->effective_url = request.url;
  if (request.on_head && response->status < 300 && !request.on_head(*response)) {
    return absl::CancelledError(absl::StrCat(request.url, ": stopped by the receiver"));
  }
  if (request.on_data && response->status < 300) {
    const std::string body = std::move(response->body);
    response->body.clear();
    constexpr size_t kChunk = 4096;
    for (size_t at = 0; at < body.size(); at += kChunk) {
      if (!request.on_data(std::string_view(body).substr(at, kChunk))) {
        return absl::CancelledError(absl::StrCat(request.url, ": stopped by the receiver"));
      }
    }
  }
  return response;
}

}  // namespace npufleet::fakes
