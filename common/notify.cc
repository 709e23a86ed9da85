// SPDX-License-Identifier: Apache-2.0
#include "common/notify.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>

#include "absl/strings/numbers.h"

namespace npufleet::notify {

bool Send(const std::string& state) {
  const char* path = std::getenv("NOTIFY_SOCKET");
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path == nullptr || (path[0] != '/' && path[0] != '@')) return false;
  const size_t length = std::strlen(path);
  if (length >= sizeof address.sun_path) return false;
  std::memcpy(address.sun_path, path, length);
  if (path[0] == '@') address.sun_path[0] = '\0';  // the abstract namespace
  const int descriptor = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return false;
  const ssize_t sent = sendto(descriptor, state.data(), state.size(), MSG_NOSIGNAL,
                              reinterpret_cast<const sockaddr*>(&address),
                              static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + length));
  close(descriptor);
  return sent == static_cast<ssize_t>(state.size());
}

absl::Duration WatchdogPeriod() {
  const char* microseconds = std::getenv("WATCHDOG_USEC");
  const char* pid = std::getenv("WATCHDOG_PID");
  int64_t value = 0;
  if (microseconds == nullptr || !absl::SimpleAtoi(microseconds, &value) || value <= 0) {
    return absl::InfiniteDuration();
  }
  int64_t process = 0;
  if (pid != nullptr && (!absl::SimpleAtoi(pid, &process) || process != getpid())) {
    return absl::InfiniteDuration();
  }
  return absl::Microseconds(value) / 2;
}

}  // namespace npufleet::notify
