// SPDX-License-Identifier: Apache-2.0
//
// Why a task failed, as the core needs to know it (the wire's v1::Failure, without the wire).
#ifndef CONTROLLER_CORE_FAILURE_H_
#define CONTROLLER_CORE_FAILURE_H_

#include <string>
#include <vector>

namespace npufleet::core {

enum class FailureClass {
  kTransient,      // retry here, with backoff
  kRedo,           // the stage `redo_stage` is no longer true
  kReboot,         // the node must reboot first
  kConfig,         // the spec is wrong
  kHardware,       // a chip or link
  kNeedsOperator,  // a person must act
};

struct Failure {
  FailureClass failure_class = FailureClass::kNeedsOperator;
  std::string redo_stage;
  std::string signature;
  std::string symptom;
  std::string advice;
  std::vector<std::string> log_tail;

  bool operator==(const Failure&) const = default;
};

}  // namespace npufleet::core

#endif  // CONTROLLER_CORE_FAILURE_H_
