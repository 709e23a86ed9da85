// SPDX-License-Identifier: Apache-2.0
#include "agent/host/http.h"

#include <curl/curl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/clock.h"
#include "common/status_macros.h"

namespace npufleet::host {
namespace {

constexpr size_t kLargestBody = 64 << 20;
constexpr absl::Duration kConnectDeadline = absl::Seconds(15);

struct UrlParts {
  std::string scheme;
  std::string host;
  std::string name;  // host, with its port when the URL has one: what messages show
};

absl::StatusOr<UrlParts> ParseUrl(const std::string& url) {
  UrlParts parts;
  CURLU* handle = curl_url();
  char* scheme = nullptr;
  char* host = nullptr;
  char* port = nullptr;
  const bool ok = curl_url_set(handle, CURLUPART_URL, url.c_str(), 0) == CURLUE_OK &&
                  curl_url_get(handle, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
                  curl_url_get(handle, CURLUPART_HOST, &host, 0) == CURLUE_OK;
  if (ok) {
    parts.scheme = scheme;
    parts.host = host;
    parts.name = host;
    if (curl_url_get(handle, CURLUPART_PORT, &port, 0) == CURLUE_OK) {
      absl::StrAppend(&parts.name, ":", port);
    }
  }
  curl_free(scheme);
  curl_free(host);
  curl_free(port);
  curl_url_cleanup(handle);
  if (!ok || (parts.scheme != "http" && parts.scheme != "https")) {
    return absl::InvalidArgumentError("not an http:// or https:// URL");
  }
  return parts;
}

bool IsLoopback(const std::string& host) {
  return host == "localhost" || host == "[::1]" || host.rfind("127.", 0) == 0;
}

// Debian's and Red Hat's bundles; libcurl's own default is that of the machine it was built on.
std::string SystemCaFile() {
  for (const char* path :
       {"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"}) {
    if (access(path, R_OK) == 0) return path;
  }
  return "";
}

// One request from its start to its end.
class Transfer {
 public:
  explicit Transfer(const HttpRequest& request)
      : request_(request), easy_(curl_easy_init()), multi_(curl_multi_init()) {}
  ~Transfer() {
    curl_multi_remove_handle(multi_, easy_);
    curl_easy_cleanup(easy_);
    curl_multi_cleanup(multi_);
    curl_slist_free_all(headers_);
    if (upload_ != nullptr) fclose(upload_);
  }

  absl::StatusOr<HttpResponse> Run();

 private:
  absl::Status SetUp(const UrlParts& url);
  absl::Status SetUpBody();
  void SetUpTls();
  bool TellHead(long status);
  absl::Status EndWhenAsked();
  absl::StatusOr<HttpResponse> Finish(CURLcode code);

  static size_t OnHeader(char* data, size_t size, size_t count, void* self);
  static size_t OnBody(char* data, size_t size, size_t count, void* self);
  static size_t OnUpload(char* data, size_t size, size_t count, void* self);

  const HttpRequest& request_;
  CURL* easy_;
  CURLM* multi_;
  curl_slist* headers_ = nullptr;
  FILE* upload_ = nullptr;
  char error_[CURL_ERROR_SIZE] = "";
  std::string name_;
  bool head_told_ = false;
  HttpResponse response_;
  absl::Status stopped_;  // by a callback of ours
  absl::Duration start_, last_byte_;
};

size_t Transfer::OnHeader(char* data, size_t size, size_t count, void* self) {
  auto* transfer = static_cast<Transfer*>(self);
  const std::string line(data, size * count);
  transfer->last_byte_ = Clock::Real().Elapsed();
  if (line.rfind("HTTP/", 0) == 0) {  // of a redirect's target, too
    transfer->response_.headers.clear();
    return size * count;
  }
  const size_t colon = line.find(':');
  if (colon != std::string::npos) {
    transfer->response_.headers[absl::AsciiStrToLower(line.substr(0, colon))] =
        std::string(absl::StripAsciiWhitespace(line.substr(colon + 1)));
  }
  return size * count;
}

bool Transfer::TellHead(long status) {
  if (std::exchange(head_told_, true) || !request_.on_head) return true;
  response_.status = static_cast<int>(status);
  return request_.on_head(response_);
}

size_t Transfer::OnBody(char* data, size_t size, size_t count, void* self) {
  auto* transfer = static_cast<Transfer*>(self);
  const std::string_view bytes(data, size * count);
  transfer->last_byte_ = Clock::Real().Elapsed();
  long status = 0;
  curl_easy_getinfo(transfer->easy_, CURLINFO_RESPONSE_CODE, &status);
  if (transfer->request_.on_data && status < 300) {
    if (transfer->TellHead(status) && transfer->request_.on_data(bytes)) return bytes.size();
    transfer->stopped_ =
        absl::CancelledError(absl::StrCat(transfer->name_, ": stopped by the receiver"));
    return 0;
  }
  if (transfer->response_.body.size() + bytes.size() > kLargestBody) {
    transfer->stopped_ = absl::ResourceExhaustedError(
        absl::StrCat(transfer->name_, ": answer longer than ", kLargestBody, " bytes"));
    return 0;
  }
  transfer->response_.body.append(bytes);
  return bytes.size();
}

size_t Transfer::OnUpload(char* data, size_t size, size_t count, void* self) {
  auto* transfer = static_cast<Transfer*>(self);
  transfer->last_byte_ = Clock::Real().Elapsed();
  const size_t read = fread(data, 1, size * count, transfer->upload_);
  return ferror(transfer->upload_) != 0 ? CURL_READFUNC_ABORT : read;
}

absl::Status Transfer::SetUpBody() {
  if (!request_.body_file.empty()) {
    upload_ = fopen(request_.body_file.c_str(), "rbe");
    if (upload_ == nullptr) {
      return absl::ErrnoToStatus(errno, absl::StrCat("opening ", request_.body_file));
    }
    std::error_code error;
    const auto size = std::filesystem::file_size(request_.body_file, error);
    curl_easy_setopt(easy_, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(easy_, CURLOPT_READFUNCTION, OnUpload);
    curl_easy_setopt(easy_, CURLOPT_READDATA, this);
    curl_easy_setopt(easy_, CURLOPT_INFILESIZE_LARGE,
                     error ? curl_off_t{-1} : static_cast<curl_off_t>(size));
    curl_easy_setopt(easy_, CURLOPT_UPLOAD_BUFFERSIZE, 1L << 20);
    curl_easy_setopt(easy_, CURLOPT_CUSTOMREQUEST, request_.method.c_str());
  } else if (request_.method == "HEAD") {
    curl_easy_setopt(easy_, CURLOPT_NOBODY, 1L);
  } else if (request_.method != "GET" || !request_.body.empty()) {
    curl_easy_setopt(easy_, CURLOPT_POSTFIELDS, request_.body.data());
    curl_easy_setopt(easy_, CURLOPT_POSTFIELDSIZE_LARGE,
                     static_cast<curl_off_t>(request_.body.size()));
    curl_easy_setopt(easy_, CURLOPT_CUSTOMREQUEST, request_.method.c_str());
  }
  return absl::OkStatus();
}

void Transfer::SetUpTls() {
  curl_easy_setopt(easy_, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  curl_easy_setopt(easy_, CURLOPT_SSL_VERIFYPEER, request_.verify_peer ? 1L : 0L);
  curl_easy_setopt(easy_, CURLOPT_SSL_VERIFYHOST, request_.verify_peer ? 2L : 0L);
  const std::string ca_file = request_.ca_file.empty() ? SystemCaFile() : request_.ca_file;
  if (ca_file.empty()) return;
  curl_easy_setopt(easy_, CURLOPT_CAINFO, ca_file.c_str());
  // A CA that the caller names is the only one trusted.
  if (!request_.ca_file.empty()) curl_easy_setopt(easy_, CURLOPT_CAPATH, nullptr);
}

absl::Status Transfer::SetUp(const UrlParts& url) {
  curl_easy_setopt(easy_, CURLOPT_URL, request_.url.c_str());
  curl_easy_setopt(easy_, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy_, CURLOPT_ERRORBUFFER, error_);
#if LIBCURL_VERSION_NUM >= 0x075500
  curl_easy_setopt(easy_, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy_, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
#else
  curl_easy_setopt(easy_, CURLOPT_PROTOCOLS, static_cast<long>(CURLPROTO_HTTP | CURLPROTO_HTTPS));
  curl_easy_setopt(easy_, CURLOPT_REDIR_PROTOCOLS,
                   static_cast<long>(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
  // libcurl itself sends Authorization and Cookie headers to no other host, port or protocol.
  curl_easy_setopt(easy_, CURLOPT_FOLLOWLOCATION, request_.follow_redirects ? 1L : 0L);
  curl_easy_setopt(easy_, CURLOPT_MAXREDIRS, 10L);
  const absl::Duration connect = std::min(request_.deadline, kConnectDeadline);
  curl_easy_setopt(easy_, CURLOPT_CONNECTTIMEOUT_MS,
                   std::max<long>(1, static_cast<long>(absl::ToInt64Milliseconds(connect))));
  if (!request_.unix_socket.empty()) {
    curl_easy_setopt(easy_, CURLOPT_UNIX_SOCKET_PATH, request_.unix_socket.c_str());
    curl_easy_setopt(easy_, CURLOPT_PROXY, "");
  } else if (request_.direct || IsLoopback(url.host)) {
    curl_easy_setopt(easy_, CURLOPT_PROXY, "");
  }
  curl_easy_setopt(easy_, CURLOPT_BUFFERSIZE, 256L << 10);
  curl_easy_setopt(easy_, CURLOPT_HEADERFUNCTION, OnHeader);
  curl_easy_setopt(easy_, CURLOPT_HEADERDATA, this);
  curl_easy_setopt(easy_, CURLOPT_WRITEFUNCTION, OnBody);
  curl_easy_setopt(easy_, CURLOPT_WRITEDATA, this);
  headers_ = curl_slist_append(headers_, "Expect:");
  for (const auto& [name, value] : request_.headers) {
    headers_ = curl_slist_append(headers_, absl::StrCat(name, ": ", value).c_str());
  }
  curl_easy_setopt(easy_, CURLOPT_HTTPHEADER, headers_);
  SetUpTls();
  return SetUpBody();
}

absl::Status Transfer::EndWhenAsked() {
  const absl::Duration now = Clock::Real().Elapsed();
  if (request_.cancelled && request_.cancelled()) {
    return absl::CancelledError(absl::StrCat(name_, ": cancelled"));
  }
  if (now - start_ >= request_.deadline) {
    return absl::DeadlineExceededError(absl::StrCat(name_, ": no complete answer within ",
                                                    absl::FormatDuration(request_.deadline)));
  }
  if (now - last_byte_ >= request_.stall_deadline) {
    return absl::DeadlineExceededError(
        absl::StrCat(name_, ": no byte for ", absl::FormatDuration(request_.stall_deadline)));
  }
  return absl::OkStatus();
}

absl::StatusOr<HttpResponse> Transfer::Finish(CURLcode code) {
  if (!stopped_.ok()) return stopped_;
  if (code != CURLE_OK) {
    long error = 0;
    curl_easy_getinfo(easy_, CURLINFO_OS_ERRNO, &error);
    std::string message =
        absl::StrCat(name_, ": ", error_[0] != '\0' ? error_ : curl_easy_strerror(code));
    if (error != 0) absl::StrAppend(&message, " (", strerror(static_cast<int>(error)), ")");
    if (code == CURLE_OPERATION_TIMEDOUT) return absl::DeadlineExceededError(message);
    return absl::UnavailableError(message);
  }
  long status = 0;
  char* url = nullptr;
  curl_easy_getinfo(easy_, CURLINFO_RESPONSE_CODE, &status);
  curl_easy_getinfo(easy_, CURLINFO_EFFECTIVE_URL, &url);
  if (status < 300 && !TellHead(status)) {
    return absl::CancelledError(absl::StrCat(name_, ": stopped by the receiver"));
  }
  response_.status = static_cast<int>(status);
  response_.effective_url = url != nullptr ? url : request_.url;
  return std::move(response_);
}

absl::StatusOr<HttpResponse> Transfer::Run() {
  ASSIGN_OR_RETURN(const UrlParts url, ParseUrl(request_.url));
  name_ = request_.unix_socket.empty() ? url.name : request_.unix_socket;
  start_ = last_byte_ = Clock::Real().Elapsed();
  RETURN_IF_ERROR(EndWhenAsked());
  RETURN_IF_ERROR(SetUp(url));
  curl_multi_add_handle(multi_, easy_);
  for (;;) {
    int running = 0;
    const CURLMcode code = curl_multi_perform(multi_, &running);
    if (code != CURLM_OK) {
      return absl::InternalError(absl::StrCat(name_, ": ", curl_multi_strerror(code)));
    }
    if (running == 0) break;
    RETURN_IF_ERROR(EndWhenAsked());
    curl_multi_poll(multi_, nullptr, 0, 50, nullptr);
  }
  int left = 0;
  const CURLMsg* message = curl_multi_info_read(multi_, &left);
  if (message == nullptr)
    return absl::InternalError(absl::StrCat(name_, ": ended without a result"));
  return Finish(message->data.result);
}

class CurlHttp : public Http {
 public:
  CurlHttp() {
    static const CURLcode initialised = curl_global_init(CURL_GLOBAL_DEFAULT);
    static_cast<void>(initialised);
  }
  absl::StatusOr<HttpResponse> Send(const HttpRequest& request) override {
    return Transfer(request).Run();
  }
};

}  // namespace

std::unique_ptr<Http> MakeHttp() { return std::make_unique<CurlHttp>(); }

}  // namespace npufleet::host
