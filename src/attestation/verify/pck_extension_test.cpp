#include "attestation/verify/pck_extension.h"

#include <gtest/gtest.h>

#include "attestation/verify/certificate.h"
#include "tests/support/recorded_collateral.h"

namespace ee::attestation {
namespace {

// A small DER writer of the test's own, so that every part can be made wrong.
ByteVector element(std::uint8_t tag, const ByteVector& contents) {
  ByteVector out = {tag};
  if (contents.size() >= 256) {
    out.insert(out.end(), {0x82, static_cast<std::uint8_t>(contents.size() >> 8)});
  } else if (contents.size() >= 128) {
    out.push_back(0x81);
  }
  out.push_back(static_cast<std::uint8_t>(contents.size()));
  append(out, contents);
  return out;
}
ByteVector join(const std::vector<ByteVector>& parts) {
  ByteVector out;
  for (const ByteVector& part : parts) append(out, part);
  return out;
}
ByteVector oid(std::vector<std::uint8_t> arcs) {
  ByteVector contents = {0x2a, 0x86, 0x48, 0x86, 0xf8, 0x4d, 0x01, 0x0d, 0x01};
  append(contents, arcs);
  return element(0x06, contents);
}
ByteVector entry(std::vector<std::uint8_t> arcs, const ByteVector& value) {
  return element(0x30, join({oid(std::move(arcs)), value}));
}
ByteVector octets(std::size_t size, std::uint8_t fill) { return element(0x04, ByteVector(size, fill)); }
ByteVector integer(std::uint8_t value) { return element(0x02, {value}); }

struct Parts {
  std::vector<ByteVector> tcb;
  std::vector<ByteVector> top;
};
/// A complete extension in pieces: components 1..16, PCESVN 300, everything in order.
Parts good_parts() {
  Parts parts;
  for (std::uint8_t i = 1; i <= 16; ++i) parts.tcb.push_back(entry({2, i}, integer(i)));
  parts.tcb.push_back(entry({2, 17}, element(0x02, {0x01, 0x2c})));
  parts.tcb.push_back(entry({2, 18}, octets(16, 0xc5)));
  parts.top = {entry({1}, octets(16, 0xa1)),
               {},
               entry({3}, octets(2, 0xb2)),
               entry({4}, octets(6, 0xf4)),
               entry({5}, element(0x0a, {1}))};
  return parts;
}
ByteVector whole(Parts parts) {
  if (parts.top.size() > 1 && parts.top[1].empty()) parts.top[1] = entry({2}, element(0x30, join(parts.tcb)));
  return element(0x30, join(parts.top));
}
void expect_invalid(const ByteVector& der, const char* what) {
  const auto result = parse_pck_extension(der);
  ASSERT_FALSE(result) << what;
  EXPECT_EQ(result.error().code, ErrorCode::pck_extension_invalid) << what;
}

TEST(PckExtension, ReadsEveryPart) {
  const auto extension = parse_pck_extension(whole(good_parts()));
  ASSERT_TRUE(extension) << extension.error().detail;
  EXPECT_EQ(to_hex(extension->ppid), "a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1");
  EXPECT_EQ(to_hex(extension->components), "0102030405060708090a0b0c0d0e0f10");
  EXPECT_EQ(extension->pcesvn, 300);
  EXPECT_EQ(to_hex(extension->cpusvn), "c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5");
  EXPECT_EQ(to_hex(extension->pceid), "b2b2");
  EXPECT_EQ(to_hex(extension->fmspc), "f4f4f4f4f4f4");
}

TEST(PckExtension, ReadsTheOneOfARealCertificate) {
  EE_NEED_VECTORS();
  const Quote quote = testing::read_recorded_quote("dcap-qvl/tdx_quote");
  const auto ders = split_pem_certificates(quote.pck_chain_pem(), 3);
  const auto leaf = read_certificate(ders->front());
  ASSERT_TRUE(leaf && leaf->sgx_extension);
  const auto extension = parse_pck_extension(*leaf->sgx_extension);
  ASSERT_TRUE(extension) << extension.error().detail;
  // As `openssl asn1parse` shows them.
  EXPECT_EQ(to_hex(extension->components), "03030202040100050000000000000000");
  EXPECT_EQ(to_hex(extension->cpusvn), "03030202040100050000000000000000");
  EXPECT_EQ(extension->pcesvn, 11);
  EXPECT_EQ(to_hex(extension->fmspc), "b0c06f000000");
}

TEST(PckExtension, RefusesAMissingEntry) {
  for (const std::size_t missing : {0U, 2U, 3U, 4U}) {
    Parts parts = good_parts();
    parts.top[1] = entry({2}, element(0x30, join(parts.tcb)));
    parts.top.erase(parts.top.begin() + static_cast<std::ptrdiff_t>(missing));
    expect_invalid(element(0x30, join(parts.top)), "missing");
  }
  Parts without_tcb = good_parts();
  without_tcb.top.erase(without_tcb.top.begin() + 1);
  expect_invalid(element(0x30, join(without_tcb.top)), "no tcb");
  for (std::size_t missing = 0; missing < 18; ++missing) {
    Parts parts = good_parts();
    parts.tcb.erase(parts.tcb.begin() + static_cast<std::ptrdiff_t>(missing));
    expect_invalid(whole(parts), "missing in tcb");
  }
}

TEST(PckExtension, RefusesADoubledEntry) {
  for (const std::size_t doubled : {0U, 2U, 3U, 4U}) {
    Parts parts = good_parts();
    parts.top.push_back(parts.top[doubled]);
    expect_invalid(whole(parts), "doubled");
  }
  for (std::size_t doubled = 0; doubled < 18; ++doubled) {
    Parts parts = good_parts();
    parts.tcb.push_back(parts.tcb[doubled]);
    expect_invalid(whole(parts), "doubled in tcb");
  }
  Parts unknown = good_parts();
  unknown.top.push_back(entry({9}, integer(1)));
  EXPECT_TRUE(parse_pck_extension(whole(unknown)));
  unknown.top.push_back(entry({9}, integer(1)));
  expect_invalid(whole(unknown), "unknown doubled");
}

TEST(PckExtension, RefusesWrongTypesAndLengths) {
  const auto with_top = [](std::size_t index, const ByteVector& replacement, const char* what) {
    Parts parts = good_parts();
    parts.top[index] = replacement;
    expect_invalid(whole(parts), what);
  };
  with_top(0, entry({1}, octets(15, 0)), "short ppid");
  with_top(0, entry({1}, octets(17, 0)), "long ppid");
  with_top(0, entry({1}, integer(1)), "ppid no octets");
  with_top(2, entry({3}, octets(3, 0)), "long pceid");
  with_top(3, entry({4}, octets(5, 0)), "short fmspc");
  with_top(4, entry({5}, element(0x0a, {3})), "unknown type");
  with_top(4, entry({5}, integer(0)), "type no enumeration");
  with_top(1, entry({2}, octets(4, 0)), "tcb no sequence");
  with_top(0, element(0x30, join({oid({1}), octets(16, 0), integer(0)})), "three parts");
  with_top(0, element(0x30, oid({1})), "no value");
  with_top(0, element(0x30, join({element(0x06, {0x2a, 0x03}), octets(16, 0)})), "another arc");
  with_top(0, entry({0x81, 0x01}, octets(16, 0)), "arc of two bytes");

  const auto with_tcb = [](std::size_t index, const ByteVector& replacement, const char* what) {
    Parts parts = good_parts();
    parts.tcb[index] = replacement;
    expect_invalid(whole(parts), what);
  };
  with_tcb(0, entry({2, 1}, element(0x02, {0x01, 0x00})), "component 256");
  with_tcb(0, entry({2, 1}, element(0x02, {0xff})), "component -1");
  with_tcb(16, entry({2, 17}, element(0x02, {0x01, 0x00, 0x00})), "pcesvn 65536");
  with_tcb(17, entry({2, 18}, octets(15, 0)), "short cpusvn");
  with_tcb(0, entry({2, 19}, integer(0)), "unknown in tcb");
  with_tcb(0, entry({2, 0}, integer(0)), "component 0");
  with_tcb(0, entry({3, 1}, integer(0)), "another arc in tcb");
}

TEST(PckExtension, RefusesEveryTruncationAndWhatIsLeftOver) {
  const ByteVector good = whole(good_parts());
  for (std::size_t size = 0; size < good.size(); ++size)
    expect_invalid({good.begin(), good.begin() + static_cast<std::ptrdiff_t>(size)}, "cut");
  ByteVector longer = good;
  longer.push_back(0);
  expect_invalid(longer, "longer");
}

}  // namespace
}  // namespace ee::attestation
