#pragma once
#include <concepts>
#include <utility>

namespace ee::attestation {

/// A value that must be stated: it has no default, so a struct that leaves a policy field out does not compile.
template <class T>
class Stated {
 public:
  template <std::same_as<T> U>
  Stated(U value) : value_(std::move(value)) {}  // implicit, so that a struct is written as if this were a T
  operator const T&() const { return value_; }
  const T& get() const { return value_; }
  bool operator==(const Stated&) const = default;
  friend bool operator==(const Stated& stated, const T& value) { return stated.value_ == value; }

 private:
  T value_;
};

}  // namespace ee::attestation
