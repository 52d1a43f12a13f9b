#pragma once
#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>
#include <vector>

#include "common/bytes.h"
#include "common/credential.h"
#include "common/crypto.h"
#include "common/random.h"
#include "common/time.h"

namespace ee {

/// What a request needs to know of a credential that was verified a moment ago. Meanings of `account_type`,
/// `account_status` and `scopes` are the inserter's; the cache only carries them.
struct VerifiedCredential {
  ByteArray<16> subject{};  ///< UUID of what the credential proves: agent, session or key
  ByteArray<16> account{};  ///< UUID of the account behind it; zero when there is none
  UtcTime expires_at = UtcTime::max();
  std::uint32_t scopes = 0;
  CredentialKind kind = CredentialKind::live;
  std::uint8_t account_type = 0;
  std::uint8_t account_status = 0;
  bool operator==(const VerifiedCredential&) const = default;
};

/// The one cache of verified credentials: saves a database read and an Argon2 run per request.
///
/// Only verified credentials enter, so wrong ones cannot push good ones out. Keyed by HMAC-SHA256 of the credential
/// under a key of this process; the credential itself is not kept. 16 shards with one mutex and one least-recently-used
/// order each; when a shard is full its least recent entry goes. About 128 bytes per entry, taken as entries come.
///
/// The calls of one request:
///   if (auto hit = cache.find(text, clock)) return *hit;
///   const auto generation = cache.generation();   // before the row is read
///   ... read the row; unless cache.fitted(text, row.secret_hash), run Argon2 ...
///   cache.insert(text, verified, generation, clock, row.secret_hash);  // nothing, if anything was removed since
/// An entry past its time-to-live says nothing of the credential's state any more, but still that its text fits the
/// hash that it was compared with: as long as the row has the same hash, reading it again is enough. Whoever revokes
/// calls `remove_subject` or `remove_account` after the COMMIT and before the answer.
///
/// Thread-safe. Time-to-live runs on the monotonic clock, `expires_at` is compared with UTC.
class CredentialCache {
 public:
  /// `max_entries` is rounded up to a multiple of 16. Nothing when the CSPRNG fails.
  static std::unique_ptr<CredentialCache> create(std::size_t max_entries, Milliseconds ttl, Random& random);
  CredentialCache(const CredentialCache&) = delete;
  CredentialCache& operator=(const CredentialCache&) = delete;
  ~CredentialCache();

  struct Now {
    UtcTime utc;
    SteadyTime steady;
  };

  /// `credential`: the whole text, already parsed (its CRC fits).
  std::optional<VerifiedCredential> find(std::string_view credential, const Now& now);

  std::uint64_t generation() const { return generation_.load(); }
  /// False, and nothing kept, when something was removed since `generation` was read. `stored_hash`: the text that the
  /// credential was verified with; empty when `fitted` will not be asked.
  bool insert(std::string_view credential, const VerifiedCredential& verified, std::uint64_t generation, const Now& now,
              std::string_view stored_hash = {});
  /// Whether this very credential was verified with this very hash before, however long ago. Says nothing of whether
  /// it is still good. Always false when the time-to-live is 0: then nothing is to be remembered.
  bool fitted(std::string_view credential, std::string_view stored_hash) const;

  /// Removes every entry of an agent, session or key. Cheap: a few entries per shard are looked at.
  void remove_subject(const ByteArray<16>& subject);
  /// Removes every entry of an account. Walks through all entries.
  void remove_account(const ByteArray<16>& account);
  void clear();

  /// A changed setting; counts for the entries already there as well.
  void set_ttl(Milliseconds ttl) { ttl_ms_.store(ttl.count()); }
  std::size_t size() const;

 private:
  class Shard;
  static constexpr std::size_t kShards = 16;

  CredentialCache(std::size_t max_entries, Milliseconds ttl, const ByteArray<32>& key);

  ByteArray<16> digest_of(std::string_view stored_hash) const;

  HmacSha256Key key_;
  std::atomic<std::int64_t> ttl_ms_;
  std::atomic<std::uint64_t> generation_ = 0;
  std::array<std::unique_ptr<Shard>, kShards> shards_;
};

}  // namespace ee
