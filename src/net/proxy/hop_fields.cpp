#include "net/proxy/hop_fields.h"

#include <algorithm>

#include "net/http.h"

namespace ee::net {
namespace {

const HeadField* find(std::span<const HeadField> fields, std::string_view name) {
  const auto found =
      std::ranges::find_if(fields, [&](const HeadField& field) { return equal_ignoring_case(field.name, name); });
  return found == fields.end() ? nullptr : &*found;
}

bool has_option(std::span<const HeadField> fields, std::string_view name, std::string_view wanted) {
  bool has = false;
  for (const HeadField& field : fields)
    if (equal_ignoring_case(field.name, name))
      for_each_option(field.value, [&](std::string_view option) { has = has || equal_ignoring_case(option, wanted); });
  return has;
}

bool is_hop_field(std::string_view name) {
  switch (name.size()) {
    case 2: return equal_ignoring_case(name, "te");
    case 5: return equal_ignoring_case(name, "proxy");  // read by CGI programs as their own setting (httpoxy)
    case 6: return equal_ignoring_case(name, "expect");
    case 7: return equal_ignoring_case(name, "trailer") || equal_ignoring_case(name, "upgrade");
    case 10: return equal_ignoring_case(name, "connection") || equal_ignoring_case(name, "keep-alive");
    case 14: return equal_ignoring_case(name, "content-length") || equal_ignoring_case(name, "http2-settings");
    case 17: return equal_ignoring_case(name, "transfer-encoding");
    default: return name.size() > 6 && equal_ignoring_case(name.substr(0, 6), "proxy-");
  }
}

}  // namespace

HopFields::HopFields(std::span<const HeadField> fields) {
  for (const HeadField& field : fields)
    if (equal_ignoring_case(field.name, "connection"))
      for_each_option(field.value, [&](std::string_view option) { named_.push_back(option); });
}

bool HopFields::drops(std::string_view name) const {
  return is_hop_field(name) ||
         std::ranges::any_of(named_, [&](std::string_view named) { return equal_ignoring_case(named, name); });
}

void append_field(std::string& out, std::string_view name, std::string_view value) {
  out.append(name).append(": ").append(value).append("\r\n");
}

bool has_upgrade(std::span<const HeadField> fields) {
  return find(fields, "upgrade") != nullptr && has_option(fields, "connection", "upgrade");
}

bool is_websocket_request(std::string_view method, std::span<const HeadField> fields) {
  const HeadField* const version = find(fields, "sec-websocket-version");
  const HeadField* const key = find(fields, "sec-websocket-key");
  const HeadField* const upgrade = find(fields, "upgrade");
  return method == "GET" && has_option(fields, "connection", "upgrade") && upgrade &&
         equal_ignoring_case(upgrade->value, "websocket") && version && version->value == "13" && key &&
         !key->value.empty();
}

}  // namespace ee::net
