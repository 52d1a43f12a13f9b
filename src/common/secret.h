#pragma once
#include <string>
#include <string_view>
#include <utility>

namespace ee {

/// Overwrites the characters before releasing them; the compiler may not drop it.
void wipe(std::string& text);

/// A text that must never be printed: no stream or format operator exists, so that logging one does not compile. Wiped
/// on destruction, on move from and on assignment.
class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string value) : value_(std::move(value)) {}
  Secret(const Secret&) = default;
  // A copy, then a wipe: moving a short string would leave its characters in the other's own buffer.
  // NOLINTNEXTLINE(performance-move-constructor-init)
  Secret(Secret&& other) noexcept : value_(other.value_) { wipe(other.value_); }
  Secret& operator=(const Secret& other) {
    if (this != &other) {
      wipe(value_);
      value_ = other.value_;
    }
    return *this;
  }
  Secret& operator=(Secret&& other) noexcept {
    if (this != &other) {
      wipe(value_);
      value_ = other.value_;
      wipe(other.value_);
    }
    return *this;
  }
  ~Secret() { wipe(value_); }

  /// The only way to the value; named so that a search finds every use.
  const std::string& reveal() const { return value_; }
  bool empty() const { return value_.empty(); }
  bool operator==(const Secret& other) const;

 private:
  std::string value_;
};

}  // namespace ee
