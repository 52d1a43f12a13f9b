#pragma once
#include <string_view>

#include "common/bytes.h"
#include "common/crypto.h"

namespace ee::testing {

/// Writes CCEL logs record by record.
class EventLogMaker {
 public:
  /// A header that announces SHA-384 only, as real ones do.
  EventLogMaker() { header({{0x000c, 48}}); }
  struct Algorithm {
    std::uint16_t id;
    std::uint16_t size;
  };
  explicit EventLogMaker(std::initializer_list<Algorithm> algorithms) { header(algorithms); }

  EventLogMaker& event(std::uint32_t index, std::uint32_t type, std::string_view data) {
    u32(index).u32(type).u32(1).u16(0x000c);
    append(log_, sha384(bytes_of(data)));
    u32(static_cast<std::uint32_t>(data.size()));
    append(log_, data);
    return *this;
  }
  EventLogMaker& u16(std::uint16_t value) { return little_endian(value, 2); }
  EventLogMaker& u32(std::uint32_t value) { return little_endian(value, 4); }
  EventLogMaker& fill(std::size_t count, std::uint8_t value) {
    log_.insert(log_.end(), count, value);
    return *this;
  }
  const ByteVector& log() const { return log_; }

 private:
  void header(std::initializer_list<Algorithm> algorithms) {
    u32(1).u32(3).fill(20, 0).u32(static_cast<std::uint32_t>(29 + 4 * algorithms.size()));
    append(log_, std::string_view("Spec ID Event03\0", 16));
    u32(0).u32(0x02000200).u32(static_cast<std::uint32_t>(algorithms.size()));
    for (const Algorithm& algorithm : algorithms) u16(algorithm.id).u16(algorithm.size);
    fill(1, 0);  // no vendor information
  }
  EventLogMaker& little_endian(std::uint64_t value, std::size_t size) {
    for (std::size_t i = 0; i < size; ++i) log_.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
    return *this;
  }
  ByteVector log_;
};

}  // namespace ee::testing
