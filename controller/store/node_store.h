// SPDX-License-Identifier: Apache-2.0
//
// Who belongs to the fleet: nodes, join tokens, bearer tokens, and the epoch of the store. Tables
// of their own in the controller's database, made when missing; the numbered migrations of that
// file belong to the rollouts. Several processes may have it open (`token create` beside the
// running controller).
//
// Secrets are kept as their SHA-256 only.
#ifndef CONTROLLER_STORE_NODE_STORE_H_
#define CONTROLLER_STORE_NODE_STORE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/sqlite.h"

namespace npufleet::store {

struct Node {
  std::string name;
  std::string address;  // host:port of its agent
  absl::Time joined;    // newest time; a certificate from before is not renewed
};

struct JoinTokenRecord {
  std::string secret_sha256;
  std::string node;
  absl::Time expiry;
  std::optional<absl::Time> used;
};

struct Bearer {
  std::string name;
  std::string role;
};

// Threadsafe. Times are kept to the microsecond.
class NodeStore {
 public:
  // Opens `database`, which must be there unless `create`; then its folder must be. NotFound says
  // to run init.
  static absl::StatusOr<std::unique_ptr<NodeStore>> Open(const std::string& database, bool create);

  // Identifies the making of this store: 63 bits, larger for a store that was made later. NotFound
  // before SetEpoch().
  absl::StatusOr<uint64_t> Epoch();
  // Milliseconds since 1970 (42 bits) above 21 random bits, so that two stores never share one.
  absl::Status SetEpoch(absl::Time now);

  absl::Status AddJoinToken(const JoinTokenRecord& token);
  absl::StatusOr<JoinTokenRecord> FindJoinToken(const std::string& secret_sha256);  // NotFound
  // Uses the token up and adds or replaces the node, both or neither. FailedPrecondition when the
  // token was used meanwhile.
  absl::Status Join(const std::string& secret_sha256, const Node& node);

  absl::StatusOr<std::vector<Node>> ListNodes();           // by name
  absl::StatusOr<Node> FindNode(const std::string& name);  // NotFound
  // And its join tokens that were not used; NotFound.
  absl::Status RemoveNode(const std::string& name);

  absl::Status AddBearer(const std::string& secret_sha256, const Bearer& bearer, absl::Time now);
  absl::StatusOr<Bearer> FindBearer(const std::string& secret_sha256);  // NotFound

 private:
  explicit NodeStore(sqlite::Database database) : database_(std::move(database)) {}

  absl::Mutex mutex_;
  sqlite::Database database_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace npufleet::store

#endif  // CONTROLLER_STORE_NODE_STORE_H_
