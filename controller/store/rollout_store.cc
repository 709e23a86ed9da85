// SPDX-License-Identifier: Apache-2.0
#include "controller/store/rollout_store.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "common/time_conversion.h"
#include "controller/store/schema.h"
#include "controller/store/task_row.h"

namespace npufleet::store {
namespace {

absl::Status SaveRollout(sqlite::Database& database, const core::State& state) {
  ASSIGN_OR_RETURN(sqlite::Statement save, database.Prepare(R"sql(
    INSERT OR REPLACE INTO rollouts
      (name, revision, paused, cancelled, started_at, serving_since, retry) VALUES (?, ?, ?, ?, ?, ?, ?))sql"));
  return save.BindText(1, state.deployment)
      .BindInt(2, static_cast<int64_t>(state.revision))
      .BindInt(3, state.paused)
      .BindInt(4, state.cancelled)
      .BindInt(5, ToMicros(state.started_at))
      .BindInt(6, ToMicros(state.serving_since))
      .BindText(7, RetryToJson(state.retry))
      .Run();
}

absl::Status SaveTasks(sqlite::Database& database, const core::State& state,
                       const core::StepResult& result) {
  if (!result.changed_tasks.empty()) {
    ASSIGN_OR_RETURN(sqlite::Statement save, database.Prepare(R"sql(
      INSERT OR REPLACE INTO tasks (rollout, id, position, token, operation, body) VALUES (?, ?, ?, ?, ?, ?))sql"));
    for (const std::string& id : result.changed_tasks) {
      const core::Task* task = state.Find(id);
      if (task == nullptr) continue;
      RETURN_IF_ERROR(save.BindText(1, state.deployment)
                          .BindText(2, id)
                          .BindInt(3, state.index.at(id))
                          .BindText(4, task->token)
                          .BindText(5, task->operation ? task->operation->operation : "")
                          .BindText(6, TaskToJson(*task))
                          .Run());
    }
  }
  if (result.dropped_tasks.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(sqlite::Statement drop,
                   database.Prepare("DELETE FROM tasks WHERE rollout = ? AND id = ?"));
  for (const std::string& id : result.dropped_tasks) {
    RETURN_IF_ERROR(drop.BindText(1, state.deployment).BindText(2, id).Run());
  }
  return absl::OkStatus();
}

absl::Status SaveNodes(sqlite::Database& database, const core::State& state,
                       const core::StepResult& result) {
  if (result.changed_nodes.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(
      sqlite::Statement save,
      database.Prepare(
          "INSERT OR REPLACE INTO rollout_nodes (rollout, name, body) VALUES (?, ?, ?)"));
  for (const std::string& name : result.changed_nodes) {
    auto found = state.nodes.find(name);
    if (found == state.nodes.end()) continue;
    RETURN_IF_ERROR(save.BindText(1, state.deployment)
                        .BindText(2, name)
                        .BindText(3, NodeToJson(found->second))
                        .Run());
  }
  return absl::OkStatus();
}

absl::Status SaveNotes(sqlite::Database& database, const core::State& state,
                       const core::StepResult& result, absl::Time time) {
  if (result.notes.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(sqlite::Statement save,
                   database.Prepare("INSERT INTO events (time, rollout, task, node, kind, message) "
                                    "VALUES (?, ?, ?, ?, ?, ?)"));
  for (const core::Note& note : result.notes) {
    RETURN_IF_ERROR(save.BindInt(1, ToMicros(time))
                        .BindText(2, state.deployment)
                        .BindText(3, note.task)
                        .BindText(4, note.node)
                        .BindText(5, note.kind)
                        .BindText(6, note.message)
                        .Run());
  }
  ASSIGN_OR_RETURN(
      sqlite::Statement forget,
      database.Prepare("DELETE FROM events WHERE id <= (SELECT MAX(id) FROM events) - ?"));
  return forget.BindInt(1, kKeptEvents).Run();
}

absl::Status MarkServed(sqlite::Database& database, const core::State& state) {
  ASSIGN_OR_RETURN(
      sqlite::Statement mark,
      database.Prepare("UPDATE revisions SET served = 1 WHERE rollout = ? AND revision = ?"));
  return mark.BindText(1, state.deployment).BindInt(2, static_cast<int64_t>(state.revision)).Run();
}

absl::Status SaveRevision(sqlite::Database& database, const std::string& rollout,
                          const NewRevision& revision, absl::Time time) {
  ASSIGN_OR_RETURN(sqlite::Statement save,
                   database.Prepare("INSERT INTO revisions (rollout, revision, time, author, "
                                    "deployment, served) VALUES (?, ?, ?, ?, ?, 0)"));
  return save.BindText(1, rollout)
      .BindInt(2, static_cast<int64_t>(revision.revision))
      .BindInt(3, ToMicros(time))
      .BindText(4, revision.author)
      .BindBlob(5, revision.deployment.SerializeAsString())
      .Run();
}

// OK when there is a rollout of that name, or an event of one that there was.
absl::Status CheckName(sqlite::Database& database, const std::string& rollout) {
  ASSIGN_OR_RETURN(sqlite::Statement get, database.Prepare(R"sql(
    SELECT 1 FROM rollouts WHERE name = ?1
    UNION ALL SELECT 1 FROM events WHERE rollout = ?1 LIMIT 1)sql"));
  get.BindText(1, rollout);
  ASSIGN_OR_RETURN(const bool found, get.Step());
  if (found) return absl::OkStatus();
  return absl::NotFoundError(absl::StrCat("no rollout \"", rollout, "\", and no event of one"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<RolloutStore>> RolloutStore::Open(const std::string& path) {
  ASSIGN_OR_RETURN(sqlite::Database database, sqlite::Database::Open(path));
  RETURN_IF_ERROR(Annotate(MigrateSchema(database), path));
  ASSIGN_OR_RETURN(sqlite::Database reader, sqlite::Database::Open(path));
  return std::unique_ptr<RolloutStore>(new RolloutStore(std::move(database), std::move(reader)));
}

absl::StatusOr<std::vector<core::State>> RolloutStore::LoadAll(uint64_t epoch) {
  std::vector<core::State> states;
  ASSIGN_OR_RETURN(sqlite::Statement rollouts,
                   database_.Prepare("SELECT name, revision, paused, cancelled, started_at, "
                                     "serving_since, retry FROM rollouts ORDER BY name"));
  while (true) {
    ASSIGN_OR_RETURN(const bool found, rollouts.Step());
    if (!found) break;
    core::State state;
    state.epoch = epoch;
    state.deployment = rollouts.Text(0);
    state.revision = static_cast<uint64_t>(rollouts.Int(1));
    state.paused = rollouts.Int(2) != 0;
    state.cancelled = rollouts.Int(3) != 0;
    state.started_at = FromMicros(rollouts.Int(4));
    state.serving_since = FromMicros(rollouts.Int(5));
    ASSIGN_OR_RETURN(state.retry, RetryFromJson(rollouts.Text(6)));
    states.push_back(std::move(state));
  }
  ASSIGN_OR_RETURN(sqlite::Statement tasks,
                   database_.Prepare("SELECT body FROM tasks WHERE rollout = ? ORDER BY position"));
  ASSIGN_OR_RETURN(sqlite::Statement nodes,
                   database_.Prepare("SELECT body FROM rollout_nodes WHERE rollout = ?"));
  for (core::State& state : states) {
    tasks.Reset();
    tasks.BindText(1, state.deployment);
    while (true) {
      ASSIGN_OR_RETURN(const bool found, tasks.Step());
      if (!found) break;
      ASSIGN_OR_RETURN(core::Task task, TaskFromJson(tasks.Text(0)));
      state.tasks.push_back(std::move(task));
    }
    nodes.Reset();
    nodes.BindText(1, state.deployment);
    while (true) {
      ASSIGN_OR_RETURN(const bool found, nodes.Step());
      if (!found) break;
      ASSIGN_OR_RETURN(core::Node node, NodeFromJson(nodes.Text(0)));
      state.nodes[node.name] = std::move(node);
    }
  }
  return states;
}

absl::StatusOr<v1::Deployment> RolloutStore::LoadRevision(const std::string& rollout,
                                                          uint64_t revision) {
  ASSIGN_OR_RETURN(
      sqlite::Statement get,
      database_.Prepare("SELECT deployment FROM revisions WHERE rollout = ? AND revision = ?"));
  get.BindText(1, rollout).BindInt(2, static_cast<int64_t>(revision));
  ASSIGN_OR_RETURN(const bool found, get.Step());
  v1::Deployment deployment;
  if (!found) {
    return absl::NotFoundError(absl::StrCat(rollout, " has no revision ", revision));
  }
  if (!deployment.ParseFromString(get.Blob(0))) {
    return absl::DataLossError(
        absl::StrCat("revision ", revision, " of ", rollout, " cannot be read"));
  }
  return deployment;
}

absl::Status RolloutStore::Commit(const core::State& state, const core::StepResult& result,
                                  absl::Time time, const NewRevision* revision) {
  sqlite::Transaction transaction(database_);
  RETURN_IF_ERROR(transaction.status());
  if (revision != nullptr) {
    RETURN_IF_ERROR(SaveRevision(database_, state.deployment, *revision, time));
  }
  if (result.rollout_changed || revision != nullptr) RETURN_IF_ERROR(SaveRollout(database_, state));
  RETURN_IF_ERROR(SaveTasks(database_, state, result));
  RETURN_IF_ERROR(SaveNodes(database_, state, result));
  RETURN_IF_ERROR(SaveNotes(database_, state, result, time));
  if (state.serving_since == time) RETURN_IF_ERROR(MarkServed(database_, state));
  return transaction.Commit();
}

absl::StatusOr<v1::ListRevisionsReply> RolloutStore::ListRevisions(const std::string& rollout) {
  absl::MutexLock lock(&reader_mutex_);
  ASSIGN_OR_RETURN(sqlite::Statement get,
                   reader_.Prepare("SELECT revision, time, author, deployment, served FROM "
                                   "revisions WHERE rollout = ? ORDER BY revision DESC"));
  get.BindText(1, rollout);
  v1::ListRevisionsReply reply;
  while (true) {
    ASSIGN_OR_RETURN(const bool found, get.Step());
    if (!found) return reply;
    v1::Revision& revision = *reply.add_revisions();
    revision.set_revision(static_cast<uint64_t>(get.Int(0)));
    *revision.mutable_time() = ToTimestamp(FromMicros(get.Int(1)));
    revision.set_author(get.Text(2));
    revision.mutable_deployment()->ParseFromString(get.Blob(3));
    revision.set_served(get.Int(4) != 0);
  }
}

absl::StatusOr<v1::ListEventsReply> RolloutStore::ListEvents(const v1::ListEventsRequest& request) {
  absl::MutexLock lock(&reader_mutex_);
  ASSIGN_OR_RETURN(sqlite::Statement get, reader_.Prepare(R"sql(
    SELECT id, time, rollout, task, node, kind, message FROM events
    WHERE id > ? AND (?2 = '' OR rollout = ?2) ORDER BY id LIMIT ?3)sql"));
  get.BindInt(1, static_cast<int64_t>(request.after()))
      .BindText(2, request.rollout())
      .BindInt(3, request.page_size());
  v1::ListEventsReply reply;
  reply.set_next(request.after());
  while (true) {
    ASSIGN_OR_RETURN(const bool found, get.Step());
    if (!found) break;
    v1::Event& event = *reply.add_events();
    event.set_id(static_cast<uint64_t>(get.Int(0)));
    *event.mutable_time() = ToTimestamp(FromMicros(get.Int(1)));
    event.set_rollout(get.Text(2));
    event.set_task(get.Text(3));
    event.set_node(get.Text(4));
    event.set_kind(get.Text(5));
    event.set_message(get.Text(6));
    reply.set_next(event.id());
  }
  if (reply.events().empty() && !request.rollout().empty()) {
    RETURN_IF_ERROR(CheckName(reader_, request.rollout()));
  }
  return reply;
}

}  // namespace npufleet::store
