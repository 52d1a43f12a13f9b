#pragma once
#include <string>
#include <string_view>

namespace boost::json {
class value;
}

namespace ee {

/// What replaces a secret of no known shape.
inline constexpr std::string_view kRedacted = "***";

/// Replaces every credential in `text` by its value's shape, wherever it stands: the product's own (`ee_live_...` keeps
/// its public look-up part), JWTs and JWEs, Stripe keys and secrets, GitHub and Google tokens, Argon2 texts, PEM
/// private keys, `Bearer` values and passwords in URLs. 04 section 12, 05 section 13.6, 03 section 10.1. One pass, no
/// backtracking: linear in the length of the text.
///
/// The last line of defence, for logs, problem details and audit details; secrets should not come this far.
std::string scrub(std::string_view text);
/// The same; a text without any, as nearly all are, stays as it is and costs no memory.
void scrub_in_place(std::string& text);

/// Whether a field of that name holds a secret by convention: its name has one of authorization, token, secret,
/// password, api_key, cookie, private_key, jwt, nonce, credential as whole words, and does not end as the name of
/// something said about it (`_id`, `_sha256`, `_count`, ...). Any case; `-`, `.` and camel case divide words as well.
bool is_secret_name(std::string_view name);

/// Scrubs every string and every key of a JSON value, and replaces texts, lists and objects under secret names.
void scrub(boost::json::value& value);

}  // namespace ee
