#pragma once
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace ee {

/// A point in time, UTC, in milliseconds: RFC 3339 in JSON, 64-bit Unix milliseconds in the database.
using UtcTime = std::chrono::sys_time<std::chrono::milliseconds>;
/// The monotonic clock: leases and time-outs inside a process.
using SteadyTime = std::chrono::steady_clock::time_point;
using Milliseconds = std::chrono::milliseconds;
using Seconds = std::chrono::seconds;

inline std::int64_t unix_ms(UtcTime time) { return time.time_since_epoch().count(); }
inline UtcTime from_unix_ms(std::int64_t ms) { return UtcTime(Milliseconds(ms)); }

/// `2026-01-02T03:04:05.678Z`.
std::string to_rfc3339(UtcTime time);
/// Accepts UTC (`Z`) with zero to nine fractional digits (cut to milliseconds), years 1970 to 9999; nothing otherwise.
std::optional<UtcTime> parse_rfc3339(std::string_view text);

}  // namespace ee
