#pragma once
#include <boost/json/value.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// Readers of the small notations inside compose values. Each answers nothing when the text is not in its notation.
namespace ee::compose {

/// `[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?`
bool is_dns_label(std::string_view text);
/// `[A-Za-z_][A-Za-z0-9_]{0,63}`: a key of a request's env and secrets.
bool is_request_key(std::string_view text);
/// `[A-Za-z0-9][A-Za-z0-9_-]{0,63}`: volumes and networks.
bool is_resource_name(std::string_view text);
/// `/a/b`: absolute and in its simplest form, at most 255 bytes, neither `/` itself nor under /proc, /sys or
/// /run/secrets; no colon, comma, backslash or control character.
bool is_mount_target(std::string_view text);

/// Whether a scalar asks for interpolation: `${` or `$NAME`. `$$` is a literal dollar and hides what follows.
bool has_interpolation(std::string_view text);
/// `$$` becomes `$`.
std::string literal(std::string_view text);

std::string_view view(const boost::json::value& text);  ///< the value is a string
std::string_view view(const boost::json::string& text);
/// A scalar as the text a container sees: texts literally, numbers in canonical form, `true`, `false`. Nothing for
/// null and collections.
std::optional<std::string> scalar_text(const boost::json::value& value);
/// A list of texts, literally.
std::optional<std::vector<std::string>> text_list(const boost::json::value& value);

/// An integer, or text of decimal digits.
std::optional<std::int64_t> integer(const boost::json::value& value);
/// 1..65535 in decimal digits.
std::optional<std::uint16_t> port_number(std::string_view text);
/// Bytes: an integer, or `64m`, `1.5gb`, `512KiB`; units are powers of 1024.
std::optional<std::int64_t> byte_count(const boost::json::value& value);
/// CPUs in billionths: a number, or its text; more than nine decimals are refused.
std::optional<std::int64_t> nano_count(const boost::json::value& value);
/// Nanoseconds: `1m30s`, `1.5s`, `100ms`, `0`; units h, m, s, ms, us, ns.
std::optional<std::int64_t> duration_ns(const boost::json::value& value);
/// Octal digits, at most 7777.
std::optional<std::int64_t> file_mode(std::string_view octal);

/// Words as a POSIX shell splits them: quotes and backslashes count, nothing is expanded. Nothing when a quote is not
/// closed. Source: POSIX.1-2017, Shell Command Language, section 2.2.
std::optional<std::vector<std::string>> split_words(std::string_view text);

}  // namespace ee::compose
