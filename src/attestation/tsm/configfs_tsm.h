#pragma once
#include <memory>
#include <string>

#include "attestation/tsm/quote_source.h"
#include "attestation/tsm/tsm_files.h"
#include "common/clock.h"
#include "common/random.h"

namespace ee::attestation {

inline constexpr const char* kDefaultTsmRoot = "/sys/kernel/config/tsm/report";

/// Quotes of a TDX guest through configfs-tsm (Linux 6.7, Documentation/ABI/testing/configfs-tsm). One call works at a
/// time, the others wait their turn; each is bounded by 20 s, turn included. Quotes go through the host, which may
/// never answer: file operations run on a thread of their own, and one that outlives its call is left behind, with its
/// entry, until the kernel answers. While two are left behind, calls fail at once.
class ConfigfsTsm final : public QuoteSource {
 public:
  /// `clock` and `random` must outlive the object; `files` is shared with threads that may outlive it.
  ConfigfsTsm(std::string root, Clock& clock, Random& random,
              std::shared_ptr<TsmFiles> files = std::make_shared<PosixTsmFiles>());
  ~ConfigfsTsm() override;

  /// Whether `root` is there at all.
  bool present() const;
  /// Removes the entries of processes that are gone. For the start of the program. Returns how many.
  std::size_t remove_stale_entries();

  [[nodiscard]] Result<ByteVector> generate(const ByteArray<64>& report_data) override;
  bool emulated() const override { return false; }

 private:
  class Call;
  struct Shared;
  std::string root_;
  Clock& clock_;
  Random& random_;
  std::shared_ptr<Shared> shared_;
};

}  // namespace ee::attestation
