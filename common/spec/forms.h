// SPDX-License-Identifier: Apache-2.0
//
// The forms of the single values of a spec. All pure. For common/spec, and what writes a spec.
#ifndef COMMON_SPEC_FORMS_H_
#define COMMON_SPEC_FORMS_H_

#include <string>
#include <string_view>

namespace npufleet::spec {

// Lower-case letters, digits and '-', neither first nor last.
bool IsName(std::string_view name, size_t longest);
// Dotted, without leading zeros (which some readers take for octal).
bool IsIpv4(std::string_view address);
// Of a network interface: 15 visible characters at most.
bool IsInterfaceName(std::string_view name);
// Absolute, without "..", and with nothing in it that a mount option or a shell would read.
bool IsPath(std::string_view path);
// Lower-case.
bool IsHex(std::string_view text, size_t length);
bool IsEnvironmentName(std::string_view name);
// A secret would land in the store, in docker inspect and in /proc.
bool IsSecretName(const std::string& name);
// http:// or https:// and a host.
bool IsHttp(const std::string& url);
// obs://BUCKET/KEY.
bool IsObs(const std::string& url);
// Of yum or apt; a version may follow. Never an option.
bool IsPackageName(const std::string& name);

// For the end of a message that refuses `text`: what to look at when it holds a " - ", as YAML
// takes a list item that is indented deeper than the one before for a part of it. Else empty.
std::string IndentationHint(const std::string& text);

}  // namespace npufleet::spec

#endif  // COMMON_SPEC_FORMS_H_
