#include "agent/secret_mask.h"

#include <algorithm>

#include "common/json.h"
#include "common/redact.h"

namespace ee::agent {
namespace {

void replace_all(std::string& text, std::string_view value) {
  for (std::size_t at = text.find(value); at != std::string::npos; at = text.find(value, at + kRedacted.size()))
    text.replace(at, value.size(), kRedacted);
}

}  // namespace

void SecretMask::add(const Secret& value) {
  if (value.reveal().size() < kShortest) return;
  const std::lock_guard lock(mutex_);
  if (std::ranges::find(values_, value) != values_.end()) return;
  values_.push_back(value);
  if (values_.size() > kMost) values_.pop_front();
}

void SecretMask::clear() {
  const std::lock_guard lock(mutex_);
  values_.clear();
}

std::string SecretMask::mask(std::string text) const {
  const std::lock_guard lock(mutex_);
  for (const Secret& value : values_) {
    replace_all(text, value.reveal());
    std::string quoted = json::quote(value.reveal());
    replace_all(text, std::string_view(quoted).substr(1, quoted.size() - 2));
    wipe(quoted);
  }
  return text;
}

}  // namespace ee::agent
