// SPDX-License-Identifier: Apache-2.0
#include <curl/curl.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "controller/ctl/chat_stream.h"
#include "controller/ctl/commands.h"
#include "controller/ctl/text.h"
#include "nlohmann/json.hpp"

namespace npufleet::ctl {
namespace {

constexpr size_t kLargestBody = 16 << 20;

// The answer goes to stdout as it comes; reasoning is dimmed there on a terminal, and on stderr
// otherwise, so that `ctl chat … > FILE` holds the answer alone.
class Printer {
 public:
  explicit Printer(Context& context) : context_(context) {}

  void Print(const ChatPiece& piece) {
    switch (piece.kind) {
      case ChatPiece::Kind::kReasoning:
        Reasoning(piece.text);
        break;
      case ChatPiece::Kind::kAnswer:
        if (reasoned_ && !answered_ && context_.terminal.interactive)
          context_.terminal.out << "\n\n";
        answered_ = true;
        context_.terminal.out << Lines(piece.text) << std::flush;
        break;
      case ChatPiece::Kind::kFinish:
        finish_ = piece.text;
        break;
      case ChatPiece::Kind::kError:
        error_ = piece.text;
        break;
    }
  }

  const std::string& finish() const { return finish_; }
  const std::string& error() const { return error_; }
  bool silent() const { return !answered_ && !reasoned_; }

 private:
  void Reasoning(const std::string& text) {
    reasoned_ = true;
    std::ostream& to =
        context_.terminal.interactive ? context_.terminal.out : context_.terminal.err;
    to << Styled(Lines(text), Style::kDim, context_.terminal.colour) << std::flush;
  }

  // A model's text keeps its lines; what else would steer the terminal goes.
  static std::string Lines(const std::string& text) {
    std::string printable = text;
    for (char& c : printable) {
      if ((static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t') || c == 0x7f) c = ' ';
    }
    return printable;
  }

  Context& context_;
  bool reasoned_ = false;
  bool answered_ = false;
  std::string finish_;
  std::string error_;
};

struct Transfer {
  bool stream;
  Printer& printer;
  ChatStream events;
  std::string body;
};

size_t OnData(char* data, size_t size, size_t count, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  std::string_view chunk(data, size * count);
  if (transfer.body.size() + chunk.size() > kLargestBody) return 0;
  transfer.body.append(chunk);
  if (transfer.stream) {
    for (const ChatPiece& piece : transfer.events.Feed(chunk)) transfer.printer.Print(piece);
  }
  return chunk.size();
}

struct Answer {
  CURLcode code;
  std::string message;  // of curl
  long http_status = 0;
};

Answer Post(const std::string& url, const std::string& request, absl::Duration timeout,
            Transfer* transfer) {
  CURL* curl = curl_easy_init();
  char message[CURL_ERROR_SIZE] = "";
  curl_slist* headers = curl_slist_append(nullptr, "Content-Type: application/json");
  curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_PROXY, "");  // the endpoint is in the fleet's own network
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
  curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request.c_str());
  curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, static_cast<long>(request.size()));
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, 10L);
  curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, static_cast<long>(absl::ToInt64Milliseconds(timeout)));
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, &OnData);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, transfer);
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, message);
  Answer answer;
  answer.code = curl_easy_perform(curl);
  answer.message = message;
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer.http_status);
  curl_slist_free_all(headers);
  curl_easy_cleanup(curl);
  return answer;
}

// The rollout to talk to, or an exit code after saying why there is none.
ExitCode FindRollout(Context& context, const std::string& name, v1::Rollout* rollout) {
  v1::ListRolloutsReply reply;
  grpc::ClientContext call;
  SetDeadline(call, kCallDeadline);
  grpc::Status status = context.stub->ListRollouts(&call, {}, &reply);
  if (!status.ok()) return context.Fail(status);
  std::vector<std::string> serving;
  for (const v1::Rollout& one : reply.rollouts()) {
    if (one.name() == name || (name.empty() && one.phase() == v1::Rollout::SERVING)) *rollout = one;
    if (one.phase() == v1::Rollout::SERVING) serving.push_back(one.name());
  }
  if (name.empty() && serving.size() > 1) {
    return context.Fail(ExitCode::kUsage,
                        absl::StrCat("several rollouts serve; name one: ctl chat NAME PROMPT (",
                                     absl::StrJoin(serving, ", "), ")"));
  }
  if (rollout->name().empty()) {
    return context.Fail(ExitCode::kFailed, name.empty() ? "no rollout serves: ctl rollout status"
                                                        : absl::StrCat("no rollout ", name));
  }
  if (rollout->endpoint().empty()) {
    return context.Fail(ExitCode::kFailed,
                        absl::StrCat(rollout->name(), " has no endpoint yet; it is ",
                                     PhaseName(rollout->phase()), ": ", rollout->reason()));
  }
  return ExitCode::kDone;
}

ExitCode CodeOf(const Answer& answer) {
  switch (answer.code) {
    case CURLE_COULDNT_CONNECT:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_GOT_NOTHING:
      return ExitCode::kUnreachable;
    case CURLE_OPERATION_TIMEDOUT:
      return ExitCode::kTimedOut;
    default:
      return ExitCode::kFailed;
  }
}

ExitCode Conclude(Context& context, const ChatOptions& options, const Answer& answer,
                  const Transfer& transfer) {
  const Printer& printer = transfer.printer;
  if (!printer.silent()) context.terminal.out << "\n" << std::flush;
  if (answer.code != CURLE_OK) {
    return context.Fail(CodeOf(answer), absl::StrCat("the engine's answer: ", answer.message));
  }
  if (!printer.error().empty() || answer.http_status != 200) {
    return context.Fail(ExitCode::kFailed,
                        absl::StrCat("the engine says: HTTP ", answer.http_status, " ",
                                     Printable(printer.error())));
  }
  if (printer.finish() == "length") {
    context.terminal.err << "(cut after " << options.max_tokens
                         << " tokens: --max-tokens N for more)\n"
                         << std::flush;
  }
  if (transfer.stream && !transfer.events.done()) {
    return context.Fail(ExitCode::kFailed, "the engine ended in the middle of its answer");
  }
  return ExitCode::kDone;
}

}  // namespace

ExitCode Chat(Context& context, const ChatOptions& options) {
  if (!context.Connect()) return ExitCode::kUsage;
  v1::Rollout rollout;
  ExitCode found = FindRollout(context, options.rollout, &rollout);
  if (found != ExitCode::kDone) return found;
  bool stream = options.stream && context.output == Output::kTable;
  nlohmann::json request = {{"model", rollout.served_model_name()},
                            {"messages", {{{"role", "user"}, {"content", options.prompt}}}},
                            {"max_tokens", options.max_tokens},
                            {"stream", stream}};
  Printer printer(context);
  Transfer transfer{stream, printer, {}, {}};
  std::string body = request.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  Answer answer =
      Post(rollout.endpoint() + "/v1/chat/completions", body, options.timeout, &transfer);
  if (answer.code == CURLE_OK && answer.http_status == 200 && context.output != Output::kTable) {
    context.terminal.out << transfer.body << "\n" << std::flush;
    return ExitCode::kDone;
  }
  // An error comes as one body, also to who asked for a stream.
  if (answer.code == CURLE_OK && (!stream || answer.http_status != 200)) {
    for (const ChatPiece& piece : ReadChatBody(transfer.body)) printer.Print(piece);
  }
  return Conclude(context, options, answer, transfer);
}

}  // namespace npufleet::ctl
