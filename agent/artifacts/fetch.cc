// SPDX-License-Identifier: Apache-2.0
#include "agent/artifacts/fetch.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "agent/artifacts/git_blob.h"
#include "agent/host/json.h"
#include "common/failure.h"
#include "common/status_macros.h"

namespace npufleet::artifacts {
namespace {

constexpr int kAttempts = 5;  // in a row without a new byte
constexpr absl::Duration kFirstBackoff = absl::Seconds(1);
constexpr absl::Duration kMaxBackoff = absl::Seconds(30);
constexpr absl::Duration kMaxRetryAfter = absl::Minutes(2);

std::string Mebibytes(uint64_t bytes) {
  return absl::StrFormat("%.1f MiB", static_cast<double>(bytes) / (1 << 20));
}

absl::Status NoRoom(const host::Filesystem& filesystem, std::string_view path, uint64_t need) {
  const auto space = filesystem.Space(path);
  return FailureStatus(
      v1::Failure::NEEDS_OPERATOR,
      absl::StrCat("no room at ", std::string(path), ": needs ", Mebibytes(need), ", free ",
                   space.ok() ? Mebibytes(space->free_bytes) : "unknown"),
      absl::StrCat("free ", Mebibytes(need), " on the filesystem of ", std::string(path)));
}

std::string HeaderOf(const host::HttpResponse& response, const std::string& name) {
  auto found = response.headers.find(name);
  return found == response.headers.end() ? "" : found->second;
}

// "bytes 100-199/200" -> first 100, total 200 (0 when it is "*").
bool ParseContentRange(const std::string& text, uint64_t& first, uint64_t& total) {
  const size_t space = text.find(' ');
  const size_t dash = text.find('-');
  const size_t slash = text.find('/');
  if (space == std::string::npos || dash == std::string::npos || slash == std::string::npos ||
      dash < space || slash < dash) {
    return false;
  }
  if (!absl::SimpleAtoi(text.substr(slash + 1), &total)) total = 0;
  return absl::SimpleAtoi(text.substr(space + 1, dash - space - 1), &first);
}

// One file on its way from its URL to its place.
class Fetch {
 public:
  Fetch(host::Host& host, const FileRequest& request, std::string_view target,
        const FetchCallbacks& callbacks)
      : host_(host),
        files_(*host.filesystem),
        request_(request),
        callbacks_(callbacks),
        target_(target),
        part_(target_ + ".part"),
        record_(target_ + ".part.json"),
        url_(ShownUrl(request.url)) {}

  absl::Status Run();

 private:
  // What the attempts of one download have in common.
  struct Outcome {
    absl::Status status;  // OK: the part is complete
    bool retry = false;
    absl::Duration wait = absl::ZeroDuration();  // asked for by the server
  };

  const std::string& WantedDigest() const {
    return request_.sha256.empty() ? request_.git_blob : request_.sha256;
  }
  absl::StatusOr<std::string> DigestOf(const std::string& path) const {
    return request_.sha256.empty() ? GitBlobId(files_, path) : files_.Sha256(path);
  }
  bool TargetIsRight();
  void ReadRecord();
  absl::Status Download();
  Outcome Attempt();
  bool OnHead(const host::HttpResponse& response, uint64_t offset);
  bool OnData(std::string_view bytes);
  Outcome Judge(const absl::StatusOr<host::HttpResponse>& response);
  Outcome JudgeStatus(const host::HttpResponse& response);
  absl::Status Wait(absl::Duration duration);
  absl::Status Verify();
  absl::Status StartAgain();
  void Log(const std::string& line) {
    if (callbacks_.log) callbacks_.log(line);
  }
  bool IsCancelled() const { return callbacks_.cancelled && callbacks_.cancelled(); }

