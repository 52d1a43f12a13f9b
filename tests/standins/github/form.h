#pragma once
#include <algorithm>
#include <map>
#include <string>
#include <string_view>

namespace ee::standins {

/// Fields of a query or an `application/x-www-form-urlencoded` body; of equal names the first.
struct Form {
  std::map<std::string, std::string, std::less<>> fields;
  std::string get(std::string_view name) const {
    const auto found = fields.find(name);
    return found == fields.end() ? "" : found->second;
  }
};

inline std::string form_decode(std::string_view text) {
  const auto digit = [](char c) { return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10; };
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+') {
      out += ' ';
    } else if (text[i] == '%' && i + 2 < text.size()) {
      out += static_cast<char>(digit(text[i + 1]) * 16 + digit(text[i + 2]));
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

inline Form parse_form(std::string_view text) {
  Form form;
  while (!text.empty()) {
    const std::string_view pair = text.substr(0, text.find('&'));
    text.remove_prefix(std::min(pair.size() + 1, text.size()));
    const std::size_t equals = std::min(pair.find('='), pair.size());
    form.fields.emplace(form_decode(pair.substr(0, equals)),
                        form_decode(pair.substr(std::min(equals + 1, pair.size()))));
  }
  return form;
}

}  // namespace ee::standins
