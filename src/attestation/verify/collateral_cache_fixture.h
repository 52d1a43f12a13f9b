#pragma once
#include <gtest/gtest.h>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "attestation/verify/collateral_cache.h"
#include "tests/support/emulated_evidence.h"
#include "tests/support/fake_collateral_store.h"

/// What the tests of the collateral cache share.
namespace ee::attestation::cache_test {

using testing::EmulatedEvidence;
using testing::FakeCollateralStore;

inline const UtcTime kIssued = FakeClock().now();
inline const UtcTime kNow = kIssued + Seconds(10);
inline constexpr const char* kFmspc = "ee0000000001";

/// A publisher whose answers are set by the test. Thread-safe.
class FakePublisher final : public CollateralFetcher {
 public:
  Result<CollateralItem> fetch(const CollateralKey& key, std::stop_token) override {
    std::unique_lock lock(mutex_);
    fetched.push_back(key.text());
    changed_.notify_all();
    changed_.wait(lock, [&] { return !held; });
    if (failure) return fail(*failure);
    const Collateral all = content.collateral();
    switch (key.kind) {
      case CollateralKind::root_crl: return *all.root_crl;
      case CollateralKind::pck_crl: return *all.pck_crl;
      case CollateralKind::tcb_info: return *all.tcb_info;
      case CollateralKind::qe_identity: return *all.qe_identity;
    }
    return fail(ErrorCode::internal_error);
  }
  void hold() {
    const std::lock_guard lock(mutex_);
    held = true;
  }
  void release() {
    const std::lock_guard lock(mutex_);
    held = false;
    changed_.notify_all();
  }
  void wait_for_fetches(std::size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return fetched.size() >= count; });
  }
  std::size_t count() {
    const std::lock_guard lock(mutex_);
    return fetched.size();
  }

  EmulatedEvidence content;
  std::optional<ErrorCode> failure;
  std::vector<std::string> fetched;
  bool held = false;

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
};

class Cache : public ::testing::Test {
 protected:
  std::unique_ptr<CollateralCache> replica() {
    return std::make_unique<CollateralCache>(
        CollateralCache::Parts{.fetcher = publisher_,
                               .store = store_,
                               .policy = [this] { return policy_; },
                               .wake_refresh = [this] { ++wakes_; },
                               .observe =
                                   [this](const CollateralFetchReport& report) {
                                     reports_.push_back(std::string(to_string(report.kind)) +
                                                        (report.code ? " " + std::string(slug(*report.code)) : ""));
                                   },
                               .anchor = emulator_anchor()});
  }
  static std::string ask(CollateralCache& cache, UtcTime now, const std::string& fmspc = kFmspc,
                         CaKind ca = CaKind::platform) {
    const auto collateral = cache.get(fmspc, ca, now, {});
    return collateral ? "ok" : std::string(slug(collateral.error().code));
  }
  /// What the publisher has from now on.
  void publish(UtcTime issued_at, std::uint32_t evaluation_number = 1) {
    publisher_.content.options.issued_at = issued_at;
    publisher_.content.options.tcb_evaluation_data_number = evaluation_number;
  }

  FakePublisher publisher_;
  FakeCollateralStore store_;
  CollateralPolicy policy_;
  int wakes_ = 0;
  std::vector<std::string> reports_;
};

}  // namespace ee::attestation::cache_test
