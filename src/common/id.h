#pragma once
#include <compare>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "common/random.h"
#include "common/time.h"

namespace ee {

/// Lower-case canonical text of a UUID (any version): 8-4-4-4-12 hexadecimal digits.
bool is_uuid(std::string_view text);
/// A new UUIDv7 (RFC 9562 section 5.7): 48 bits of Unix milliseconds, 74 random bits. Nothing when the CSPRNG fails.
std::optional<std::string> new_uuid_v7(UtcTime now, Random& random);
/// The time in a UUIDv7; nothing when `text` is not one.
std::optional<UtcTime> uuid_v7_time(std::string_view text);
/// The 16 bytes of a UUID's text, and back.
std::optional<ByteArray<16>> uuid_bytes(std::string_view text);
std::string uuid_text(const ByteArray<16>& bytes);

/// Whether `text` is a DNS label: `[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?`.
bool is_dns_label(std::string_view text);

/// An identifier of one kind of thing: distinct types, explicit construction, no implicit text.
template <class Tag>
class Id {
 public:
  Id() = default;
  explicit Id(std::string value) : value_(std::move(value)) {}
  const std::string& str() const { return value_; }
  bool empty() const { return value_.empty(); }
  auto operator<=>(const Id&) const = default;

 private:
  std::string value_;
};

using AgentId = Id<struct AgentTag>;
using RegistrationId = Id<struct RegistrationTag>;
using AccountId = Id<struct AccountTag>;
using DeploymentId = Id<struct DeploymentTag>;
using SessionId = Id<struct SessionTag>;
using RequestId = Id<struct RequestTag>;

}  // namespace ee

template <class Tag>
struct std::hash<ee::Id<Tag>> {
  std::size_t operator()(const ee::Id<Tag>& id) const noexcept { return std::hash<std::string>{}(id.str()); }
};
