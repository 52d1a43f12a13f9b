#include "common/credential_cache.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <functional>

#include "common/require.h"

namespace ee {
namespace {

using Fingerprint = ByteArray<32>;
using Index = std::uint32_t;
constexpr Index kNone = 0xffffffff;

/// One cached credential. It is a member of three lists of its shard, by index: the order of use, the chain of its
/// fingerprint's bucket, the chain of its subject's bucket.
struct Entry {
  Fingerprint fingerprint;
  ByteArray<16> hash_digest;  ///< of the stored hash that it fits; zero: not known
  VerifiedCredential verified;
  SteadyTime inserted_at;
  Index more_recent;
  Index less_recent;
  Index next_by_fingerprint;
  Index next_by_subject;
};

std::size_t hash_of(Bytes bytes, std::size_t offset) {
  std::uint64_t value = 0;
  std::memcpy(&value, bytes.data() + offset, sizeof(value));
  return value * 0x9e3779b97f4a7c15U >> 20U;  // UUIDs made in one millisecond share their first bytes
}
std::size_t hash_of(const Fingerprint& fingerprint) { return hash_of(fingerprint, 8); }
std::size_t hash_of(const ByteArray<16>& subject) { return hash_of(subject, 0) ^ hash_of(subject, 8); }

}  // namespace

class CredentialCache::Shard {
 public:
  explicit Shard(std::size_t max_entries) : max_entries_(max_entries) {}

  std::optional<VerifiedCredential> find(const Fingerprint& fingerprint, const Now& now, Milliseconds ttl) {
    const std::lock_guard lock(mutex_);
    const Index index = index_of(fingerprint);
    if (index == kNone) return std::nullopt;
    const Entry& entry = entries_[index];
    if (now.utc >= entry.verified.expires_at) {
      remove(index);
      return std::nullopt;
    }
    if (now.steady - entry.inserted_at >= ttl) return std::nullopt;  // kept for `fitted`
    if (newest_ != index) {
      unlink_from_order(index);
      link_as_newest(index);
    }
    return entries_[index].verified;
  }

  /// `still_valid` is asked under the lock, so that a removal is either seen here or finds the entry.
  bool insert(const Fingerprint& fingerprint, const VerifiedCredential& verified, SteadyTime now,
              const ByteArray<16>& hash_digest, const std::function<bool()>& still_valid) {
    const std::lock_guard lock(mutex_);
    if (!still_valid()) return false;
    if (const Index old = index_of(fingerprint); old != kNone) remove(old);
    if (used_ == max_entries_) remove(oldest_);
    const Index index = take_slot();
    entries_[index].fingerprint = fingerprint;
    entries_[index].hash_digest = hash_digest;
    entries_[index].verified = verified;
    entries_[index].inserted_at = now;
    link_as_newest(index);
    link_in_buckets(index);
    ++used_;
    return true;
  }

  bool fitted(const Fingerprint& fingerprint, const ByteArray<16>& hash_digest) const {
    const std::lock_guard lock(mutex_);
    const Index index = index_of(fingerprint);
    return index != kNone && constant_time_equal(entries_[index].hash_digest, hash_digest);
  }

  void remove_subject(const ByteArray<16>& subject) {
    const std::lock_guard lock(mutex_);
    if (by_subject_.empty()) return;
    Index index = by_subject_[hash_of(subject) & mask()];
    while (index != kNone) {
      const Index next = entries_[index].next_by_subject;
      if (entries_[index].verified.subject == subject) remove(index);
      index = next;
    }
  }

  void remove_account(const ByteArray<16>& account) {
    const std::lock_guard lock(mutex_);
    Index index = newest_;
    while (index != kNone) {
      const Index next = entries_[index].less_recent;
      if (entries_[index].verified.account == account) remove(index);
      index = next;
    }
  }

  void clear() {
    const std::lock_guard lock(mutex_);
    while (newest_ != kNone) remove(newest_);
  }

  std::size_t size() const {
    const std::lock_guard lock(mutex_);
    return used_;
  }

 private:
  std::size_t mask() const { return by_fingerprint_.size() - 1; }

  Index index_of(const Fingerprint& fingerprint) const {
    if (by_fingerprint_.empty()) return kNone;
    Index index = by_fingerprint_[hash_of(fingerprint) & mask()];
    while (index != kNone && !constant_time_equal(entries_[index].fingerprint, fingerprint))
      index = entries_[index].next_by_fingerprint;
    return index;
  }

  /// A free slot, or a new one. Grows the buckets along, up to about one entry in each.
  Index take_slot() {
    if (free_ != kNone) {
      const Index index = free_;
      free_ = entries_[index].next_by_fingerprint;
      return index;
    }
    entries_.emplace_back();
    if (entries_.size() > by_fingerprint_.size()) grow_buckets();
    return static_cast<Index>(entries_.size() - 1);
  }

  void grow_buckets() {
    const std::size_t buckets = std::max<std::size_t>(64, std::bit_ceil(entries_.size()));
    by_fingerprint_.assign(buckets, kNone);
    by_subject_.assign(buckets, kNone);
    for (Index index = newest_; index != kNone; index = entries_[index].less_recent) link_in_buckets(index);
  }

