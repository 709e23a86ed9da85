// SPDX-License-Identifier: Apache-2.0
//
// The controller's memory: rollouts, their revisions, tasks, nodes and history, in SQLite. What is
// written together is committed together; what was not committed never happened.
//
// One thread (the loop) writes. Reads of history go through a second connection and may come from
// any thread. Errors are those of common/sqlite.h: ResourceExhausted when the disk is full.
#ifndef CONTROLLER_STORE_ROLLOUT_STORE_H_
#define CONTROLLER_STORE_ROLLOUT_STORE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/sqlite.h"
#include "controller/core/state.h"
#include "controller/core/step.h"
#include "npufleet/v1/controller.pb.h"

namespace npufleet::store {

struct NewRevision {
  uint64_t revision = 0;
  std::string author;
  v1::Deployment deployment;  // with defaults resolved
};

// Of all rollouts together, the newest. A node that comes and goes all day makes thousands.
inline constexpr int64_t kKeptEvents = 100'000;

class RolloutStore {
 public:
  // Opens the database file that `npufleet-controller init` made, and migrates it. A backup of an
  // older schema is kept beside it as FILE.before-VERSION.
  static absl::StatusOr<std::unique_ptr<RolloutStore>> Open(const std::string& path);

  // Every rollout as it was committed last; transient fields are not set (core::Reindex). `epoch`
  // is the store's (NodeStore::Epoch); operation ids begin with it.
  absl::StatusOr<std::vector<core::State>> LoadAll(uint64_t epoch);
  absl::StatusOr<v1::Deployment> LoadRevision(const std::string& rollout, uint64_t revision);

  // One step at `time`: what `result` names as changed in `state`, its notes, a revision when one
  // was made, and that the revision has served when it does so since.
  absl::Status Commit(const core::State& state, const core::StepResult& result, absl::Time time,
                      const NewRevision* revision);

  // Threadsafe.
  absl::StatusOr<v1::ListRevisionsReply> ListRevisions(const std::string& rollout);
  // NotFound: neither a rollout nor any event, before `after` either, has the name that is asked
  // for.
  absl::StatusOr<v1::ListEventsReply> ListEvents(const v1::ListEventsRequest& request);

  absl::Status BackUp(const std::string& path) { return database_.BackUp(path); }

 private:
  RolloutStore(sqlite::Database database, sqlite::Database reader)
      : database_(std::move(database)), reader_(std::move(reader)) {}

  sqlite::Database database_;
  absl::Mutex reader_mutex_;
  sqlite::Database reader_ ABSL_GUARDED_BY(reader_mutex_);
};

}  // namespace npufleet::store

#endif  // CONTROLLER_STORE_ROLLOUT_STORE_H_
