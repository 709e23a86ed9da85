// SPDX-License-Identifier: Apache-2.0
//
// The runbook's `docker run -itd`: one container, with the stamp as a label. A container of that
// name that is not ours is never touched.
#ifndef AGENT_VERBS_RUN_CONTAINER_RUN_CONTAINER_H_
#define AGENT_VERBS_RUN_CONTAINER_RUN_CONTAINER_H_

#include <memory>

#include "absl/status/statusor.h"
#include "agent/verbs/verb.h"

namespace npufleet::verbs {

inline constexpr char kTaskLabel[] = "npufleet.task";
inline constexpr char kStampLabel[] = "npufleet.stamp";

// The runbook's flags of `run` as Docker takes them; the image is inputs["image"] where there is
// one. InvalidArgument for a shm size that is no size.
absl::StatusOr<host::ContainerSpec> ToContainerSpec(const v1::RunContainer& run,
                                                    const v1::Subject& subject);

// The same as a line for a shell.
std::string DockerRunLine(const host::ContainerSpec& spec, std::string_view shm_size);

absl::StatusOr<std::unique_ptr<Verb>> MakeRunContainer(const v1::RunContainer& run,
                                                       const v1::Subject& subject,
                                                       host::Host& host);

}  // namespace npufleet::verbs

#endif  // AGENT_VERBS_RUN_CONTAINER_RUN_CONTAINER_H_
