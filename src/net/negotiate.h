#pragma once
#include <string_view>

namespace ee::net {

/// Whether `Accept-Encoding` takes gzip: named or `*`, and not with `q=0` (RFC 9110 section 12.5.3).
bool accepts_gzip(std::string_view accept_encoding);
/// Whether an `Accept` value takes `type/subtype` (lower case): the most specific matching range decides, and its
/// `q=0` refuses. An empty value takes everything.
bool accepts_media_type(std::string_view accept, std::string_view media_type);
/// Whether a `Content-Type` value is `media_type` (lower case), whatever its parameters say; for JSON a `charset`
/// other than UTF-8 is refused.
bool is_media_type(std::string_view content_type, std::string_view media_type);
/// Whether a body of that type gets smaller by gzip: texts, JSON and their kin.
bool is_compressible(std::string_view content_type);

/// `[A-Za-z0-9._-]{8,64}`
bool is_request_id(std::string_view text);
/// W3C Trace Context level 1: version 00, or a later one by its first four parts; no all-zero ids, lower case.
bool is_traceparent(std::string_view text);

}  // namespace ee::net
