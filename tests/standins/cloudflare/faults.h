#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/time.h"

namespace ee::standins {

/// One thing to go wrong. Fires for the API call with that number (the first is 1), or for calls that match method and
/// path; `times` times, then it is used up.
struct Fault {
  enum class Kind {
    status,         ///< answer with `status` and `code`, no effect
    drop_before,    ///< close the connection, no effect
    drop_after,     ///< do it, then close the connection
    malformed,      ///< no effect, 200 with half a JSON
    success_false,  ///< no effect, 200 with `success: false`
    oversized,      ///< no effect, 200 with `body_bytes` of JSON
    delay,          ///< wait `delay`, then answer as usual
  };
  Kind kind = Kind::status;
  std::optional<int> call_number = {};
  std::string method = {};         ///< empty: any
  std::string path_contains = {};  ///< empty: any
  int times = 1;
  int status = 500;
  int code = 0;
  std::optional<int> retry_after_seconds = {};
  std::size_t body_bytes = 5UL * 1024 * 1024;
  Milliseconds delay{0};
};

/// Which fault a call meets. Not thread-safe.
class FaultPlan {
 public:
  void add(Fault fault) { faults_.push_back(std::move(fault)); }
  void clear() { faults_.clear(); }
  /// The first fault that fits, used up by one.
  std::optional<Fault> take(int call_number, std::string_view method, std::string_view path);
  std::size_t size() const { return faults_.size(); }

 private:
  std::vector<Fault> faults_;
};

std::optional<Fault::Kind> fault_kind_of(std::string_view text);

}  // namespace ee::standins
