#include "common/random.h"

#include <sys/random.h>

#include <cerrno>
#include <cstring>

#include "common/require.h"

namespace ee {

std::int64_t Random::between(std::int64_t low, std::int64_t high) {
  require(low <= high);
  std::uint64_t value = 0;
  ByteArray<8> bytes{};
  if (!fill(bytes)) return low;
  std::memcpy(&value, bytes.data(), bytes.size());
  const std::uint64_t width = static_cast<std::uint64_t>(high) - static_cast<std::uint64_t>(low) + 1;
  return width == 0 ? static_cast<std::int64_t>(value)
                    : static_cast<std::int64_t>(static_cast<std::uint64_t>(low) + value % width);
}

bool SystemRandom::fill(std::span<std::uint8_t> out) {
  while (!out.empty()) {
    const ssize_t got = ::getrandom(out.data(), out.size(), 0);
    if (got < 0) {
      if (errno == EINTR) continue;
      return false;
    }
    out = out.subspan(static_cast<std::size_t>(got));
  }
  return true;
}

}  // namespace ee
