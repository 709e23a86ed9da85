// SPDX-License-Identifier: Apache-2.0
//
// The API's name for the runtime's interface.
#ifndef CONTROLLER_API_VIEW_H_
#define CONTROLLER_API_VIEW_H_

#include "controller/runtime/view.h"

namespace npufleet::api {
using runtime::View;
}  // namespace npufleet::api

#endif  // CONTROLLER_API_VIEW_H_
