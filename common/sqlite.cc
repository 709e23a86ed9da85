// SPDX-License-Identifier: Apache-2.0
#include "common/sqlite.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace npufleet::sqlite {
namespace {

constexpr int kBusyMilliseconds = 5000;

absl::StatusCode CodeOf(int result) {
  switch (result & 0xff) {
    case SQLITE_FULL:
      return absl::StatusCode::kResourceExhausted;
    case SQLITE_CONSTRAINT:
      return result == SQLITE_CONSTRAINT_UNIQUE || result == SQLITE_CONSTRAINT_PRIMARYKEY ||
                     result == SQLITE_CONSTRAINT_ROWID
                 ? absl::StatusCode::kAlreadyExists
                 : absl::StatusCode::kFailedPrecondition;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return absl::StatusCode::kUnavailable;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return absl::StatusCode::kDataLoss;
    default:
      return absl::StatusCode::kInternal;
  }
}

absl::Status ErrorOf(sqlite3* handle, int result) {
  const char* file = handle != nullptr ? sqlite3_db_filename(handle, "main") : nullptr;
  std::string name = file != nullptr && *file != '\0' ? file : "database";
  const char* message = handle != nullptr && sqlite3_errcode(handle) != SQLITE_OK
                            ? sqlite3_errmsg(handle)
                            : sqlite3_errstr(result);
  return absl::Status(CodeOf(result), absl::StrCat(name, ": ", message));
}

}  // namespace

void Statement::Finalizer::operator()(sqlite3_stmt* statement) const {
  sqlite3_finalize(statement);
}

Statement& Statement::BindInt(int parameter, int64_t value) {
  int result = sqlite3_bind_int64(statement_.get(), parameter, value);
  if (result != SQLITE_OK) bind_error_ = result;
  return *this;
}

Statement& Statement::BindText(int parameter, std::string_view value) {
  int result = sqlite3_bind_text64(statement_.get(), parameter, value.data() ? value.data() : "",
                                   value.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
  if (result != SQLITE_OK) bind_error_ = result;
  return *this;
}

Statement& Statement::BindBlob(int parameter, std::string_view value) {
  int result = value.empty() ? sqlite3_bind_zeroblob(statement_.get(), parameter, 0)
                             : sqlite3_bind_blob64(statement_.get(), parameter, value.data(),
                                                   value.size(), SQLITE_TRANSIENT);
  if (result != SQLITE_OK) bind_error_ = result;
  return *this;
}

Statement& Statement::BindNull(int parameter) {
  int result = sqlite3_bind_null(statement_.get(), parameter);
  if (result != SQLITE_OK) bind_error_ = result;
  return *this;
}

absl::StatusOr<bool> Statement::Step() {
  sqlite3* handle = sqlite3_db_handle(statement_.get());
  if (bind_error_ != 0) return ErrorOf(handle, bind_error_);
  int result = sqlite3_step(statement_.get());
  if (result == SQLITE_ROW) return true;
  if (result == SQLITE_DONE) return false;
  absl::Status error = ErrorOf(handle, sqlite3_extended_errcode(handle));
  sqlite3_reset(statement_.get());
  return error;
}

absl::Status Statement::Run() {
  while (true) {
    absl::StatusOr<bool> row = Step();
    if (!row.ok() || !*row) {
      Reset();
      return row.status();
    }
  }
}

void Statement::Reset() {
  sqlite3_reset(statement_.get());
  sqlite3_clear_bindings(statement_.get());
  bind_error_ = 0;
}

int64_t Statement::Int(int column) const { return sqlite3_column_int64(statement_.get(), column); }

std::string Statement::Text(int column) const {
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement_.get(), column));
  if (text == nullptr) return "";
  return std::string(text, sqlite3_column_bytes(statement_.get(), column));
}

std::string Statement::Blob(int column) const {
  const auto* bytes = static_cast<const char*>(sqlite3_column_blob(statement_.get(), column));
  if (bytes == nullptr) return "";
  return std::string(bytes, sqlite3_column_bytes(statement_.get(), column));
}

bool Statement::IsNull(int column) const {
  return sqlite3_column_type(statement_.get(), column) == SQLITE_NULL;
}

