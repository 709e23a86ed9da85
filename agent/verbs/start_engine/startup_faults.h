// SPDX-License-Identifier: Apache-2.0
//
// What a starting vLLM's log says about why it will not start. Of 16 ranks on two nodes most report
// that another is gone: a line that says why comes before one that a peer is missed, and that
// before one that only wraps another; of a kind, the earliest. Pure.
#ifndef AGENT_VERBS_START_ENGINE_STARTUP_FAULTS_H_
#define AGENT_VERBS_START_ENGINE_STARTUP_FAULTS_H_

#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "npufleet/v1/operation.pb.h"

namespace npufleet::verbs {

class StartupFaults {
 public:
  // `node_of` names the node of an address in a line of another node's rank ("node-b
  // (192.168.0.16)"), empty where there is nothing to say: the symptom begins with it.
  explicit StartupFaults(std::function<std::string(std::string_view address)> node_of = nullptr)
      : node_of_(std::move(node_of)) {}

  void Read(std::string_view line);

  // A rank is known to have failed: the others will wait for it for up to half an hour.
  bool IsFatal() const { return fatal_; }

  // A line says why, not only that a rank is gone.
  bool HasCause() const { return cause_.has_value(); }

  // The earliest cause, else the earliest consequence, else the earliest wrapper, else one of class
  // TRANSIENT with `symptom`; with the log's last lines.
  v1::Failure Cause(std::string_view symptom) const;

 private:
  std::deque<std::string> tail_;
  const std::function<std::string(std::string_view)> node_of_;
  std::optional<v1::Failure> cause_;
  std::optional<v1::Failure> consequence_;
  std::optional<v1::Failure> wrapper_;
  bool fatal_ = false;
};

}  // namespace npufleet::verbs

#endif  // AGENT_VERBS_START_ENGINE_STARTUP_FAULTS_H_
