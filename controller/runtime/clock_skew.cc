// SPDX-License-Identifier: Apache-2.0
#include "controller/runtime/clock_skew.h"

#include "absl/strings/str_cat.h"
#include "common/time_conversion.h"

namespace npufleet::runtime {
namespace {

absl::Duration LimitOf(const v1::Deployment& deployment) {
  return FromProtoDuration(deployment.spec().preflight().max_clock_skew());
}

}  // namespace

bool ClockIsOff(absl::Duration skew, const v1::Deployment& deployment) {
  return absl::AbsDuration(skew) > LimitOf(deployment);
}

void JudgeClock(const std::string& node, absl::Duration skew, const v1::Deployment& deployment,
                v1::Observation* preflight) {
  if (!ClockIsOff(skew, deployment) || preflight->has_failure()) return;
  const absl::Duration off = absl::Trunc(absl::AbsDuration(skew), absl::Milliseconds(100));
  preflight->Clear();
  preflight->set_state(v1::Observation::ABSENT);
  v1::Failure& failure = *preflight->mutable_failure();
  failure.set_class_(v1::Failure::NEEDS_OPERATOR);
  failure.set_symptom(absl::StrCat("the clock of ", node, " is ", absl::FormatDuration(off),
                                   skew > absl::ZeroDuration() ? " ahead of" : " behind",
                                   " the controller's, more than the ",
                                   absl::FormatDuration(LimitOf(deployment)), " that are allowed"));
  failure.set_advice("Enable chrony or ntpd on both machines; the rollout then goes on by itself.");
  preflight->set_reason(failure.symptom());
}

}  // namespace npufleet::runtime
