#pragma once
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace ee::agent {

// Small readers of the kernel's text files. Pure; nothing on anything unexpected.

/// Without white space at both ends.
std::string_view trimmed(std::string_view text);
/// Parts between runs of blanks and tabs.
std::vector<std::string_view> words(std::string_view line);
/// Lines without their ends.
std::vector<std::string_view> lines(std::string_view text);
/// A whole decimal number without sign, below 2^63.
std::optional<std::int64_t> decimal(std::string_view text);
/// `0-3,8` -> 5. Source: Documentation/admin-guide/cputopology.rst.
std::optional<std::int64_t> count_cpu_list(std::string_view text);
/// A field of /proc/meminfo, in KiB. Source: proc(5).
std::optional<std::int64_t> meminfo_kib(std::string_view meminfo, std::string_view field);
/// A decimal fraction such as `0.42`, in thousandths, cut.
std::optional<std::int64_t> decimal_milli(std::string_view text);

}  // namespace ee::agent
