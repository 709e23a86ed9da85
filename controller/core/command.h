// SPDX-License-Identifier: Apache-2.0
//
// What is to be done, in the imperative. A performer carries commands out; a dry run is another
// performer. An operation is outstanding until an OperationEnded answers it; performing it again
// after a crash is safe, because its id names it.
#ifndef CONTROLLER_CORE_COMMAND_H_
#define CONTROLLER_CORE_COMMAND_H_

#include <map>
#include <string>
#include <variant>

namespace npufleet::core {

enum class Action { kApply, kStop, kReboot };

struct CheckTask {
  std::string task;
  std::string node;
  std::string stamp;
  std::map<std::string, std::string> inputs;  // task id of each dependency -> its token

  bool operator==(const CheckTask&) const = default;
};

struct StartOperation {
  std::string operation;  // EPOCH/DEPLOYMENT/REVISION/TASK/N
  std::string task;       // empty with kReboot
  std::string node;
  Action action = Action::kApply;
  std::string stamp;
  std::map<std::string, std::string> inputs;
  std::string boot_id;  // on which this was decided
  bool redo = false;

  bool operator==(const StartOperation&) const = default;
};

struct CancelOperation {
  std::string operation;
  std::string node;

  bool operator==(const CancelOperation&) const = default;
};

struct ForgetTask {  // observe it no longer
  std::string task;
  std::string node;

  bool operator==(const ForgetTask&) const = default;
};

using Command = std::variant<CheckTask, StartOperation, CancelOperation, ForgetTask>;

}  // namespace npufleet::core

#endif  // CONTROLLER_CORE_COMMAND_H_