  void link_in_buckets(Index index) {
    Entry& entry = entries_[index];
    Index& first_by_fingerprint = by_fingerprint_[hash_of(entry.fingerprint) & mask()];
    entry.next_by_fingerprint = std::exchange(first_by_fingerprint, index);
    Index& first_by_subject = by_subject_[hash_of(entry.verified.subject) & mask()];
    entry.next_by_subject = std::exchange(first_by_subject, index);
  }

  void unlink_from_chain(Index& first, Index index, Index Entry::* next) {
    Index* link = &first;
    while (*link != index) link = &(entries_[*link].*next);
    *link = entries_[index].*next;
  }

  void link_as_newest(Index index) {
    entries_[index].more_recent = kNone;
    entries_[index].less_recent = newest_;
    (newest_ == kNone ? oldest_ : entries_[newest_].more_recent) = index;
    newest_ = index;
  }

  void unlink_from_order(Index index) {
    const Entry& entry = entries_[index];
    (entry.more_recent == kNone ? newest_ : entries_[entry.more_recent].less_recent) = entry.less_recent;
    (entry.less_recent == kNone ? oldest_ : entries_[entry.less_recent].more_recent) = entry.more_recent;
  }

  void remove(Index index) {
    require(index < entries_.size() && used_ > 0);
    Entry& entry = entries_[index];
    unlink_from_order(index);
    unlink_from_chain(by_fingerprint_[hash_of(entry.fingerprint) & mask()], index, &Entry::next_by_fingerprint);
    unlink_from_chain(by_subject_[hash_of(entry.verified.subject) & mask()], index, &Entry::next_by_subject);
    entry.fingerprint.fill(0);
    entry.hash_digest.fill(0);
    entry.verified = {};
    entry.next_by_fingerprint = std::exchange(free_, index);
    --used_;
  }

  const std::size_t max_entries_;
  mutable std::mutex mutex_;
  std::vector<Entry> entries_;
  std::vector<Index> by_fingerprint_;  ///< first entry of each bucket; a power of two of them
  std::vector<Index> by_subject_;      ///< as many
  std::size_t used_ = 0;
  Index newest_ = kNone;
  Index oldest_ = kNone;
  Index free_ = kNone;  ///< chained by next_by_fingerprint
};

CredentialCache::CredentialCache(std::size_t max_entries, Milliseconds ttl, const ByteArray<32>& key)
    : key_(key), ttl_ms_(ttl.count()) {
  const std::size_t per_shard = std::max<std::size_t>(1, (max_entries + kShards - 1) / kShards);
  for (auto& shard : shards_) shard = std::make_unique<Shard>(per_shard);
}

CredentialCache::~CredentialCache() = default;

std::unique_ptr<CredentialCache> CredentialCache::create(std::size_t max_entries, Milliseconds ttl, Random& random) {
  ByteArray<32> key{};
  if (!random.fill(key)) return nullptr;
  return std::unique_ptr<CredentialCache>(new CredentialCache(max_entries, ttl, key));
}

std::optional<VerifiedCredential> CredentialCache::find(std::string_view credential, const Now& now) {
  const Fingerprint fingerprint = key_.of(bytes_of(credential));
  return shards_[fingerprint[0] % kShards]->find(fingerprint, now, Milliseconds(ttl_ms_.load()));
}

ByteArray<16> CredentialCache::digest_of(std::string_view stored_hash) const {
  ByteArray<16> out{};
  if (!stored_hash.empty()) std::ranges::copy_n(key_.of(bytes_of(stored_hash)).begin(), out.size(), out.begin());
  return out;
}

bool CredentialCache::insert(std::string_view credential, const VerifiedCredential& verified, std::uint64_t generation,
                             const Now& now, std::string_view stored_hash) {
  const Fingerprint fingerprint = key_.of(bytes_of(credential));
  return shards_[fingerprint[0] % kShards]->insert(fingerprint, verified, now.steady, digest_of(stored_hash),
                                                   [&] { return generation_.load() == generation; });
}

bool CredentialCache::fitted(std::string_view credential, std::string_view stored_hash) const {
  if (stored_hash.empty() || ttl_ms_.load() == 0) return false;
  const Fingerprint fingerprint = key_.of(bytes_of(credential));
  return shards_[fingerprint[0] % kShards]->fitted(fingerprint, digest_of(stored_hash));
}

// The generation goes up first: an insert that has not yet happened is refused, one that has is found below.
void CredentialCache::remove_subject(const ByteArray<16>& subject) {
  ++generation_;
  for (auto& shard : shards_) shard->remove_subject(subject);
}

void CredentialCache::remove_account(const ByteArray<16>& account) {
  ++generation_;
  for (auto& shard : shards_) shard->remove_account(account);
}

void CredentialCache::clear() {
  ++generation_;
  for (auto& shard : shards_) shard->clear();
}

std::size_t CredentialCache::size() const {
  std::size_t total = 0;
  for (const auto& shard : shards_) total += shard->size();
  return total;
}

}  // namespace ee
