// SPDX-License-Identifier: Apache-2.0
//
// Where a spec, or the runbook behind it, is known to be wrong for the engine's version, the
// product does what works and says so. Said here by the version in the image's tag, before anything
// is there; done by the verb start_engine, which asks the image itself.
#ifndef COMMON_SPEC_NOTES_H_
#define COMMON_SPEC_NOTES_H_

#include <string>
#include <vector>

#include "npufleet/v1/spec.pb.h"

namespace npufleet::spec {

// One sentence each: what is done otherwise than the spec or the runbook says, or has no effect,
// and why, or what it lacks to have one. The deployment may have its defaults resolved or not.
// Pure.
std::vector<std::string> Notes(const v1::Deployment& deployment);

}  // namespace npufleet::spec

#endif  // COMMON_SPEC_NOTES_H_
