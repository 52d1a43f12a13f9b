#include "common/sealed_box.h"

#include <sodium.h>

#include <algorithm>
#include <array>

#include "common/crypto.h"
#include "common/require.h"

namespace ee {
namespace {

constexpr std::size_t kMaxContext = 512;

bool is_context(std::string_view text) {
  return !text.empty() && text.size() <= kMaxContext &&
         std::ranges::all_of(text, [](char c) { return c >= 0x20 && c <= 0x7e; });
}

constexpr std::uint8_t hex_value(char c) { return static_cast<std::uint8_t>(c <= '9' ? c - '0' : c - 'a' + 10); }

consteval ByteArray<32> point_of(std::string_view hex) {
  ByteArray<32> point{};
  for (std::size_t i = 0; i < point.size(); ++i)
    point[i] = static_cast<std::uint8_t>(hex_value(hex[2 * i]) * 16 + hex_value(hex[2 * i + 1]));
  return point;
}

/// All encodings in 255 bits of points of low order, of Curve25519 and of its twist (RFC 7748 sections 5 and 6.1):
/// their product with any scalar of X25519 is zero, and that of no other point is. In this order: 0, 1, the two of
/// order 8, p - 1, and 0 and 1 not reduced. To compare costs nothing; to multiply and look, some fifty microseconds.
constexpr std::array<ByteArray<32>, 7> kLowOrder = {
    point_of("0000000000000000000000000000000000000000000000000000000000000000"),
    point_of("0100000000000000000000000000000000000000000000000000000000000000"),
    point_of("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    point_of("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    point_of("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    point_of("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    point_of("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
};

/// Bytes in clear for a moment.
struct Wiped {
  ByteVector bytes;
  explicit Wiped(std::size_t size) : bytes(size) {}
  Wiped(const Wiped&) = delete;
  Wiped& operator=(const Wiped&) = delete;
  ~Wiped() { sodium_memzero(bytes.data(), bytes.size()); }
};

}  // namespace

std::optional<X25519KeyPair> X25519KeyPair::generate(Random& random) {
  ByteArray<32> secret{};
  if (!random.fill(secret)) return std::nullopt;
  auto pair = from_secret(secret);
  sodium_memzero(secret.data(), secret.size());
  return pair;
}

X25519KeyPair X25519KeyPair::from_secret(const ByteArray<32>& secret) {
  require_sodium();
  X25519KeyPair pair;
  pair.secret_ = secret;
  require(crypto_scalarmult_base(pair.public_.data(), pair.secret_.data()) == 0);
  return pair;
}

X25519KeyPair::X25519KeyPair(X25519KeyPair&& other) noexcept : public_(other.public_), secret_(other.secret_) {
  sodium_memzero(other.secret_.data(), other.secret_.size());
}

X25519KeyPair& X25519KeyPair::operator=(X25519KeyPair&& other) noexcept {
  if (this != &other) {
    public_ = other.public_;
    secret_ = other.secret_;
    sodium_memzero(other.secret_.data(), other.secret_.size());
  }
  return *this;
}

X25519KeyPair::~X25519KeyPair() { sodium_memzero(secret_.data(), secret_.size()); }

bool is_acceptable_x25519(Bytes public_key) {
  if (public_key.size() != crypto_scalarmult_BYTES) return false;
  ByteArray<32> point{};
  std::ranges::copy(public_key, point.begin());
  point.back() &= 0x7fU;  // X25519 does not look at the highest bit
  return std::ranges::find(kLowOrder, point) == kLowOrder.end();
}

Result<ByteVector> seal(std::string_view context, std::string_view payload, const ByteArray<32>& public_key) {
  require(is_context(context));
  if (payload.size() > kMaxSealedPayloadBytes) return fail(ErrorCode::internal_error, "payload too long to be sealed");
  if (!is_acceptable_x25519(public_key)) return fail(ErrorCode::invalid_request, "sealing key of low order");
  Wiped clear(context.size() + 1 + payload.size());
  std::ranges::copy(context, clear.bytes.begin());
  std::ranges::copy(payload, clear.bytes.begin() + static_cast<std::ptrdiff_t>(context.size() + 1));
  ByteVector out(clear.bytes.size() + crypto_box_SEALBYTES);
  require(crypto_box_seal(out.data(), clear.bytes.data(), clear.bytes.size(), public_key.data()) == 0);
  return out;
}

Result<Secret> open_sealed(std::string_view context, Bytes ciphertext, const X25519KeyPair& key) {
  require(is_context(context));
  const auto refused = [] { return fail(ErrorCode::seal_context_mismatch, "sealed value refused"); };
  const std::size_t overhead = crypto_box_SEALBYTES + context.size() + 1;
  if (ciphertext.size() < overhead || ciphertext.size() > overhead + kMaxSealedPayloadBytes) return refused();
  Wiped clear(ciphertext.size() - crypto_box_SEALBYTES);
  if (crypto_box_seal_open(clear.bytes.data(), ciphertext.data(), ciphertext.size(), key.public_key().data(),
                           key.secret_key().data()) != 0)
    return refused();
  const std::string_view text = text_of(clear.bytes);
  const std::size_t end = text.find('\0');
  if (end == std::string_view::npos || text.substr(0, end) != context) return refused();
  return Secret(std::string(text.substr(end + 1)));
}

}  // namespace ee
