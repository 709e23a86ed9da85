// SPDX-License-Identifier: Apache-2.0
#include "controller/store/schema.h"

#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace npufleet::store {
namespace {

// Only ever appended to.
const std::vector<std::string>& Migrations() {
  static const auto* migrations = new std::vector<std::string>{
      R"sql(
      CREATE TABLE rollouts (
        name TEXT PRIMARY KEY,
        revision INTEGER NOT NULL,
        paused INTEGER NOT NULL,
        cancelled INTEGER NOT NULL,
        started_at INTEGER NOT NULL,     -- microseconds since 1970, as all times here
        serving_since INTEGER NOT NULL,
        retry TEXT NOT NULL              -- JSON
      ) STRICT;
      CREATE TABLE revisions (
        rollout TEXT NOT NULL,
        revision INTEGER NOT NULL,
        time INTEGER NOT NULL,
        author TEXT NOT NULL,
        deployment BLOB NOT NULL,        -- npufleet.v1.Deployment, defaults resolved
        served INTEGER NOT NULL,
        PRIMARY KEY (rollout, revision)
      ) STRICT;
      CREATE TABLE tasks (
        rollout TEXT NOT NULL,
        id TEXT NOT NULL,
        position INTEGER NOT NULL,
        token TEXT NOT NULL,             -- of the newest present; empty: none
        operation TEXT NOT NULL,         -- outstanding; empty: none
        body TEXT NOT NULL,              -- JSON (task_row.h)
        PRIMARY KEY (rollout, id)
      ) STRICT;
      CREATE TABLE rollout_nodes (
        rollout TEXT NOT NULL,
        name TEXT NOT NULL,
        body TEXT NOT NULL,              -- JSON
        PRIMARY KEY (rollout, name)
      ) STRICT;
      CREATE TABLE events (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        time INTEGER NOT NULL,
        rollout TEXT NOT NULL,
        task TEXT NOT NULL,
        node TEXT NOT NULL,
        kind TEXT NOT NULL,
        message TEXT NOT NULL
      ) STRICT;
      CREATE INDEX events_by_rollout ON events (rollout, id);
      )sql",
  };
  return *migrations;
}

}  // namespace

absl::Status MigrateSchema(sqlite::Database& database) {
  ASSIGN_OR_RETURN(const int64_t version, database.UserVersion());
  if (version > 0 && version < static_cast<int64_t>(Migrations().size())) {
    const std::string backup = absl::StrCat(database.path(), ".before-", Migrations().size());
    if (access(backup.c_str(), F_OK) != 0) RETURN_IF_ERROR(database.BackUp(backup));
  }
  return database.Migrate(Migrations());
}

}  // namespace npufleet::store
