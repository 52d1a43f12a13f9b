#include "net/response_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>

#include "net/chars.h"
#include "net/gzip.h"
#include "net/negotiate.h"

namespace ee::net {
namespace {

struct Default {
  std::string_view name;
  std::string_view line;
};
constexpr std::array<Default, 8> kSecurityHeaders{{
    {"X-Content-Type-Options", "X-Content-Type-Options: nosniff\r\n"},
    {"Referrer-Policy", "Referrer-Policy: no-referrer\r\n"},
    {"X-Frame-Options", "X-Frame-Options: DENY\r\n"},
    {"Cross-Origin-Opener-Policy", "Cross-Origin-Opener-Policy: same-origin\r\n"},
    {"Cross-Origin-Resource-Policy", "Cross-Origin-Resource-Policy: same-origin\r\n"},
    {"Permissions-Policy", "Permissions-Policy: camera=(), microphone=(), geolocation=()\r\n"},
    {"Cache-Control", "Cache-Control: no-store\r\n"},
    {"Content-Security-Policy", "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'\r\n"},
}};
constexpr std::string_view kHsts = "Strict-Transport-Security: max-age=31536000\r\n";
constexpr std::size_t kMinCompressedBytes = 1024;

const HttpHeader* find(const Response& response, std::string_view name) {
  const auto found = std::ranges::find_if(
      response.headers, [&](const HttpHeader& header) { return equal_ignoring_case(header.name, name); });
  return found == response.headers.end() ? nullptr : &*found;
}

/// Fields that the server alone writes.
bool is_framing(std::string_view name) {
  switch (name.size()) {
    case 4: return equal_ignoring_case(name, "date");
    case 10: return equal_ignoring_case(name, "connection") || equal_ignoring_case(name, "keep-alive");
    case 12: return equal_ignoring_case(name, "x-request-id");
    case 14: return equal_ignoring_case(name, "content-length");
    case 17: return equal_ignoring_case(name, "transfer-encoding");
    default: return false;
  }
}

void append_number(std::string& out, std::size_t number) {
  std::array<char, 20> digits{};
  out.append(digits.data(), std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr);
}

void append_security_headers(std::string& out, const Response& response, bool hsts) {
  for (const Default& header : kSecurityHeaders)
    if (!find(response, header.name)) out += header.line;
  if (hsts) out += kHsts;
}

}  // namespace

void write_status_line(std::string& out, int status) {
  if (status == 200) {
    out += "HTTP/1.1 200 OK\r\n";
    return;
  }
  out += "HTTP/1.1 ";
  append_number(out, static_cast<std::size_t>(status));
  out += ' ';
  out += reason_phrase(status);
  out += "\r\n";
}

void write_fields(std::string& out, const Response& response, const ResponseFrame& frame) {
  for (const HttpHeader& header : response.headers) {
    if (is_framing(header.name) || !is_token(header.name) || !all_are(kFieldChar, header.value)) continue;
    out += header.name;
    out += ": ";
    out += header.value;
    out += "\r\n";
  }
  if (frame.security_headers) append_security_headers(out, response, frame.hsts);
}

void write_response(std::string& out, const Response& response, const ResponseFrame& frame) {
  const bool bodiless = response.status < 200 || response.status == 204 || response.status == 304;
  out.reserve(out.size() + 768 + (frame.head || bodiless ? 0 : response.body.size()));
  write_status_line(out, response.status);
  out += "Date: ";
  out += frame.date;
  out += "\r\n";
  write_fields(out, response, frame);
  if (!bodiless) {
    out += "Content-Length: ";
    append_number(out, response.body.size());
    out += "\r\n";
  }
  out += "X-Request-Id: ";
  out += frame.request_id;
  out += "\r\n";
  if (!frame.keep_alive)
    out += "Connection: close\r\n";
  else if (frame.http_1_0)
    out += "Connection: keep-alive\r\n";
  out += "\r\n";
  if (!frame.head && !bodiless) out += response.body;
}

void compress(Response& response, bool client_takes_gzip) {
  if (response.sensitive || response.body.size() <= kMinCompressedBytes || find(response, "content-encoding")) return;
  const HttpHeader* type = find(response, "content-type");
  if (!type || !is_compressible(type->value)) return;
  response.headers.push_back({"Vary", "Accept-Encoding"});
  if (!client_takes_gzip) return;
  auto smaller = gzip(response.body);
  if (!smaller || smaller->size() >= response.body.size()) return;
  response.body = std::move(*smaller);
  response.headers.push_back({"Content-Encoding", "gzip"});
}

std::string http_date(UtcTime time) {
  constexpr std::array<std::string_view, 7> kDays = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  constexpr std::array<std::string_view, 12> kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                        "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(std::chrono::floor<Seconds>(time - day));
  return fmt::format("{}, {:02} {} {:04} {:02}:{:02}:{:02} GMT", kDays[std::chrono::weekday(day).c_encoding()],
                     static_cast<unsigned>(date.day()), kMonths[static_cast<unsigned>(date.month()) - 1],
                     static_cast<int>(date.year()), clock.hours().count(), clock.minutes().count(),
                     clock.seconds().count());
}

std::string_view reason_phrase(int status) {
  switch (status) {
    case 100: return "Continue";
    case 200: return "OK";
    case 201: return "Created";
    case 202: return "Accepted";
    case 204: return "No Content";
    case 206: return "Partial Content";
    case 301: return "Moved Permanently";
    case 302: return "Found";
    case 303: return "See Other";
    case 304: return "Not Modified";
    case 307: return "Temporary Redirect";
    case 308: return "Permanent Redirect";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 402: return "Payment Required";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 406: return "Not Acceptable";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 410: return "Gone";
    case 411: return "Length Required";
    case 412: return "Precondition Failed";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 415: return "Unsupported Media Type";
    case 417: return "Expectation Failed";
    case 422: return "Unprocessable Content";
    case 428: return "Precondition Required";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    default: return "Status";
  }
}

}  // namespace ee::net
