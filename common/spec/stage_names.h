// SPDX-License-Identifier: Apache-2.0
//
// The stages by name, for what a spec says of one (spec.retry.stages). What they are is in
// controller/stages/catalogue.cc; a test compares the two.
#ifndef COMMON_SPEC_STAGE_NAMES_H_
#define COMMON_SPEC_STAGE_NAMES_H_

namespace npufleet::spec {

inline constexpr const char* kStageNames[] = {
    "preflight", "packages", "installers", "driver",  "npu",   "fabric",
    "reach",     "docker",   "runtime",    "obsutil", "image", "model",
    "container", "ray-head", "ray-worker", "serve",   "probe"};

}  // namespace npufleet::spec

#endif  // COMMON_SPEC_STAGE_NAMES_H_
