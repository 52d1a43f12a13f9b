#include "common/secret.h"

#include <openssl/crypto.h>

#include "common/bytes.h"

namespace ee {

void wipe(std::string& text) {
  OPENSSL_cleanse(text.data(), text.size());
  text.clear();
}

bool Secret::operator==(const Secret& other) const {
  return constant_time_equal(bytes_of(value_), bytes_of(other.value_));
}

}  // namespace ee
