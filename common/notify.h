// SPDX-License-Identifier: Apache-2.0
//
// systemd's notification protocol (sd_notify(3)): a datagram to $NOTIFY_SOCKET. Outside of systemd
// every call does nothing.
#ifndef COMMON_NOTIFY_H_
#define COMMON_NOTIFY_H_

#include <string>

#include "absl/time/time.h"

namespace npufleet::notify {

// "READY=1", "STOPPING=1", "STATUS=…", "WATCHDOG=1"; several separated by newlines. Returns whether
// it was sent. Threadsafe.
bool Send(const std::string& state);

inline bool Ready(const std::string& status) { return Send("READY=1\nSTATUS=" + status); }
inline bool Stopping() { return Send("STOPPING=1"); }

// Half of the unit's WatchdogSec ($WATCHDOG_USEC, when $WATCHDOG_PID is this process or unset): how
// often "WATCHDOG=1" is due. Infinite without a watchdog.
absl::Duration WatchdogPeriod();

}  // namespace npufleet::notify

#endif  // COMMON_NOTIFY_H_
