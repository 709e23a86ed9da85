// SPDX-License-Identifier: Apache-2.0
//
// The files that install_driver, install_docker and install_runtime will need, fetched beforehand:
// those installs take down what serves, a download need not.
#ifndef AGENT_VERBS_FETCH_INSTALLERS_FETCH_INSTALLERS_H_
#define AGENT_VERBS_FETCH_INSTALLERS_FETCH_INSTALLERS_H_

#include <memory>

#include "absl/status/statusor.h"
#include "agent/verbs/verb.h"

namespace npufleet::verbs {

// Token: "fetched", whatever is here: what stands on it must not change when files come or are no
// longer needed. An ABSENT names the files in its fact "missing", one a line, each by its URL as it
// may be shown.
absl::StatusOr<std::unique_ptr<Verb>> MakeFetchInstallers(const v1::FetchInstallers& want,
                                                          const v1::Subject& subject,
                                                          host::Host& host);

}  // namespace npufleet::verbs

#endif  // AGENT_VERBS_FETCH_INSTALLERS_FETCH_INSTALLERS_H_