void Database::Closer::operator()(sqlite3* handle) const { sqlite3_close_v2(handle); }

absl::StatusOr<Database> Database::Open(const std::string& path) {
  if (path != ":memory:") {
    // SQLite gives -wal and -shm the mode of the main file, so the mode is settled before it opens
    // it. Only a new file is opened here: to close an old one would drop the locks of this process.
    int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (file < 0 && errno != EEXIST) {
      return absl::Status(errno == ENOSPC ? absl::StatusCode::kResourceExhausted
                                          : absl::StatusCode::kFailedPrecondition,
                          absl::StrCat("cannot open ", path, ": ", std::strerror(errno)));
    }
    if (file >= 0) ::close(file);
  }
  sqlite3* handle = nullptr;
  int result =
      sqlite3_open_v2(path.c_str(), &handle,
                      SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_FULLMUTEX, nullptr);
  Database database(handle, path);
  if (result != SQLITE_OK) return ErrorOf(handle, result);
  sqlite3_extended_result_codes(handle, 1);
  sqlite3_busy_timeout(handle, kBusyMilliseconds);
  RETURN_IF_ERROR(database.Execute(
      "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;"));
  return database;
}

absl::Status Database::Execute(std::string_view sql) {
  int result = sqlite3_exec(handle_.get(), std::string(sql).c_str(), nullptr, nullptr, nullptr);
  return result == SQLITE_OK ? absl::OkStatus() : ErrorOf(handle_.get(), result);
}

absl::StatusOr<Statement> Database::Prepare(std::string_view sql) {
  sqlite3_stmt* statement = nullptr;
  int result = sqlite3_prepare_v3(handle_.get(), sql.data(), static_cast<int>(sql.size()), 0,
                                  &statement, nullptr);
  if (result != SQLITE_OK) return ErrorOf(handle_.get(), result);
  if (statement == nullptr) return absl::InvalidArgumentError("an empty SQL statement");
  return Statement(statement);
}

absl::StatusOr<int64_t> Database::UserVersion() {
  ASSIGN_OR_RETURN(Statement get, Prepare("PRAGMA user_version"));
  ASSIGN_OR_RETURN(bool row, get.Step());
  return row ? get.Int(0) : 0;
}

absl::Status Database::Migrate(const std::vector<std::string>& migrations) {
  ASSIGN_OR_RETURN(int64_t version, UserVersion());
  const auto newest = static_cast<int64_t>(migrations.size());
  if (version > newest) {
    return absl::FailedPreconditionError(
        absl::StrCat(path_, " has version ", version, ", this program knows ", newest,
                     ": install the newer program again or restore a backup of the file"));
  }
  for (; version < newest; ++version) {
    Transaction transaction(*this);
    RETURN_IF_ERROR(transaction.status());
    RETURN_IF_ERROR(
        Annotate(Execute(migrations[version]), absl::StrCat("migration to version ", version + 1)));
    RETURN_IF_ERROR(Execute(absl::StrCat("PRAGMA user_version = ", version + 1)));
    RETURN_IF_ERROR(transaction.Commit());
  }
  return absl::OkStatus();
}

absl::Status Database::BackUp(const std::string& path) {
  ASSIGN_OR_RETURN(Statement copy, Prepare("VACUUM INTO ?"));
  copy.BindText(1, path);
  return copy.Run();
}

int64_t Database::LastInsertRowId() const { return sqlite3_last_insert_rowid(handle_.get()); }

int64_t Database::ChangedRows() const { return sqlite3_changes64(handle_.get()); }

Transaction::Transaction(Database& database)
    : database_(database), begun_(database.Execute("BEGIN IMMEDIATE")), open_(begun_.ok()) {}

Transaction::~Transaction() {
  // SQLite itself rolls back on SQLITE_FULL and the like; a second ROLLBACK then only says so.
  if (open_) database_.Execute("ROLLBACK").IgnoreError();
}

absl::Status Transaction::Commit() {
  RETURN_IF_ERROR(begun_);
  if (!open_) return absl::FailedPreconditionError("the transaction is over");
  RETURN_IF_ERROR(database_.Execute("COMMIT"));
  open_ = false;
  return absl::OkStatus();
}

}  // namespace npufleet::sqlite
