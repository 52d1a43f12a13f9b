#pragma once
#include <cstring>
#include <memory>
#include <span>
#include <string_view>

namespace ee::net {

/// Bytes read and not yet used. Grows by doubling. Between `prepare` and `commit` a read may be under way: consuming
/// what is there is fine meanwhile, since only `prepare` and `shrink_if_empty` move anything.
class ReadBuffer {
 public:
  std::string_view view() const { return {data_.get() + begin_, end_ - begin_}; }
  bool empty() const { return begin_ == end_; }
  std::size_t size() const { return end_ - begin_; }

  /// Room for at least `min_bytes` more; moves what is there, so views die. `commit` says how much was filled.
  std::span<char> prepare(std::size_t min_bytes) {
    if (empty()) begin_ = end_ = 0;
    if (capacity_ - end_ < min_bytes) make_room(min_bytes);
    return {data_.get() + end_, capacity_ - end_};
  }
  void commit(std::size_t bytes) { end_ += bytes; }
  void append(std::string_view bytes) {
    if (bytes.empty()) return;
    std::memcpy(prepare(bytes.size()).data(), bytes.data(), bytes.size());
    commit(bytes.size());
  }
  void consume(std::size_t bytes) { begin_ += bytes; }
  void clear() { begin_ = end_; }
  /// Gives memory back. Only while no read into it is under way.
  void shrink_if_empty(std::size_t kept_bytes) {
    if (!empty() || capacity_ <= kept_bytes) return;
    data_.reset();
    capacity_ = begin_ = end_ = 0;
  }

 private:
  void make_room(std::size_t min_bytes) {
    const std::size_t used = size();
    if (capacity_ - used >= min_bytes) {
      std::memmove(data_.get(), data_.get() + begin_, used);
    } else {
      std::size_t wanted = capacity_ == 0 ? kFirstBytes : capacity_ * 2;
      while (wanted - used < min_bytes) wanted *= 2;
      auto larger = std::make_unique_for_overwrite<char[]>(wanted);
      if (used > 0) std::memcpy(larger.get(), data_.get() + begin_, used);
      data_ = std::move(larger);
      capacity_ = wanted;
    }
    begin_ = 0;
    end_ = used;
  }

  static constexpr std::size_t kFirstBytes = 2048;
  std::unique_ptr<char[]> data_;
  std::size_t capacity_ = 0;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

}  // namespace ee::net
