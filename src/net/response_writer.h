#pragma once
#include <string>
#include <string_view>

#include "common/time.h"
#include "net/http.h"

namespace ee::net {

/// What an answer needs beside the `Response`.
struct ResponseFrame {
  std::string_view request_id = {};
  std::string_view date = {};  ///< IMF-fixdate
  bool keep_alive = true;
  bool http_1_0 = false;         ///< keep-alive must be said
  bool head = false;             ///< the request was HEAD: the body is measured, not sent
  bool security_headers = true;  ///< false on proxied answers only
  bool hsts = false;
};

/// Appends status line, fields and body to `out`. Security headers (05 section 13.4) that the response sets itself are
/// not repeated. Field names and values with control characters are dropped: they could split the answer.
void write_response(std::string& out, const Response& response, const ResponseFrame& frame);

/// Appends the response's fields, and the security headers that it does not set itself: no status line, `Date`,
/// framing.
void write_fields(std::string& out, const Response& response, const ResponseFrame& frame);

/// `HTTP/1.1 200 OK` and CRLF.
void write_status_line(std::string& out, int status);

/// Compresses the body when the client takes gzip, it is over 1 KiB, of a compressible type, not sensitive and not
/// encoded already. Sets `Content-Encoding` and `Vary`.
void compress(Response& response, bool client_takes_gzip);

/// RFC 9110 section 5.6.7: `Sun, 06 Nov 1994 08:49:37 GMT`.
std::string http_date(UtcTime time);

std::string_view reason_phrase(int status);

}  // namespace ee::net
