#include "attestation/verify/pck_extension.h"

#include <algorithm>
#include <array>
#include <bitset>
#include <limits>
#include <optional>

#include "attestation/verify/der.h"

namespace ee::attestation {
namespace {

// 1.2.840.113741.1.13.1; the parts below it have one more arc each, all under 128 and so one byte long.
constexpr std::array<std::uint8_t, 9> kSgxExtensions = {0x2a, 0x86, 0x48, 0x86, 0xf8, 0x4d, 0x01, 0x0d, 0x01};
namespace arc {
constexpr std::uint8_t kPpid = 1;
constexpr std::uint8_t kTcb = 2;
constexpr std::uint8_t kPceId = 3;
constexpr std::uint8_t kFmspc = 4;
constexpr std::uint8_t kType = 5;
constexpr std::uint8_t kTcbPceSvn = 17;
constexpr std::uint8_t kTcbCpuSvn = 18;
}  // namespace arc
constexpr std::uint8_t kComponents = 16;
constexpr std::uint64_t kMaxSgxType = 2;  // standard, scalable, scalable with integrity

using Fault = const char*;  // names the part that is wrong; nullptr when all is well

/// One `SEQUENCE { OID, value }` whose OID is `prefix` and one arc more.
struct Entry {
  std::uint8_t arc;
  DerReader::Element value;
};
std::optional<Entry> read_entry(DerReader& reader, Bytes prefix) {
  const auto pair = reader.read(der_tag::kSequence);
  if (!pair) return std::nullopt;
  DerReader parts(*pair);
  const auto oid = parts.read(der_tag::kObjectId);
  const auto value = oid ? parts.read_any() : std::nullopt;
  if (!value || !parts.at_end() || oid->size() != prefix.size() + 1) return std::nullopt;
  if (!std::ranges::equal(oid->first(prefix.size()), prefix) || oid->back() >= 0x80) return std::nullopt;
  return Entry{.arc = oid->back(), .value = *value};
}

template <std::size_t N>
bool copy_octets(const DerReader::Element& value, ByteArray<N>& out) {
  if (value.tag != der_tag::kOctetString || value.contents.size() != N) return false;
  std::ranges::copy(value.contents, out.begin());
  return true;
}

template <class Integer>
bool copy_integer(const DerReader::Element& value, Integer& out) {
  if (value.tag != der_tag::kInteger) return false;
  const auto number = der_unsigned(value.contents, std::numeric_limits<Integer>::max());
  if (!number) return false;
  out = static_cast<Integer>(*number);
  return true;
}

/// The arcs that were met: each at most once.
class Seen {
 public:
  bool add(std::uint8_t arc) {
    if (arcs_.test(arc)) return false;
    arcs_.set(arc);
    return true;
  }
  bool has_all(std::uint8_t first, std::uint8_t last) const {
    for (std::size_t arc = first; arc <= last; ++arc)
      if (!arcs_.test(arc)) return false;
    return true;
  }

 private:
  std::bitset<128> arcs_;
};

Fault read_tcb(const DerReader::Element& value, PckExtension& out) {
  if (value.tag != der_tag::kSequence) return "tcb";
  std::array<std::uint8_t, kSgxExtensions.size() + 1> prefix{};
  std::ranges::copy(kSgxExtensions, prefix.begin());
  prefix.back() = arc::kTcb;

  DerReader entries(value.contents);
  Seen seen;
  while (!entries.at_end()) {
    const auto entry = read_entry(entries, prefix);
    if (!entry) return "tcb entry";
    if (!seen.add(entry->arc)) return "tcb entry doubled";
    bool good = false;
    if (entry->arc >= 1 && entry->arc <= kComponents) {
      good = copy_integer(entry->value, out.components[entry->arc - 1U]);
    } else if (entry->arc == arc::kTcbPceSvn) {
      good = copy_integer(entry->value, out.pcesvn);
    } else if (entry->arc == arc::kTcbCpuSvn) {
      good = copy_octets(entry->value, out.cpusvn);
    }
    if (!good) return "tcb entry value";
  }
  return seen.has_all(1, arc::kTcbCpuSvn) ? nullptr : "tcb entry missing";
}

Fault read_extension(Bytes der, PckExtension& out) {
  DerReader outer(der);
  const auto contents = outer.read(der_tag::kSequence);
  if (!contents || !outer.at_end()) return "not one sequence";

  DerReader entries(*contents);
  Seen seen;
  while (!entries.at_end()) {
    const auto entry = read_entry(entries, kSgxExtensions);
    if (!entry) return "entry";
    if (!seen.add(entry->arc)) return "entry doubled";
    const DerReader::Element& value = entry->value;
    switch (entry->arc) {
      case arc::kPpid:
        if (!copy_octets(value, out.ppid)) return "ppid";
        break;
      case arc::kTcb:
        if (const Fault fault = read_tcb(value, out)) return fault;
        break;
      case arc::kPceId:
        if (!copy_octets(value, out.pceid)) return "pceid";
        break;
      case arc::kFmspc:
        if (!copy_octets(value, out.fmspc)) return "fmspc";
        break;
      case arc::kType:
        if (value.tag != der_tag::kEnumerated || !der_unsigned(value.contents, kMaxSgxType)) return "type";
        break;
      default: break;  // platform instance id, configuration, and what Intel may add: signed, and decides nothing here
    }
  }
  return seen.has_all(arc::kPpid, arc::kType) ? nullptr : "entry missing";
}

}  // namespace

Result<PckExtension> parse_pck_extension(Bytes der) {
  PckExtension extension{};
  if (const Fault fault = read_extension(der, extension)) return fail(ErrorCode::pck_extension_invalid, fault);
  return extension;
}

}  // namespace ee::attestation
