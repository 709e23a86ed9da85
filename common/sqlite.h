// SPDX-License-Identifier: Apache-2.0
//
// SQLite with the settings that our stores share: WAL, synchronous=FULL, foreign keys, numbered
// migrations in user_version. Errors: ResourceExhausted when there is no room (SQLITE_FULL),
// AlreadyExists for a violated unique or primary key, FailedPrecondition for another violated
// constraint or a file of a newer program, Unavailable when the file is locked by another process,
// DataLoss for a damaged file, otherwise Internal. Messages name the file.
//
// A Database and what was made from it are used by one thread at a time.
#ifndef COMMON_SQLITE_H_
#define COMMON_SQLITE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

struct sqlite3;
struct sqlite3_stmt;

namespace npufleet::sqlite {

// A prepared statement. Outlived by its Database.
//
//   ASSIGN_OR_RETURN(Statement get, database.Prepare("SELECT body FROM t WHERE id = ?"));
//   get.BindText(1, id);
//   ASSIGN_OR_RETURN(bool found, get.Step());
//   if (found) Use(get.Blob(0));
class Statement {
 public:
  Statement(Statement&&) = default;
  Statement& operator=(Statement&&) = default;

  // Parameters count from 1. The value is copied. Binding a parameter that the statement does not
  // have is reported by the next Step.
  Statement& BindInt(int parameter, int64_t value);
  Statement& BindText(int parameter, std::string_view value);
  Statement& BindBlob(int parameter, std::string_view value);
  Statement& BindNull(int parameter);

  // True: at a row. False: the statement is done.
  absl::StatusOr<bool> Step();
  // For statements without rows: steps to the end and is ready to be bound and run again.
  absl::Status Run();
  // Ready to be run again; bindings are cleared.
  void Reset();

  // Columns of the present row count from 0; the bytes are copied. NULL is 0 or empty.
  int64_t Int(int column) const;
  std::string Text(int column) const;
  std::string Blob(int column) const;
  bool IsNull(int column) const;

 private:
  friend class Database;
  struct Finalizer {
    void operator()(sqlite3_stmt* statement) const;
  };
  explicit Statement(sqlite3_stmt* statement) : statement_(statement) {}

  std::unique_ptr<sqlite3_stmt, Finalizer> statement_;
  int bind_error_ = 0;
};

class Database {
 public:
  Database(Database&&) = default;
  Database& operator=(Database&&) = default;

  // Opens or makes the file (mode 0600; its folder must be there). ":memory:" is a database of its
  // own.
  static absl::StatusOr<Database> Open(const std::string& path);

  // Statements without parameters and results, separated by semicolons.
  absl::Status Execute(std::string_view sql);
  absl::StatusOr<Statement> Prepare(std::string_view sql);

  // migrations[i] takes user_version i to i + 1, each in a transaction of its own. A file whose
  // user_version is greater than migrations.size() is of a newer program: FailedPrecondition.
  absl::Status Migrate(const std::vector<std::string>& migrations);
  absl::StatusOr<int64_t> UserVersion();

  // A consistent copy as a new file at `path`, which must not exist (VACUUM INTO).
  absl::Status BackUp(const std::string& path);

  int64_t LastInsertRowId() const;
  int64_t ChangedRows() const;  // by the newest INSERT, UPDATE or DELETE
  const std::string& path() const { return path_; }

 private:
  struct Closer {
    void operator()(sqlite3* handle) const;
  };
  Database(sqlite3* handle, std::string path) : handle_(handle), path_(std::move(path)) {}

  std::unique_ptr<sqlite3, Closer> handle_;
  std::string path_;
};

// BEGIN IMMEDIATE in the constructor; rolled back in the destructor unless Commit() succeeded. Ask
// status() before the first statement: after a BEGIN that failed it would stand alone.
class Transaction {
 public:
  explicit Transaction(Database& database);
  ~Transaction();
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;

  const absl::Status& status() const { return begun_; }  // of BEGIN
  absl::Status Commit();

 private:
  Database& database_;
  absl::Status begun_;
  bool open_;
};

}  // namespace npufleet::sqlite

#endif  // COMMON_SQLITE_H_
