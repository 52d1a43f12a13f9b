#pragma once
#include <array>
#include <cstdint>
#include <functional>
#include <mutex>
#include <stop_token>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "common/error.h"
#include "common/time.h"
#include "cp/store/api_key_store.h"
#include "db/database.h"

namespace ee::cp {

/// When and from where credentials were last used, gathered in memory and written by job `last_used_flush`: at most
/// once per `every` for each, which is remembered for so long. Zero: nothing is remembered once it is written, for
/// credentials whose row says by itself when it was noted last. What was not written is lost at a crash, by design.
/// Bounded: when a shard is full, further ones are not noted until the next flush. Thread-safe.
class LastUses {
 public:
  /// Writes uses, a transaction's worth; answers how many rows changed.
  using Write = std::function<Result<std::int64_t>(db::Transaction&, const std::vector<KeyUse>&)>;

  static constexpr std::size_t kMaxKeys = 262144;
  static constexpr std::size_t kRowsAtOnce = 500;  ///< of one transaction

  LastUses(Seconds every, Write write) : every_(every), write_(std::move(write)) {}

  void note(std::string_view key_id, std::string_view client_address, UtcTime now);
  /// Writes what is due, shard by shard; how many rows changed. Stops between transactions.
  Result<std::int64_t> flush(db::Database& database, const std::stop_token& stop, UtcTime now);
  /// How many credentials are remembered.
  std::size_t size() const;

 private:
  struct Use {
    UtcTime at = {};
    UtcTime written_at = {};
    std::string client_address = {};
    bool due = false;
  };
  struct Shard {
    mutable std::mutex mutex;
    std::unordered_map<std::string, Use> uses;
  };
  Shard& shard_of(std::string_view key_id);
  Result<std::int64_t> flush(Shard& shard, db::Database& database, const std::stop_token& stop) const;

  const Seconds every_;
  const Write write_;
  std::array<Shard, 16> shards_;
};

}  // namespace ee::cp
