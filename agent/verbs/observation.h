// SPDX-License-Identifier: Apache-2.0
//
// Short ways to say what a Check saw and why an Apply failed.
#ifndef AGENT_VERBS_OBSERVATION_H_
#define AGENT_VERBS_OBSERVATION_H_

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "common/failure.h"
#include "npufleet/v1/operation.pb.h"

namespace npufleet::verbs {

inline v1::Observation Present(std::string_view token) {
  v1::Observation observation;
  observation.set_state(v1::Observation::PRESENT);
  observation.set_token(std::string(token));
  return observation;
}

// `token` names what stands in the place of what is wanted.
inline v1::Observation Absent(std::string_view reason, std::string_view token = "") {
  v1::Observation observation;
  observation.set_state(v1::Observation::ABSENT);
  observation.set_reason(std::string(reason));
  observation.set_token(std::string(token));
  return observation;
}

// Absent, and no Apply could help: the failure that `status` carries says why.
inline v1::Observation AbsentFor(const absl::Status& status) {
  v1::Observation observation = Absent(std::string(status.message()));
  *observation.mutable_failure() = ToFailure(status);
  return observation;
}

inline v1::Observation Unknown(std::string_view why) {
  v1::Observation observation;
  observation.set_state(v1::Observation::UNKNOWN);
  observation.set_reason(std::string(why));
  return observation;
}

// A failure that our own code found, under its id of the failure catalogue. `redo_stage` with REDO
// only.
inline absl::Status SignedFailure(v1::Failure::Class failure_class, std::string_view signature,
                                  std::string_view symptom, std::string_view advice,
                                  std::string_view redo_stage = "") {
  v1::Failure failure;
  failure.set_class_(failure_class);
  failure.set_signature(std::string(signature));
  failure.set_symptom(std::string(symptom));
  failure.set_advice(std::string(advice));
  failure.set_redo_stage(std::string(redo_stage));
  return FailureStatus(failure);
}

}  // namespace npufleet::verbs

#endif  // AGENT_VERBS_OBSERVATION_H_
