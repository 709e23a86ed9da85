// SPDX-License-Identifier: Apache-2.0
//
// What a starting vLLM's log says about why it will not start. Of 16 ranks most report
// consequences: the earliest line with a signature of its own is the cause, whatever wraps it.
// Pure.
#ifndef AGENT_VERBS_START_ENGINE_STARTUP_FAULTS_H_
#define AGENT_VERBS_START_ENGINE_STARTUP_FAULTS_H_

#include <deque>
#include <optional>
#include <string>
#include <string_view>

#include "npufleet/v1/operation.pb.h"

namespace npufleet::verbs {

class StartupFaults {
 public:
  void Read(std::string_view line);

  // A rank is known to have failed: the others will wait for it for up to half an hour.
  bool IsFatal() const { return fatal_; }

  // The earliest specific failure, else the earliest wrapper, else one of class TRANSIENT with
  // `symptom`; with the log's last lines.
  v1::Failure Cause(std::string_view symptom) const;

 private:
  std::deque<std::string> tail_;
  std::optional<v1::Failure> specific_;
  std::optional<v1::Failure> wrapper_;
  bool fatal_ = false;
};

}  // namespace npufleet::verbs

#endif  // AGENT_VERBS_START_ENGINE_STARTUP_FAULTS_H_
