#include "attestation/verify/collateral_memory.h"

#include <algorithm>

namespace ee::attestation {
namespace {

constexpr std::size_t kMaxEntries = 256;
constexpr auto kLookInterval = std::chrono::seconds(60);

}  // namespace

CollateralMemory::Entry& CollateralMemory::entry(const std::string& name) {
  const auto found = entries_.find(name);
  if (found == entries_.end() && entries_.size() >= kMaxEntries) {
    const auto oldest = std::ranges::min_element(entries_, {}, [](const auto& pair) { return pair.second.order; });
    entries_.erase(oldest);
  }
  Entry& entry = found == entries_.end() ? entries_[name] : found->second;
  entry.order = ++uses_;
  return entry;
}

std::shared_ptr<const CollateralPiece> CollateralMemory::find(const std::string& name) const {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(name);
  return found == entries_.end() ? nullptr : found->second.piece;
}

std::shared_ptr<const CollateralPiece> CollateralMemory::use(const std::string& name, UtcTime now) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(name);
  if (found == entries_.end()) return nullptr;
  found->second.order = ++uses_;
  found->second.used_at = now;
  return found->second.piece;
}

void CollateralMemory::put(std::shared_ptr<const CollateralPiece> piece, UtcTime now) {
  const std::lock_guard lock(mutex_);
  Entry& to = entry(piece->key.text());
  if (to.used_at == UtcTime{}) to.used_at = now;
  to.piece = std::move(piece);
  to.retry_at = {};
  to.failure.reset();
}

void CollateralMemory::put_failure(const CollateralKey& key, const Error& error, UtcTime retry_at) {
  const std::lock_guard lock(mutex_);
  Entry& to = entry(key.text());
  to.retry_at = retry_at;
  to.failure = error;
}

std::optional<Error> CollateralMemory::failure(const std::string& name, UtcTime now) const {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(name);
  if (found == entries_.end() || now >= found->second.retry_at) return std::nullopt;
  return found->second.failure;
}

bool CollateralMemory::may_look_further(const std::string& name, UtcTime now) {
  const std::lock_guard lock(mutex_);
  Entry& to = entry(name);
  if (now < to.look_at) return false;
  to.look_at = now + kLookInterval;
  return true;
}

std::vector<std::shared_ptr<const CollateralPiece>> CollateralMemory::candidates(UtcTime used_since,
                                                                                 UtcTime now) const {
  const std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<const CollateralPiece>> pieces;
  for (const auto& [name, entry] : entries_)
    if (entry.piece && entry.used_at >= used_since && now >= entry.retry_at) pieces.push_back(entry.piece);
  std::ranges::sort(pieces, {},
                    [](const auto& piece) { return std::pair(piece->key.kind, piece->row.next_update_at); });
  return pieces;
}

std::vector<CollateralState> CollateralMemory::states() const {
  const std::lock_guard lock(mutex_);
  std::vector<CollateralState> states;
  for (const auto& [name, entry] : entries_) {
    if (!entry.piece) continue;
    states.push_back({.cache_key = name,
                      .kind = entry.piece->key.kind,
                      .fetched_at = entry.piece->row.fetched_at,
                      .next_update_at = entry.piece->row.next_update_at,
                      .last_error = entry.failure ? std::optional(entry.failure->code) : std::nullopt});
  }
  std::ranges::sort(states, {}, &CollateralState::cache_key);
  return states;
}

}  // namespace ee::attestation
