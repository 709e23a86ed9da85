// SPDX-License-Identifier: Apache-2.0
#include "agent/artifacts/hub.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "agent/artifacts/fetch.h"
#include "agent/artifacts/git_blob.h"
#include "agent/artifacts/secret_file.h"
#include "agent/host/json.h"
#include "common/failure.h"
#include "common/status_macros.h"

namespace npufleet::artifacts {
namespace {

constexpr int kAttempts = 3;
constexpr absl::Duration kMaxRetryAfter = absl::Minutes(2);
constexpr absl::Duration kSlice = absl::Milliseconds(200);
constexpr size_t kMostFolders = 10000;
// Of 1000 files each; a hub whose pages lead in a circle would be asked for ever.
constexpr int kMostPages = 1000;

std::string Encode(const std::string& text, bool keep_slashes) {
  constexpr char kHex[] = "0123456789ABCDEF";
  std::string encoded;
  for (unsigned char byte : text) {
    if (absl::ascii_isalnum(byte) || absl::StrContains("-_.~", std::string(1, byte)) ||
        (keep_slashes && byte == '/')) {
      encoded += static_cast<char>(byte);
    } else {
      encoded += '%';
      encoded += kHex[byte >> 4];
      encoded += kHex[byte & 15];
    }
  }
  return encoded;
}

std::string EndpointOf(HubKind kind, const v1::Model::Hub& hub) {
  std::string endpoint = hub.endpoint();
  if (endpoint.empty()) {
    endpoint = kind == HubKind::kModelScope    ? "https://www.modelscope.cn"
               : kind == HubKind::kHuggingFace ? "https://huggingface.co"
                                               : "https://modelers.cn";
  }
  while (!endpoint.empty() && endpoint.back() == '/') endpoint.pop_back();
  return endpoint;
}

std::string RevisionOf(HubKind kind, const v1::Model::Hub& hub) {
  if (!hub.revision().empty()) return hub.revision();
  return kind == HubKind::kModelScope ? "master" : "main";
}

// A hub must not make us write outside the model's folder.
bool IsSafe(const std::string& path) {
  if (path.empty() || path[0] == '/' || absl::StrContains(path, '\0')) return false;
  for (absl::string_view part : absl::StrSplit(path, '/')) {
    if (part.empty() || part == "." || part == "..") return false;
  }
  return true;
}

bool IsOfGitOnly(const std::string& path) {
  return path == ".gitattributes" || path == ".gitignore";
}

absl::Status FailureOfStatus(const v1::Model::Hub& hub, const std::string& endpoint,
                             const host::HttpResponse& response) {
  const std::string symptom =
      absl::StrCat(ShownUrl(endpoint), " answers HTTP ", response.status, " for model ", hub.id());
  if (response.status == 429 || response.status == 408 || response.status >= 500) {
    return FailureStatus(v1::Failure::TRANSIENT, symptom, "the hub is busy: it is asked again");
  }
  if (response.status == 401 || response.status == 403) {
    return FailureStatus(
        v1::Failure::CONFIG, symptom,
        hub.token_file().empty()
            ? "the model needs a token with access to it: set tokenFile in the spec"
            : absl::StrCat("the hub refuses the token in ", hub.token_file(),
                           ": is it right, not expired, and has its owner access to the model?"));
  }
  return FailureStatus(v1::Failure::CONFIG, symptom,
                       "no such model or revision: correct the id or the endpoint in the spec");
}

bool IsHtml(const host::HttpResponse& response) {
  const auto type = response.headers.find("content-type");
  return type != response.headers.end() &&
         absl::StartsWith(absl::AsciiStrToLower(type->second), "text/html");
}

// How long a busy hub asks to be left alone; zero when it does not say, or asks for too much.
absl::Duration RetryAfter(const host::HttpResponse& response) {
  const auto header = response.headers.find("retry-after");
  int seconds = 0;
  if ((response.status != 429 && response.status != 503) || header == response.headers.end() ||
      !absl::SimpleAtoi(header->second, &seconds)) {
    return absl::ZeroDuration();
  }
  const absl::Duration wait = absl::Seconds(std::max(seconds, 0));
  return wait <= kMaxRetryAfter ? wait : absl::ZeroDuration();
}

class Listing {
 public:
  Listing(host::Host& host, HubKind kind, const v1::Model::Hub& hub,
          const host::Cancelled& cancelled)
      : host_(host),
        kind_(kind),
        hub_(hub),
        cancelled_(cancelled),
        endpoint_(EndpointOf(kind, hub)),
        revision_(RevisionOf(kind, hub)) {}

  absl::StatusOr<std::vector<HubFile>> Run();

