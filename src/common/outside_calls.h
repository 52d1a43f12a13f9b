#pragma once

namespace ee {

namespace detail {
inline thread_local int outside_calls_forbidden = 0;
}

/// While one of these lives, this thread must not call an outside service: it holds what everybody else waits for (the
/// database's writer). Clients of outside services ask `outside_calls_allowed()` before they begin.
class NoOutsideCalls {
 public:
  NoOutsideCalls() { ++detail::outside_calls_forbidden; }
  NoOutsideCalls(const NoOutsideCalls&) = delete;
  NoOutsideCalls& operator=(const NoOutsideCalls&) = delete;
  ~NoOutsideCalls() { --detail::outside_calls_forbidden; }
};

inline bool outside_calls_allowed() { return detail::outside_calls_forbidden == 0; }

}  // namespace ee
