// SPDX-License-Identifier: Apache-2.0
#include "controller/store/node_store.h"

#include <filesystem>
#include <random>
#include <system_error>

#include "absl/strings/numbers.h"
#include "common/status_macros.h"
#include "controller/store/backup.h"

namespace npufleet::store {
namespace {

constexpr char kTables[] = R"sql(
CREATE TABLE IF NOT EXISTS fleet (
  key TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS nodes (
  name TEXT PRIMARY KEY,
  address TEXT NOT NULL,
  joined_us INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS join_tokens (
  secret_sha256 TEXT PRIMARY KEY,
  node TEXT NOT NULL,
  expiry_us INTEGER NOT NULL,
  used_us INTEGER
) STRICT;
CREATE TABLE IF NOT EXISTS bearers (
  secret_sha256 TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  role TEXT NOT NULL,
  created_us INTEGER NOT NULL
) STRICT;
)sql";

Node NodeOf(const sqlite::Statement& row) {
  return {row.Text(0), row.Text(1), absl::FromUnixMicros(row.Int(2))};
}

}  // namespace

absl::StatusOr<std::unique_ptr<NodeStore>> NodeStore::Open(const std::string& path, bool create) {
  std::error_code error;
  if (!create && !std::filesystem::exists(path, error)) {
    if (error == std::errc::permission_denied)
      return absl::PermissionDeniedError(absl::StrCat(path, " is not readable by you: use sudo"));
    RETURN_IF_ERROR(CheckIntegrity(path));
    return absl::NotFoundError(
        absl::StrCat(path, " is not there: run `npufleet-controller init --address HOST` first"));
  }
  ASSIGN_OR_RETURN(sqlite::Database database, sqlite::Database::Open(path));
  RETURN_IF_ERROR(database.Execute(kTables));
  return std::unique_ptr<NodeStore>(new NodeStore(std::move(database)));
}

absl::StatusOr<uint64_t> NodeStore::Epoch() {
  absl::MutexLock lock(&mutex_);
  ASSIGN_OR_RETURN(sqlite::Statement get,
                   database_.Prepare("SELECT value FROM fleet WHERE key = 'epoch'"));
  ASSIGN_OR_RETURN(const bool found, get.Step());
  uint64_t epoch = 0;
  if (!found) return absl::NotFoundError(absl::StrCat(database_.path(), " has no epoch"));
  if (!absl::SimpleAtoi(get.Text(0), &epoch)) {
    return absl::DataLossError(
        absl::StrCat(database_.path(), ": the epoch \"", get.Text(0), "\" is not a number"));
  }
  return epoch;
}

absl::Status NodeStore::SetEpoch(absl::Time now) {
  std::random_device random;
  const uint64_t milliseconds = static_cast<uint64_t>(absl::ToUnixMillis(now)) & ((1ULL << 42) - 1);
  const uint64_t epoch = (milliseconds << 21) | (random() & ((1U << 21) - 1));
  absl::MutexLock lock(&mutex_);
  ASSIGN_OR_RETURN(sqlite::Statement put,
                   database_.Prepare("INSERT OR REPLACE INTO fleet VALUES ('epoch', ?)"));
  return put.BindText(1, absl::StrCat(epoch)).Run();
}

absl::Status NodeStore::AddJoinToken(const JoinTokenRecord& token) {
  absl::MutexLock lock(&mutex_);
  ASSIGN_OR_RETURN(sqlite::Statement put,
                   database_.Prepare("INSERT INTO join_tokens VALUES (?, ?, ?, NULL)"));
  put.BindText(1, token.secret_sha256).BindText(2, token.node);
  return put.BindInt(3, absl::ToUnixMicros(token.expiry)).Run();
}

absl::StatusOr<JoinTokenRecord> NodeStore::FindJoinToken(const std::string& secret_sha256) {
  absl::MutexLock lock(&mutex_);
  ASSIGN_OR_RETURN(sqlite::Statement get,
                   database_.Prepare(
                       "SELECT node, expiry_us, used_us FROM join_tokens WHERE secret_sha256 = ?"));
  get.BindText(1, secret_sha256);
  ASSIGN_OR_RETURN(const bool found, get.Step());
  if (!found) return absl::NotFoundError("no such join token");
  JoinTokenRecord token{secret_sha256, get.Text(0), absl::FromUnixMicros(get.Int(1)), {}};
  if (!get.IsNull(2)) token.used = absl::FromUnixMicros(get.Int(2));
  return token;
}

absl::Status NodeStore::Join(const std::string& secret_sha256, const Node& node) {
  absl::MutexLock lock(&mutex_);
  sqlite::Transaction transaction(database_);
  RETURN_IF_ERROR(transaction.status());
  ASSIGN_OR_RETURN(
      sqlite::Statement use,
      database_.Prepare(
          "UPDATE join_tokens SET used_us = ? WHERE secret_sha256 = ? AND used_us IS NULL"));
  use.BindInt(1, absl::ToUnixMicros(node.joined)).BindText(2, secret_sha256);
  RETURN_IF_ERROR(use.Run());
  if (database_.ChangedRows() != 1) {
    return absl::FailedPreconditionError("the join token was used already");
  }
  ASSIGN_OR_RETURN(sqlite::Statement put,
                   database_.Prepare("INSERT OR REPLACE INTO nodes VALUES (?, ?, ?)"));
  put.BindText(1, node.name).BindText(2, node.address);
  RETURN_IF_ERROR(put.BindInt(3, absl::ToUnixMicros(node.joined)).Run());
  return transaction.Commit();
}

absl::StatusOr<std::vector<Node>> NodeStore::ListNodes() {
  absl::MutexLock lock(&mutex_);
  ASSIGN_OR_RETURN(sqlite::Statement get,
                   database_.Prepare("SELECT name, address, joined_us FROM nodes ORDER BY name"));
  std::vector<Node> nodes;
  while (true) {
    ASSIGN_OR_RETURN(const bool found, get.Step());
    if (!found) return nodes;
    nodes.push_back(NodeOf(get));
  }
}

absl::StatusOr<Node> NodeStore::FindNode(const std::string& name) {
  absl::MutexLock lock(&mutex_);
  ASSIGN_OR_RETURN(sqlite::Statement get,
                   database_.Prepare("SELECT name, address, joined_us FROM nodes WHERE name = ?"));
  get.BindText(1, name);
  ASSIGN_OR_RETURN(const bool found, get.Step());
  if (!found) return absl::NotFoundError(absl::StrCat("no node \"", name, "\" has joined"));
  return NodeOf(get);
}

absl::Status NodeStore::RemoveNode(const std::string& name) {
  absl::MutexLock lock(&mutex_);
  sqlite::Transaction transaction(database_);
  RETURN_IF_ERROR(transaction.status());
  ASSIGN_OR_RETURN(sqlite::Statement tokens,
                   database_.Prepare("DELETE FROM join_tokens WHERE node = ? AND used_us IS NULL"));
  RETURN_IF_ERROR(tokens.BindText(1, name).Run());
  ASSIGN_OR_RETURN(sqlite::Statement node, database_.Prepare("DELETE FROM nodes WHERE name = ?"));
  RETURN_IF_ERROR(node.BindText(1, name).Run());
  if (database_.ChangedRows() != 1) {
    return absl::NotFoundError(absl::StrCat("no node \"", name, "\" has joined"));
  }
  return transaction.Commit();
}

absl::Status NodeStore::AddBearer(const std::string& secret_sha256, const Bearer& bearer,
                                  absl::Time now) {
  absl::MutexLock lock(&mutex_);
  ASSIGN_OR_RETURN(sqlite::Statement put,
                   database_.Prepare("INSERT INTO bearers VALUES (?, ?, ?, ?)"));
  put.BindText(1, secret_sha256).BindText(2, bearer.name).BindText(3, bearer.role);
  return put.BindInt(4, absl::ToUnixMicros(now)).Run();
}

absl::StatusOr<Bearer> NodeStore::FindBearer(const std::string& secret_sha256) {
  absl::MutexLock lock(&mutex_);
  ASSIGN_OR_RETURN(sqlite::Statement get,
                   database_.Prepare("SELECT name, role FROM bearers WHERE secret_sha256 = ?"));
  get.BindText(1, secret_sha256);
  ASSIGN_OR_RETURN(const bool found, get.Step());
  if (!found) return absl::NotFoundError("no such bearer token");
  return Bearer{get.Text(0), get.Text(1)};
}

}  // namespace npufleet::store
