// SPDX-License-Identifier: Apache-2.0
//
// The tables of the controller's database (npufleet.db).
#ifndef CONTROLLER_STORE_SCHEMA_H_
#define CONTROLLER_STORE_SCHEMA_H_

#include "absl/status/status.h"
#include "common/sqlite.h"

namespace npufleet::store {

// Brings the file to the newest schema. A file that has content of an older schema is first copied
// to FILE.before-VERSION.
absl::Status MigrateSchema(sqlite::Database& database);

}  // namespace npufleet::store

#endif  // CONTROLLER_STORE_SCHEMA_H_
