#include "attestation/tsm/emulator_keys.h"

#ifdef EE_EMULATOR

#include "common/require.h"

// Source: Intel SGX PCK Certificate and CRL Profile Specification, rev 1.5, section 1.3.5.
namespace ee::attestation::emulator {

namespace {

constexpr std::uint8_t kBoolean = 0x01;
constexpr std::uint8_t kInteger = 0x02;
constexpr std::uint8_t kOctetString = 0x04;
constexpr std::uint8_t kObjectIdentifier = 0x06;
constexpr std::uint8_t kEnumerated = 0x0a;
constexpr std::uint8_t kSequence = 0x30;

ByteVector element(std::uint8_t tag, Bytes content) {
  ByteVector out = {tag};
  require(content.size() < 0x10000);
  if (content.size() >= 0x100) {
    out.push_back(0x82);
    out.push_back(static_cast<std::uint8_t>(content.size() >> 8));
  } else if (content.size() >= 0x80) {
    out.push_back(0x81);
  }
  out.push_back(static_cast<std::uint8_t>(content.size()));
  append(out, content);
  return out;
}

/// 1.2.840.113741.1.13.1 followed by `arcs`, each below 128.
ByteVector oid(std::initializer_list<std::uint8_t> arcs) {
  ByteVector content = {0x2a, 0x86, 0x48, 0x86, 0xf8, 0x4d, 0x01, 0x0d, 0x01};
  content.insert(content.end(), arcs);
  return element(kObjectIdentifier, content);
}

ByteVector pair(std::initializer_list<std::uint8_t> arcs, const ByteVector& value) {
  ByteVector content = oid(arcs);
  append(content, value);
  return element(kSequence, content);
}

ByteVector integer(std::uint16_t value) {
  ByteVector content;
  if (value >= 0x8000) content.push_back(0);
  if (value >= 0x80) content.push_back(static_cast<std::uint8_t>(value >> 8));
  content.push_back(static_cast<std::uint8_t>(value));
  return element(kInteger, content);
}

ByteVector truth(bool value) { return element(kBoolean, ByteArray<1>{static_cast<std::uint8_t>(value ? 0xff : 0)}); }

}  // namespace

ByteVector make_sgx_extension(const SgxExtension& facts) {
  ByteVector tcb;
  for (std::uint8_t i = 0; i < 16; ++i)
    append(tcb, pair({2, static_cast<std::uint8_t>(i + 1)}, integer(facts.component_svns[i])));
  append(tcb, pair({2, 17}, integer(facts.pcesvn)));
  append(tcb, pair({2, 18}, element(kOctetString, facts.component_svns)));

  ByteVector configuration;
  append(configuration, pair({7, 1}, truth(true)));   // dynamic platform
  append(configuration, pair({7, 2}, truth(true)));   // cached keys
  append(configuration, pair({7, 3}, truth(false)));  // hyper-threading

  ByteVector content;
  append(content, pair({1}, element(kOctetString, facts.ppid)));
  append(content, pair({2}, element(kSequence, tcb)));
  append(content, pair({3}, element(kOctetString, facts.pceid)));
  append(content, pair({4}, element(kOctetString, facts.fmspc)));
  append(content, pair({5}, element(kEnumerated, ByteArray<1>{1})));  // scalable
  append(content, pair({6}, element(kOctetString, facts.ppid)));      // platform instance id
  append(content, pair({7}, element(kSequence, configuration)));
  return element(kSequence, content);
}

}  // namespace ee::attestation::emulator

#endif
