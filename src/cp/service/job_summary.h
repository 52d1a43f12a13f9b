#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ee::cp {

/// What one pass of a background job did: named counts and notes for `job_runs.summary`. A pass that stopped because
/// its token fired has done whole items only and is safe to run again.
struct JobSummary {
  std::vector<std::pair<std::string_view, std::int64_t>> counts = {};  ///< names are literals
  std::vector<std::string> notes = {};                                 ///< at most a few; slugs such as `mass_silence`
  bool stopped = false;                                                ///< the stop token ended it early
  bool skipped = false;                                                ///< what it needs is not configured

  void count(std::string_view name, std::int64_t value) { counts.emplace_back(name, value); }
  /// The value of a count, 0 when it is absent.
  std::int64_t value(std::string_view name) const {
    for (const auto& [known, value] : counts)
      if (known == name) return value;
    return 0;
  }
  /// Whether anything happened: runs of fast jobs that did nothing are not recorded.
  bool did_work() const {
    for (const auto& [name, value] : counts)
      if (value != 0) return true;
    return !notes.empty();
  }
};

}  // namespace ee::cp
