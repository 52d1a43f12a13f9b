#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "net/chars.h"
#include "net/head.h"

namespace ee::net {

/// Calls `visit` with each element of a comma list, blanks taken off, empty ones left out.
template <class Visit>
void for_each_option(std::string_view list, Visit visit) {
  while (!list.empty()) {
    const std::size_t comma = list.find(',');
    const std::string_view option = trim_blanks(list.substr(0, comma));
    if (!option.empty()) visit(option);
    list = comma == std::string_view::npos ? std::string_view() : list.substr(comma + 1);
  }
}

/// The fields of one head that end at this hop (RFC 9110 section 7.6.1): the known ones, framing, and what
/// `Connection` names. Views into the head.
class HopFields {
 public:
  explicit HopFields(std::span<const HeadField> fields);
  bool drops(std::string_view name) const;

 private:
  std::vector<std::string_view> named_;
};

/// `Name: value` and CRLF. Both are valid already.
void append_field(std::string& out, std::string_view name, std::string_view value);

/// Whether the head asks for the WebSocket protocol, version 13 (RFC 6455 section 4.1), by GET.
bool is_websocket_request(std::string_view method, std::span<const HeadField> fields);
/// Whether it asks for any upgrade.
bool has_upgrade(std::span<const HeadField> fields);

}  // namespace ee::net
