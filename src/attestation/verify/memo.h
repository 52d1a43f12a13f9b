#pragma once
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace ee::attestation {

/// Remembers results under the exact bytes they were made from, the least recently used making room. Thread-safe.
template <class Value>
class Memo {
 public:
  explicit Memo(std::size_t capacity) : capacity_(capacity) {}

  std::shared_ptr<const Value> find(std::string_view key) {
    const std::lock_guard lock(mutex_);
    const auto found = index_.find(key);
    if (found == index_.end()) return nullptr;
    entries_.splice(entries_.begin(), entries_, found->second);
    return found->second->value;
  }

  void put(std::string_view key, std::shared_ptr<const Value> value) {
    const std::lock_guard lock(mutex_);
    if (const auto found = index_.find(key); found != index_.end()) {
      found->second->value = std::move(value);
      return;
    }
    if (entries_.size() == capacity_) {
      index_.erase(entries_.back().key);
      entries_.pop_back();
    }
    entries_.push_front({.key = std::string(key), .value = std::move(value)});
    index_.emplace(entries_.front().key, entries_.begin());
  }

  std::size_t size() const {
    const std::lock_guard lock(mutex_);
    return entries_.size();
  }

 private:
  struct Entry {
    std::string key;
    std::shared_ptr<const Value> value;
  };
  const std::size_t capacity_;
  mutable std::mutex mutex_;
  std::list<Entry> entries_;                                                         // most recently used first
  std::unordered_map<std::string_view, typename std::list<Entry>::iterator> index_;  // keys look into the entries
};

}  // namespace ee::attestation
