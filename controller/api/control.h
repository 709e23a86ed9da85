// SPDX-License-Identifier: Apache-2.0
//
// The API's name for the runtime's interface.
#ifndef CONTROLLER_API_CONTROL_H_
#define CONTROLLER_API_CONTROL_H_

#include "controller/runtime/control.h"

namespace npufleet::api {
using runtime::Control;
}  // namespace npufleet::api

#endif  // CONTROLLER_API_CONTROL_H_