 private:
  absl::StatusOr<host::HttpResponse> Get(const std::string& url);
  absl::StatusOr<host::HttpResponse> Send(const std::string& url);
  absl::Status ListModelScope();
  absl::Status ListHuggingFace();
  absl::Status ListModelers();
  absl::Status Add(HubFile file);
  absl::Status IsNoHub() const {
    return FailureStatus(
        v1::Failure::CONFIG,
        absl::StrCat(ShownUrl(endpoint_), " answers an HTML page, not the list of files of model ",
                     hub_.id()),
        "the endpoint leads to a login or error page: correct it, or the proxy of the node");
  }
  absl::Status Unreadable() const {
    return FailureStatus(
        v1::Failure::TRANSIENT,
        absl::StrCat(ShownUrl(endpoint_), " answers no list of files for model ", hub_.id()),
        "is the endpoint that of a hub of this kind?");
  }

  host::Host& host_;
  const HubKind kind_;
  const v1::Model::Hub& hub_;
  const host::Cancelled& cancelled_;
  const std::string endpoint_, revision_;
  std::map<std::string, std::string> headers_;
  std::vector<HubFile> files_;
};

absl::StatusOr<host::HttpResponse> Listing::Get(const std::string& url) {
  for (int asked = 1;; ++asked) {
    ASSIGN_OR_RETURN(host::HttpResponse response, Send(url));
    if (response.status == 200 && IsHtml(response)) return IsNoHub();
    if (response.status == 200) return response;
    const absl::Duration wait = RetryAfter(response);
    if (wait == absl::ZeroDuration() || asked == kAttempts) {
      return FailureOfStatus(hub_, endpoint_, response);
    }
    for (absl::Duration left = wait; left > absl::ZeroDuration(); left -= kSlice) {
      if (cancelled_ && cancelled_()) return absl::CancelledError("listing a model: cancelled");
      host_.clock->Sleep(std::min(left, kSlice));
    }
  }
}

absl::StatusOr<host::HttpResponse> Listing::Send(const std::string& url) {
  host::HttpRequest request;
  request.url = url;
  request.headers = headers_;
  request.deadline = absl::Minutes(2);
  request.cancelled = cancelled_;
  absl::StatusOr<host::HttpResponse> response = host_.http->Send(request);
  if (absl::IsUnavailable(response.status()) || absl::IsDeadlineExceeded(response.status())) {
    return FailureStatus(
        v1::Failure::TRANSIENT,
        absl::StrCat("listing model ", hub_.id(), ": ", response.status().message()),
        "the hub does not answer: it is asked again");
  }
  return response;
}

absl::Status Listing::Add(HubFile file) {
  if (!IsSafe(file.path)) {
    return FailureStatus(v1::Failure::CONFIG,
                         absl::StrCat("model ", hub_.id(), " lists the file \"", file.path,
                                      "\", which is outside its folder"),
                         "do not use this model");
  }
  if (!IsOfGitOnly(file.path)) files_.push_back(std::move(file));
  return absl::OkStatus();
}

absl::Status Listing::ListModelScope() {
  const std::string repository =
      absl::StrCat(endpoint_, "/api/v1/models/", Encode(hub_.id(), true), "/repo");
  const std::string revision = Encode(revision_, false);
  ASSIGN_OR_RETURN(const host::HttpResponse response,
                   Get(absl::StrCat(repository, "/files?Revision=", revision, "&Recursive=True")));
  const host::Json json = host::ParseJson(response.body);
  const host::Json& list = host::Member(host::Member(json, "Data"), "Files");
  if (!list.is_array()) return Unreadable();
  for (const host::Json& entry : list) {
    if (host::TextOf(entry, "Type") == "tree") continue;
    HubFile file;
    file.path = host::TextOf(entry, "Path");
    file.size_bytes = static_cast<uint64_t>(host::NumberOf(entry, "Size"));
    file.sha256 = absl::AsciiStrToLower(host::TextOf(entry, "Sha256"));
    file.url =
        absl::StrCat(repository, "?Revision=", revision, "&FilePath=", Encode(file.path, false));
    RETURN_IF_ERROR(Add(std::move(file)));
  }
  return absl::OkStatus();
}

// The URL of `Link: <URL>; rel="next"`, or empty.
std::string NextPage(const host::HttpResponse& response) {
  auto found = response.headers.find("link");
  if (found == response.headers.end()) return "";
  for (const std::string& link : std::vector<std::string>(absl::StrSplit(found->second, ','))) {
    const size_t open = link.find('<');
    const size_t close = link.find('>');
    if (absl::StrContains(link, "rel=\"next\"") && open < close && close != std::string::npos) {
      return link.substr(open + 1, close - open - 1);
    }
  }
  return "";
}

absl::Status Listing::ListHuggingFace() {
  const std::string id = Encode(hub_.id(), true);
  const std::string revision = Encode(revision_, false);
  std::string page =
      absl::StrCat(endpoint_, "/api/models/", id, "/tree/", revision, "?recursive=true");
  for (int pages = 1; !page.empty(); ++pages) {
    ASSIGN_OR_RETURN(const host::HttpResponse response, Get(page));
    const host::Json list = host::ParseJson(response.body);
    if (!list.is_array()) return Unreadable();
    for (const host::Json& entry : list) {
      if (host::TextOf(entry, "type") != "file") continue;
      HubFile file;
      file.path = host::TextOf(entry, "path");
      file.size_bytes = static_cast<uint64_t>(host::NumberOf(entry, "size"));
      file.sha256 = host::TextOf(host::Member(entry, "lfs"), "oid");
      // Of a file in LFS it would be the id of the pointer.
      const std::string blob = absl::AsciiStrToLower(host::TextOf(entry, "oid"));
      if (file.sha256.empty() && IsGitBlobId(blob)) file.git_blob = blob;
      file.url =
          absl::StrCat(endpoint_, "/", id, "/resolve/", revision, "/", Encode(file.path, true));
      RETURN_IF_ERROR(Add(std::move(file)));
    }
    std::string next = NextPage(response);
    // The token goes to the endpoint alone, and the list has an end.
    if (!next.empty() && (!absl::StartsWith(next, endpoint_ + "/") || pages == kMostPages)) {
      return Unreadable();
    }
    page = std::move(next);
  }
  return absl::OkStatus();
}

absl::Status Listing::ListModelers() {
  const std::string repository = absl::StrCat(endpoint_, "/api/v1/file/", Encode(hub_.id(), true));
  const std::string revision = Encode(revision_, false);
  std::vector<std::string> folders = {""};
  for (size_t at = 0; at < folders.size(); ++at) {
    ASSIGN_OR_RETURN(
        const host::HttpResponse response,
        Get(absl::StrCat(repository, "?path=", Encode(folders[at], false), "&ref=", revision)));
    const host::Json json = host::ParseJson(response.body);
    const host::Json& tree = host::Member(host::Member(json, "data"), "tree");
    if (!tree.is_array() || folders.size() > kMostFolders) return Unreadable();
    for (const host::Json& entry : tree) {
      HubFile file;
      file.path = host::TextOf(entry, "path");
      if (host::TextOf(entry, "type") == "dir") {
        if (!IsSafe(file.path)) return Unreadable();
        folders.push_back(file.path);
        continue;
      }
      file.size_bytes = static_cast<uint64_t>(host::NumberOf(entry, "size"));
      if (host::TruthOf(entry, "is_lfs")) file.sha256 = host::TextOf(entry, "etag");
      file.url = absl::StrCat(repository, "/", revision, "/media/", Encode(file.path, true));
      RETURN_IF_ERROR(Add(std::move(file)));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<HubFile>> Listing::Run() {
  ASSIGN_OR_RETURN(headers_, HubHeaders(host_, hub_));
  RETURN_IF_ERROR(kind_ == HubKind::kModelScope    ? ListModelScope()
                  : kind_ == HubKind::kHuggingFace ? ListHuggingFace()
                                                   : ListModelers());
  if (files_.empty()) {
    return FailureStatus(v1::Failure::CONFIG,
                         absl::StrCat("model ", hub_.id(), " has no files at revision ", revision_),
                         "correct the id or the revision in the spec");
  }
  std::sort(files_.begin(), files_.end(),
            [](const HubFile& a, const HubFile& b) { return a.path < b.path; });
  return std::move(files_);
}

}  // namespace

absl::StatusOr<std::map<std::string, std::string>> HubHeaders(host::Host& host,
                                                              const v1::Model::Hub& hub) {
  std::map<std::string, std::string> headers;
  const std::string& path = hub.token_file();
  if (path.empty()) return headers;
  ASSIGN_OR_RETURN(const std::string text, ReadSecretFile(host, path, "the hub's token"));
  const std::string token(absl::StripAsciiWhitespace(text));
  headers["Authorization"] = absl::StrCat("Bearer ", token);
  return headers;
}

absl::StatusOr<std::vector<HubFile>> ListHubFiles(host::Host& host, HubKind kind,
                                                  const v1::Model::Hub& hub,
                                                  const host::Cancelled& cancelled) {
  return Listing(host, kind, hub, cancelled).Run();
}

}  // namespace npufleet::artifacts
