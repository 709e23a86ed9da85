// SPDX-License-Identifier: Apache-2.0
//
// Verbs whose Check, Apply and Stop the test writes, chosen by task. By default a verb is absent
// until its Apply ran, and present ("token-1") after.
#ifndef TESTS_AGENT_OPERATIONS_FAKE_VERB_H_
#define TESTS_AGENT_OPERATIONS_FAKE_VERB_H_

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "absl/synchronization/mutex.h"
#include "agent/operations/runner.h"
#include "agent/verbs/verb.h"

namespace npufleet::operations {

inline v1::Observation Present(const std::string& token) {
  v1::Observation seen;
  seen.set_state(v1::Observation::PRESENT);
  seen.set_token(token);
  return seen;
}

inline v1::Observation Absent(const std::string& reason) {
  v1::Observation seen;
  seen.set_state(v1::Observation::ABSENT);
  seen.set_reason(reason);
  return seen;
}

struct FakeScript {
  std::atomic<bool> there = false;
  std::atomic<int> checks = 0;
  std::atomic<int> applies = 0;
  std::atomic<int> stops = 0;
  std::function<v1::Observation()> check = [this] {
    return there ? Present("token-1") : Absent("not there");
  };
  std::function<absl::Status(verbs::Execution&)> apply = [this](verbs::Execution&) {
    there = true;
    return absl::OkStatus();
  };
  std::function<absl::Status(verbs::Execution&)> stop = [this](verbs::Execution&) {
    there = false;
    return absl::OkStatus();
  };
  std::function<void()> abandon = [] {};
  bool uses_npu_tools = false;
  bool survives_reboot = false;
  absl::Duration period = absl::Hours(1);
};

class FakeVerb : public verbs::Verb {
 public:
  explicit FakeVerb(FakeScript& script) : script_(script) {}
  v1::Observation Check() override {
    ++script_.checks;
    return script_.check();
  }
  void AbandonCheck() override { script_.abandon(); }
  absl::Status Apply(verbs::Execution& execution) override {
    ++script_.applies;
    return script_.apply(execution);
  }
  absl::Status Stop(verbs::Execution& execution) override {
    ++script_.stops;
    return script_.stop(execution);
  }
  absl::Duration CheckPeriod() const override { return script_.period; }
  bool UsesNpuTools() const override { return script_.uses_npu_tools; }
  bool SurvivesReboot() const override { return script_.survives_reboot; }

 private:
  FakeScript& script_;
};

class FakeVerbs {
 public:
  // The script of a task; made at its first use.
  FakeScript& operator[](const std::string& task) {
    absl::MutexLock lock(&mutex_);
    std::unique_ptr<FakeScript>& script = scripts_[task];
    if (script == nullptr) script = std::make_unique<FakeScript>();
    return *script;
  }

  VerbFactory factory() {
    return [this](const v1::Subject& subject) -> absl::StatusOr<std::unique_ptr<verbs::Verb>> {
      if (subject.task() == "bad@node-a") return absl::InvalidArgumentError("version is missing");
      return std::make_unique<FakeVerb>((*this)[subject.task()]);
    };
  }

 private:
  absl::Mutex mutex_;
  std::map<std::string, std::unique_ptr<FakeScript>> scripts_;
};

// A wish for one of the verbs; which one matters only for its name.
inline v1::Subject SubjectOf(const std::string& task, const std::string& stamp = "stamp-1") {
  v1::Subject subject;
  subject.set_task(task);
  subject.set_stamp(stamp);
  if (task.rfind("driver", 0) == 0) {
    subject.mutable_verb()->mutable_install_driver()->set_version("24.1");
  } else if (task.rfind("container", 0) == 0) {
    subject.mutable_verb()->mutable_run_container()->set_name("vllm");
  } else {
    subject.mutable_verb()->mutable_check_host();
  }
  return subject;
}

}  // namespace npufleet::operations

#endif  // TESTS_AGENT_OPERATIONS_FAKE_VERB_H_
