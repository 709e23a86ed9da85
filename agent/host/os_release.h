// SPDX-License-Identifier: Apache-2.0
#ifndef AGENT_HOST_OS_RELEASE_H_
#define AGENT_HOST_OS_RELEASE_H_

#include <map>
#include <string>
#include <string_view>

namespace npufleet::host {

// os-release(5): NAME=value with shell quoting. Lines that are something else are passed over.
std::map<std::string, std::string> ParseOsRelease(std::string_view text);

}  // namespace npufleet::host

#endif  // AGENT_HOST_OS_RELEASE_H_
