#include "agent/own_instance.h"

#include "agent/files.h"
#include "common/bytes.h"
#include "common/id.h"

namespace ee::agent {
namespace {

constexpr std::size_t kUuidChars = 36;

/// A random UUID (RFC 9562, version 4).
Result<std::string> new_instance(Random& random) {
  ByteArray<16> bytes{};
  if (!random.fill(bytes)) return fail(ErrorCode::internal_error, "no random bytes");
  bytes[6] = static_cast<std::uint8_t>((bytes[6] & 0x0fU) | 0x40U);
  bytes[8] = static_cast<std::uint8_t>((bytes[8] & 0x3fU) | 0x80U);
  return uuid_text(bytes);
}

}  // namespace

Result<std::string> own_instance(const std::string& data_dir, Random& random) {
  auto instance = kept_text(data_dir + "/instance", kUuidChars, [&] { return new_instance(random); });
  if (instance && !is_uuid(*instance)) return fail(ErrorCode::internal_error, "the instance file cannot be used");
  return instance;
}

}  // namespace ee::agent
