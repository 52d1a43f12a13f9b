#include "cp/service/late_refusals.h"

#include <pthread.h>

#include <algorithm>
#include <iterator>

namespace ee::cp {
namespace {

constexpr std::chrono::milliseconds kGather{20};

AttestationTrail::Refusal refusal_of(const LateRefusals::Item& item) {
  return {.attempt = item.attempt,
          .event = item.event,
          .reason = item.reason,
          .took = item.took,
          .actor = {},
          .at = item.at,
          .folded = item.folded};
}

}  // namespace

LateRefusals::~LateRefusals() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
}

bool LateRefusals::add(Item item) {
  bool wake = false;
  {
    const std::lock_guard lock(mutex_);
    if (stopping_ || waiting_.size() >= kMaxWaiting) return false;
    if (!thread_.joinable()) thread_ = std::thread([this] { run(); });
    waiting_.push_back(std::move(item));
    ++added_;
    wake = waiting_.size() == 1 || waiting_.size() == kRowsAtOnce;
  }
  if (wake) wake_.notify_one();
  return true;
}

void LateRefusals::settle() {
  std::unique_lock lock(mutex_);
  const std::uint64_t wanted = added_;
  if (written_ >= wanted) return;
  ++settling_;
  wake_.notify_one();
  settled_.wait(lock, [&] { return written_ >= wanted; });
  --settling_;
}

void LateRefusals::run() {
  pthread_setname_np(pthread_self(), "ee-refusals");
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [&] { return stopping_ || !waiting_.empty(); });
    if (waiting_.empty()) return;
    // A moment more, so that one commit takes many: this is a flood, or it does not matter.
    wake_.wait_for(lock, kGather, [&] { return stopping_ || settling_ > 0 || waiting_.size() >= kRowsAtOnce; });
    const auto end = waiting_.begin() + static_cast<std::ptrdiff_t>(std::min(waiting_.size(), kRowsAtOnce));
    const std::vector<Item> batch(std::make_move_iterator(waiting_.begin()), std::make_move_iterator(end));
    waiting_.erase(waiting_.begin(), end);
    lock.unlock();
    write(batch);
    lock.lock();
    written_ += batch.size();
    settled_.notify_all();
  }
}

/// One that cannot be written must not take the others with it: then each is tried alone.
void LateRefusals::write(const std::vector<Item>& batch) const {
  const auto written = database_.write<bool>([&](db::Transaction& tx) -> Result<bool> {
    for (const Item& item : batch)
      if (auto done = trail_.append(tx, refusal_of(item)); !done) return std::unexpected(std::move(done.error()));
    return true;
  });
  if (written) return;
  for (const Item& item : batch) trail_.record(refusal_of(item));
}

}  // namespace ee::cp
