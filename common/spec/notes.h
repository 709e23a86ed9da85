// SPDX-License-Identifier: Apache-2.0
//
// Where a spec, or the runbook behind it, is known to be wrong for the engine's version, the
// product does what works and says so. What is said and what is done come from the same place.
#ifndef COMMON_SPEC_NOTES_H_
#define COMMON_SPEC_NOTES_H_

#include <string>
#include <vector>

#include "npufleet/v1/spec.pb.h"

namespace npufleet::spec {

// One sentence each: what is done otherwise than the spec or the runbook says, or has no effect,
// and why. The deployment may have its defaults resolved or not. Pure.
std::vector<std::string> Notes(const v1::Deployment& deployment);

// spec.engine without what the release that `image` names would refuse: --enable-reasoning from
// 0.10.0, VLLM_USE_V1=0 from 0.10.0. An image without a version in its tag changes nothing. Pure.
v1::Engine EngineForImage(v1::Engine engine, const std::string& image);

}  // namespace npufleet::spec

#endif  // COMMON_SPEC_NOTES_H_