  host::Host& host_;
  host::Filesystem& files_;
  const FileRequest& request_;
  const FetchCallbacks& callbacks_;
  const std::string target_, part_, record_, url_;
  std::unique_ptr<host::AppendFile> file_;
  std::string validator_;  // ETag or Last-Modified of what the part is of
  uint64_t total_ = 0;     // 0: not known
  uint64_t furthest_ = 0;  // largest size that the part ever had
  bool resumed_ = false;
  std::string wrong_digest_;  // of a whole file that was not the wanted one
  absl::Status stopped_;      // why a callback of ours ended the transfer
};

bool Fetch::TargetIsRight() {
  const auto info = files_.Stat(target_);
  if (!info.ok() || info->is_directory) return false;
  if (request_.size_bytes != 0 && info->size_bytes != request_.size_bytes) return false;
  if (WantedDigest().empty()) return request_.size_bytes != 0;
  return DigestOf(target_).value_or("") == WantedDigest();
}

// A part whose record does not fit this request is of something else.
void Fetch::ReadRecord() {
  const host::Json record = host::ParseJson(files_.Read(record_).value_or(""));
  const bool fits =
      host::TextOf(record, "url") == url_ && host::TextOf(record, "sha256") == request_.sha256;
  validator_ = fits ? host::TextOf(record, "validator") : "";
  total_ = fits ? static_cast<uint64_t>(host::NumberOf(record, "size")) : 0;
  // Without a validator only a digest can tell afterwards that both halves were of one file.
  if (!fits || (validator_.empty() && WantedDigest().empty())) {
    files_.Remove(part_).IgnoreError();
  }
}

absl::Status Fetch::StartAgain() {
  validator_.clear();
  total_ = 0;
  resumed_ = false;
  return file_->Truncate(0);
}

bool Fetch::OnHead(const host::HttpResponse& response, uint64_t offset) {
  const std::string type = absl::AsciiStrToLower(HeaderOf(response, "content-type"));
  if (absl::StartsWith(type, "text/html") && !absl::EndsWith(target_, ".html")) {
    stopped_ =
        FailureStatus(v1::Failure::CONFIG, absl::StrCat(url_, " answers an HTML page, not a file"),
                      "the URL leads to a login or error page: correct it in the spec");
    return false;
  }
  uint64_t total = 0;
  if (response.status == 206) {
    uint64_t first = 0;
    if (!ParseContentRange(HeaderOf(response, "content-range"), first, total) || first != offset) {
      stopped_ = absl::UnavailableError(absl::StrCat(url_, ": answered another range than asked"));
      StartAgain().IgnoreError();
      return false;
    }
  } else {
    if (offset > 0) Log(absl::StrCat(url_, " has changed or gives no ranges: from the start"));
    if (stopped_ = StartAgain(); !stopped_.ok()) return false;
    offset = 0;
    if (!absl::SimpleAtoi(HeaderOf(response, "content-length"), &total)) total = 0;
  }
  if (total == 0) total = request_.size_bytes;
  if (request_.size_bytes != 0 && total != request_.size_bytes) {
    stopped_ = FailureStatus(v1::Failure::TRANSIENT,
                             absl::StrCat(url_, ": ", total, " bytes are offered, ",
                                          request_.size_bytes, " were announced"),
                             "the file changed at its source while it was listed");
    return false;
  }
  total_ = total;
  const std::string etag = HeaderOf(response, "etag");
  // A weak ETag vouches for the meaning, not for the bytes.
  validator_ = absl::StartsWith(etag, "W/") ? "" : etag;
  if (validator_.empty()) validator_ = HeaderOf(response, "last-modified");
  if (stopped_ = CheckSpace(files_, target_, total > offset ? total - offset : 0); !stopped_.ok()) {
    return false;
  }
  const host::Json record = {
      {"url", url_}, {"sha256", request_.sha256}, {"validator", validator_}, {"size", total_}};
  stopped_ = files_.Write(record_, host::WriteJson(record));
  return stopped_.ok();
}

bool Fetch::OnData(std::string_view bytes) {
  stopped_ = file_->Append(bytes);
  if (absl::IsResourceExhausted(stopped_)) {
    stopped_ = NoRoom(files_, target_,
                      total_ > file_->size_bytes() ? total_ - file_->size_bytes() : bytes.size());
  }
  if (stopped_.ok() && callbacks_.progress) callbacks_.progress(file_->size_bytes(), total_);
  return stopped_.ok();
}

Fetch::Outcome Fetch::Attempt() {
  const uint64_t offset = file_->size_bytes();
  if (offset > 0 && total_ > 0 && offset == total_) return {};
  host::HttpRequest get;
  get.url = request_.url;
  get.headers = request_.headers;
  get.deadline = absl::InfiniteDuration();
  get.cancelled = callbacks_.cancelled;
  if (offset > 0) {
    resumed_ = true;
    get.headers["Range"] = absl::StrCat("bytes=", offset, "-");
    if (!validator_.empty()) get.headers["If-Range"] = validator_;
    Log(absl::StrCat("resuming ", url_, " at ", Mebibytes(offset)));
  } else {
    Log(absl::StrCat("downloading ", url_));
  }
  get.on_head = [&](const host::HttpResponse& response) { return OnHead(response, offset); };
  get.on_data = [&](std::string_view bytes) { return OnData(bytes); };
  stopped_ = absl::OkStatus();
  return Judge(host_.http->Send(get));
}

Fetch::Outcome Fetch::Judge(const absl::StatusOr<host::HttpResponse>& response) {
  if (!stopped_.ok()) return {.status = stopped_, .retry = !FailureOf(stopped_).has_value()};
  if (!response.ok()) {
    const bool retry =
        absl::IsUnavailable(response.status()) || absl::IsDeadlineExceeded(response.status());
    if (absl::IsInvalidArgument(response.status())) {
      return {.status = FailureStatus(v1::Failure::CONFIG,
                                      absl::StrCat(url_, ": ", response.status().message()),
                                      "correct the URL in the spec")};
    }
    return {.status = response.status(), .retry = retry};
  }
  if (response->status >= 300) return JudgeStatus(*response);
  const uint64_t size = file_->size_bytes();
  if (total_ != 0 && size < total_) {
    return {.status = absl::UnavailableError(
                absl::StrCat(url_, ": ended after ", size, " of ", total_, " bytes")),
            .retry = true};
  }
  return {};
}

Fetch::Outcome Fetch::JudgeStatus(const host::HttpResponse& response) {
  const std::string symptom = absl::StrCat(url_, " answers HTTP ", response.status);
  if (response.status == 416) {  // our part is longer than the file: it was of another one
    if (absl::Status status = StartAgain(); !status.ok()) return {.status = status};
    return {.status = absl::UnavailableError(symptom), .retry = true};
  }
  if (response.status == 429 || response.status == 408 || response.status >= 500) {
    int seconds = 0;
    if (!absl::SimpleAtoi(HeaderOf(response, "retry-after"), &seconds)) seconds = 0;
    return {.status = absl::UnavailableError(symptom),
            .retry = true,
            .wait = std::min(absl::Seconds(std::max(seconds, 0)), kMaxRetryAfter)};
  }
  const bool refused = response.status == 401 || response.status == 403;
  return {.status = FailureStatus(v1::Failure::CONFIG, symptom,
                                  refused ? "check the token or the rights for this URL"
                                          : "there is no such file: correct the URL in the spec")};
}

absl::Status Fetch::Wait(absl::Duration duration) {
  constexpr absl::Duration kSlice = absl::Milliseconds(200);
  for (; duration > absl::ZeroDuration(); duration -= kSlice) {
    if (IsCancelled()) return absl::CancelledError(absl::StrCat(url_, ": cancelled"));
    host_.clock->Sleep(std::min(duration, kSlice));
  }
  return absl::OkStatus();
}

absl::Status Fetch::Download() {
  absl::Duration backoff = kFirstBackoff;
  for (int failed = 0;;) {
    const Outcome outcome = Attempt();
    if (outcome.status.ok()) return absl::OkStatus();
    if (!outcome.retry) return outcome.status;
    if (file_->size_bytes() > furthest_) {
      furthest_ = file_->size_bytes();
      failed = 0;
      backoff = kFirstBackoff;
    }
    if (++failed >= kAttempts) {
      return FailureStatus(v1::Failure::TRANSIENT, std::string(outcome.status.message()),
                           absl::StrCat("the download goes on at ", Mebibytes(furthest_),
                                        " when the source answers again"));
    }
    const absl::Duration wait = std::max(backoff, outcome.wait);
    Log(absl::StrCat(std::string(outcome.status.message()), "; again in ",
                     absl::FormatDuration(wait)));
    RETURN_IF_ERROR(Wait(wait));
    backoff = std::min(2 * backoff, kMaxBackoff);
  }
}

absl::Status Fetch::Verify() {
  if (WantedDigest().empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::string digest, DigestOf(part_));
  if (digest == WantedDigest()) return absl::OkStatus();
  const bool by_git = request_.sha256.empty();
  const std::string symptom = absl::StrCat(url_, by_git ? " has git's id " : " has sha256 ", digest,
                                           ", wanted is ", WantedDigest());
  // The same wrong bytes twice are another file; different ones were changed on the way.
  const std::string former = std::exchange(wrong_digest_, digest);
  if (former.empty() || former == digest) {
    return FailureStatus(
        v1::Failure::CONFIG, symptom,
        by_git
            ? "the file at the hub is not the one that it lists: see what is between the hub and "
              "this node, or name another source"
            : "the file at the source is another one: correct the sha256 or the URL in the "
              "spec");
  }
  return FailureStatus(v1::Failure::TRANSIENT, symptom,
                       "other bytes come each time: see what is between the source and this node");
}

absl::Status Fetch::Run() {
  if (TargetIsRight()) {
    const uint64_t size = files_.Stat(target_)->size_bytes;
    if (callbacks_.progress) callbacks_.progress(size, size);
    return absl::OkStatus();
  }
  if (IsCancelled()) return absl::CancelledError(absl::StrCat(url_, ": cancelled"));
  ReadRecord();
  ASSIGN_OR_RETURN(file_, files_.OpenToAppend(part_));
  if (total_ != 0 && file_->size_bytes() > total_) RETURN_IF_ERROR(StartAgain());
  furthest_ = file_->size_bytes();
  RETURN_IF_ERROR(Download());
  absl::Status verified = Verify();
  if (FailureOf(verified).has_value()) {
    // The halves may be of two files, or bytes were lost on the way: only a whole one tells.
    Log(absl::StrCat(std::string(verified.message()), ": once more, from the start"));
    if (resumed_) wrong_digest_.clear();
    RETURN_IF_ERROR(StartAgain());
    furthest_ = 0;
    RETURN_IF_ERROR(Download());
    verified = Verify();
  }
  if (!verified.ok()) {
    files_.Remove(part_).IgnoreError();
    files_.Remove(record_).IgnoreError();
    return verified;
  }
  RETURN_IF_ERROR(file_->Sync());
  RETURN_IF_ERROR(files_.Rename(part_, target_));
  return files_.Remove(record_);
}

absl::StatusOr<std::string> UseInPlace(host::Host& host, const v1::Artifact& artifact) {
  const std::string& path = artifact.url();
  const auto info = host.filesystem->Stat(path);
  if (!info.ok() || info->is_directory) {
    return FailureStatus(v1::Failure::CONFIG, absl::StrCat("no file at ", path, " on this node"),
                         "put it there, or name an http(s) URL in the spec");
  }
  if (artifact.sha256().empty()) return path;
  ASSIGN_OR_RETURN(const std::string digest, host.filesystem->Sha256(path));
  if (digest == artifact.sha256()) return path;
  return FailureStatus(
      v1::Failure::CONFIG,
      absl::StrCat(path, " has sha256 ", digest, ", the spec says ", artifact.sha256()),
      "correct the file or the sha256 in the spec");
}

}  // namespace

absl::Status CheckSpace(const host::Filesystem& filesystem, std::string_view path,
                        uint64_t need_bytes) {
  const uint64_t need = need_bytes + need_bytes / 20;
  ASSIGN_OR_RETURN(const host::DiskSpace space, filesystem.Space(path));
  return space.free_bytes >= need ? absl::OkStatus() : NoRoom(filesystem, path, need);
}

absl::Status FetchFile(host::Host& host, const FileRequest& request, std::string_view target,
                       const FetchCallbacks& callbacks) {
  return Fetch(host, request, target, callbacks).Run();
}

absl::StatusOr<std::string> FetchArtifact(host::Host& host, const v1::Artifact& artifact,
                                          std::string_view target,
                                          const FetchCallbacks& callbacks) {
  const std::string& url = artifact.url();
  if (absl::StartsWith(url, "/")) return UseInPlace(host, artifact);
  const std::string lower = absl::AsciiStrToLower(url);
  const bool plain = absl::StartsWith(lower, "http://");
  if (!plain && !absl::StartsWith(lower, "https://")) {
    return FailureStatus(
        v1::Failure::CONFIG,
        absl::StrCat("\"", ShownUrl(url), "\" is no http(s) URL and no absolute path"),
        "correct the url in the spec");
  }
  if (plain && artifact.sha256().empty()) {
    return FailureStatus(v1::Failure::CONFIG,
                         absl::StrCat(ShownUrl(url), ": plain http without a sha256"),
                         "add the sha256 of the file to the spec, or use https");
  }
  FileRequest request;
  request.url = url;
  request.sha256 = absl::AsciiStrToLower(artifact.sha256());
  RETURN_IF_ERROR(FetchFile(host, request, target, callbacks));
  return std::string(target);
}

}  // namespace npufleet::artifacts
