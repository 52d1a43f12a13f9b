#include "tests/support/vectors.h"

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <stdexcept>

namespace ee::testing {

std::optional<std::filesystem::path> vectors_dir() {
  const char* set = std::getenv("EE_TEST_VECTORS");
  std::filesystem::path dir = set != nullptr ? set : "../shared/vectors";
  if (!std::filesystem::is_directory(dir)) return std::nullopt;
  return dir;
}

std::string read_vector_text(const std::string& name) {
  const auto dir = vectors_dir();
  std::ifstream in(dir.value() / name, std::ios::binary);
  if (!in) throw std::runtime_error("cannot read vector " + name);
  return {std::istreambuf_iterator<char>(in), {}};
}

ByteVector read_vector(const std::string& name) {
  const std::string text = read_vector_text(name);
  return {text.begin(), text.end()};
}

}  // namespace ee::testing
