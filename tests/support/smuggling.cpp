#include "tests/support/smuggling.h"

#include <cstdlib>
#include <fstream>
#include <stdexcept>

namespace ee::testing {
namespace {

std::string unescape(const std::string& text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') {
      out += text[i];
      continue;
    }
    switch (text.at(++i)) {
      case 'r': out += '\r'; break;
      case 'n': out += '\n'; break;
      case 't': out += '\t'; break;
      case '0': out += '\0'; break;
      case '\\': out += '\\'; break;
      case 'x':
        out += static_cast<char>(std::stoi(text.substr(i + 1, 2), nullptr, 16));
        i += 2;
        break;
      default: throw std::runtime_error("unknown escape in " + text);
    }
  }
  return out;
}

std::string expand(const std::string& text) {
  const std::size_t open = text.find('{');
  const std::size_t star = text.find('*', open);
  const std::size_t close = text.find('}', star);
  if (open == std::string::npos || star == std::string::npos || close == std::string::npos) return unescape(text);
  const std::string unit = unescape(text.substr(open + 1, star - open - 1));
  std::string out = unescape(text.substr(0, open));
  for (int i = std::stoi(text.substr(star + 1, close - star - 1)); i > 0; --i) out += unit;
  return out + unescape(text.substr(close + 1));
}

}  // namespace

std::vector<SmugglingCase> smuggling_cases() {
  std::ifstream file("tests/http/smuggling.txt");
  if (!file) throw std::runtime_error("cannot read tests/http/smuggling.txt");
  std::vector<SmugglingCase> cases;
  std::string line;
  for (int number = 1; std::getline(file, line); ++number) {
    if (line.empty() || line.front() == '#') continue;
    const std::size_t bar = line.find(" | ");
    if (bar == std::string::npos) throw std::runtime_error("no bar in line " + std::to_string(number));
    SmugglingCase one;
    one.line = number;
    one.bytes = expand(line.substr(bar + 3));
    const std::string wanted = line.substr(0, bar);
    if (wanted.starts_with("ok ")) {
      one.served = std::stoi(wanted.substr(3));
    } else if (const std::size_t then = wanted.find(" then "); then != std::string::npos) {
      one.served = std::stoi(wanted);
      one.refusal = std::stoi(wanted.substr(then + 6));
    } else {
      one.refusal = std::stoi(wanted);
    }
    cases.push_back(std::move(one));
  }
  return cases;
}

}  // namespace ee::testing
