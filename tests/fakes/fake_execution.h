// SPDX-License-Identifier: Apache-2.0
//
// What a verb is given in a test: keeps its log and progress, and can be cancelled after a number
// of questions. RunDurably runs at once on the host's programs.
#ifndef TESTS_FAKES_FAKE_EXECUTION_H_
#define TESTS_FAKES_FAKE_EXECUTION_H_

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/host/host.h"
#include "agent/verbs/verb.h"

namespace npufleet::fakes {

class FakeExecution : public verbs::Execution {
 public:
  explicit FakeExecution(host::Host& host) : host_(host) {}

  void Log(std::string_view line) override { lines.emplace_back(line); }
  void Report(const v1::Progress& progress) override { reports.push_back(progress); }
  void Swept(std::string_view what) override {
    swept.emplace_back(what);
    Log(what);
  }
  bool IsCancelled() override {
    if (questions_until_cancel > 0) --questions_until_cancel;
    return questions_until_cancel == 0;
  }
  absl::StatusOr<host::ProcessResult> RunDurably(std::string_view step,
                                                 const std::vector<std::string>& argv,
                                                 const host::ProcessOptions& options) override {
    return host_.subprocess->Run(argv, options);
  }

  // The whole log.
  std::string Text() const {
    std::string text;
    for (const std::string& line : lines) text += line + "\n";
    return text;
  }

  std::vector<std::string> lines;
  std::vector<v1::Progress> reports;
  std::vector<std::string> swept;
  int questions_until_cancel = -1;  // 0: cancelled from the start; negative: never

 private:
  host::Host& host_;
};

}  // namespace npufleet::fakes

#endif  // TESTS_FAKES_FAKE_EXECUTION_H_
