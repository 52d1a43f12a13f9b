#include "common/secret_box.h"

#include <openssl/evp.h>

#include <algorithm>
#include <memory>

#include "common/crypto.h"
#include "common/require.h"

namespace ee {
namespace {

constexpr std::size_t kNonce = 12;
constexpr std::size_t kTag = 16;

struct ContextDeleter {
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};
using Context = std::unique_ptr<EVP_CIPHER_CTX, ContextDeleter>;

bool add_associated(EVP_CIPHER_CTX* context, std::string_view associated, bool sealing) {
  int done = 0;
  const auto* data = reinterpret_cast<const unsigned char*>(associated.data());
  const int size = static_cast<int>(associated.size());
  return sealing ? EVP_EncryptUpdate(context, nullptr, &done, data, size) == 1
                 : EVP_DecryptUpdate(context, nullptr, &done, data, size) == 1;
}

}  // namespace

SecretBox::SecretBox(const std::vector<Secret>& keys) {
  for (const Secret& key : keys) {
    require(key.reveal().size() == 32);
    keys_.push_back({.id = to_hex(sha256(bytes_of(key.reveal()))).substr(0, 8), .bytes = key});
  }
}

Result<BoxedSecret> SecretBox::seal(std::string_view value, std::string_view associated, Random& random) const {
  if (keys_.empty()) return fail(ErrorCode::secrets_unavailable, "no EE_SECRETS_KEY");
  require(value.size() <= kMaxBytes);
  ByteVector out(kNonce + value.size() + kTag);
  if (!random.fill(std::span(out).first(kNonce))) return fail(ErrorCode::internal_error, "the CSPRNG failed");
  const Context context(EVP_CIPHER_CTX_new());
  const auto* key = reinterpret_cast<const unsigned char*>(keys_.front().bytes.reveal().data());
  int done = 0;
  int last = 0;
  const bool sealed =
      context && EVP_EncryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, key, out.data()) == 1 &&
      add_associated(context.get(), associated, true) &&
      EVP_EncryptUpdate(context.get(), out.data() + kNonce, &done, reinterpret_cast<const unsigned char*>(value.data()),
                        static_cast<int>(value.size())) == 1 &&
      EVP_EncryptFinal_ex(context.get(), out.data() + kNonce + done, &last) == 1 &&
      EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_GET_TAG, kTag, out.data() + kNonce + value.size()) == 1;
  if (!sealed) return fail(ErrorCode::internal_error, "sealing failed");
  return BoxedSecret{.key_id = keys_.front().id, .sealed = to_base64(out)};
}

Result<Secret> SecretBox::open(const BoxedSecret& boxed, std::string_view associated) const {
  const auto key = std::ranges::find(keys_, boxed.key_id, &Key::id);
  if (key == keys_.end()) return fail(ErrorCode::secrets_unavailable, "no key " + boxed.key_id);
  auto raw = from_base64(boxed.sealed);
  if (!raw || raw->size() < kNonce + kTag || raw->size() > kNonce + kMaxBytes + kTag)
    return fail(ErrorCode::secrets_unavailable, "a sealed value is damaged");
  const std::size_t size = raw->size() - kNonce - kTag;
  std::string value(size, '\0');
  const Context context(EVP_CIPHER_CTX_new());
  int done = 0;
  int last = 0;
  const bool opened =
      context &&
      EVP_DecryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr,
                         reinterpret_cast<const unsigned char*>(key->bytes.reveal().data()), raw->data()) == 1 &&
      add_associated(context.get(), associated, false) &&
      EVP_DecryptUpdate(context.get(), reinterpret_cast<unsigned char*>(value.data()), &done, raw->data() + kNonce,
                        static_cast<int>(size)) == 1 &&
      EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_SET_TAG, kTag, raw->data() + kNonce + size) == 1 &&
      EVP_DecryptFinal_ex(context.get(), reinterpret_cast<unsigned char*>(value.data()) + done, &last) == 1;
  Secret out(value);
  wipe(value);
  if (!opened) return fail(ErrorCode::secrets_unavailable, "a sealed value does not open");
  return out;
}

}  // namespace ee
