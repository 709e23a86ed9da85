// SPDX-License-Identifier: Apache-2.0
//
// What was verified of a file that an install will run: its sha256, and size and time that it had
// then. A Check compares these and reads no hundreds of MB; before it is run it is read. The note
// stands in the artifact folder as NAME.verified.json.
#ifndef AGENT_VERBS_FETCHED_FILE_H_
#define AGENT_VERBS_FETCHED_FILE_H_

#include <string>

#include "absl/status/status.h"
#include "agent/host/host.h"
#include "npufleet/v1/spec.pb.h"

namespace npufleet::verbs {

// Where artifacts are kept: an interrupted download goes on there, and a second install needs none.
inline constexpr char kArtifactFolder[] = "/var/lib/npufleet/agent/artifacts/";

// The last part of the URL, without a query; empty when the URL names no file.
std::string FileNameOf(const v1::Artifact& artifact);

// Where it is on the node: the URL when that is an absolute path, or else in the artifact folder.
std::string PlaceOf(const v1::Artifact& artifact);

// Whether the file in its place is, by size and time, one that was verified for this artifact.
bool IsVerified(host::Host& host, const v1::Artifact& artifact);

// The same of an artifact without a sha256, by reading: the bytes are those that came from its URL.
bool HasVerifiedBytes(host::Host& host, const v1::Artifact& artifact);

// After the file in its place was compared with the artifact's sha256, or came from its URL.
absl::Status NoteVerified(host::Host& host, const v1::Artifact& artifact);

// After an install of it failed. Without a sha256 nobody knows that it came whole: it is fetched
// anew.
void Distrust(host::Host& host, const v1::Artifact& artifact);

// Why it is still to be fetched, with what is known of its size.
std::string WhatIsMissing(host::Host& host, const v1::Artifact& artifact);

}  // namespace npufleet::verbs

#endif  // AGENT_VERBS_FETCHED_FILE_H_
