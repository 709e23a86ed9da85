// SPDX-License-Identifier: Apache-2.0
//
// Versions of driver and firmware, as version.info and the names of the packages write them:
// 24.1.rc3, 24.1.0, 25.0.rc1.b080, 25.2.0, 7.7.t20.0.b200. Pure.
#ifndef COMMON_SPEC_DRIVER_VERSION_H_
#define COMMON_SPEC_DRIVER_VERSION_H_

#include <string_view>

namespace npufleet::spec {

// Below 0 when `a` is older. A candidate comes before its release (24.1.rc3 < 24.1.0), and so does
// a test build (7.7.t20.0.b200, of 25.0.rc1.b080, < 7.7.0.1.231, of 25.0.rc1.1). A missing part
// counts as 0, and other letters before a number do not matter (b080 is 80).
int CompareDriverVersions(std::string_view a, std::string_view b);

// Whether `version` is what an entry of acceptedVersions says: that very version, or within
// FROM..TO, both ends included.
bool AcceptsDriverVersion(std::string_view entry, std::string_view version);

// "24.1.rc3", or "24.1.rc3..25.2.0" with the older end first.
bool IsDriverVersionEntry(std::string_view entry);

}  // namespace npufleet::spec

#endif  // COMMON_SPEC_DRIVER_VERSION_H_
