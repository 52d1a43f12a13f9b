#include "attestation/tdvf/tdvf.h"

#include <gtest/gtest.h>

#include "common/crypto.h"
#include "tests/support/tdvf_maker.h"

namespace ee::attestation {
namespace {

using ee::testing::make_pe;
using ee::testing::make_tdvf;
using ee::testing::put;
using ee::testing::RawSection;
using ee::testing::vector_tdvf;

std::string mrtd(const ByteVector& firmware, PageOrder order = PageOrder::single) {
  const auto out = compute_mrtd(firmware, order);
  return out ? to_hex(*out) : out.error().detail;
}

TEST(Tdvf, S01_TDVF_001_vector_in_both_orders) {
  const ByteVector firmware = vector_tdvf();
  ASSERT_EQ(to_hex(sha256(firmware)), "2cbc61d714bb0080847e71e2e4c4c9b0dbae7ceaebcaa7048b13e8d311167394");

  EXPECT_EQ(mrtd(firmware), ee::testing::kVectorMrtdSingle);
  EXPECT_EQ(mrtd(firmware, PageOrder::two_pass), ee::testing::kVectorMrtdTwoPass);
}

// 06 section 12.2.
TEST(Tdvf, PageVectors) {
  EXPECT_EQ(mrtd(make_tdvf(ByteVector(4096), {{0, 4096, 0xFFFFF000, 4096, 0, 1}})),
            "07f08f558c5e2593b33452cf00c12a165c07b027a36424ecfa15ebf39b5415e0ed62418458e4bfd77f16fec0f1568dc9");
  EXPECT_EQ(mrtd(make_tdvf(ByteVector(8192, 0x90), {{0, 8192, 0xFFFFE000, 8192, 0, 1}, {0, 0, 0x809000, 4096, 3, 0}})),
            "cc1906d37379662e4a32611322d0d2124a4b1f7d93ed23a3e91e3abd30367860a12b1f428e0f92cf94b2586c58a12437");
}

TEST(Tdvf, ReadsTheSections) {
  const auto sections = read_tdvf(vector_tdvf());

  ASSERT_TRUE(sections);
  ASSERT_EQ(sections->size(), 3u);
  EXPECT_EQ(sections->at(0).address, 0xFFFFD000u);
  EXPECT_TRUE(sections->at(0).extend);
  EXPECT_EQ(sections->at(1).type, TdvfSectionType::temporary_memory);
  EXPECT_EQ(sections->at(2).memory_size, 4096u);
}

TEST(Tdvf, S01_TDVF_003_pages_that_are_added_later_are_skipped) {
  const RawSection code{0, 4096, 0xFFFFF000, 4096, 0, 1};
  const std::string without = mrtd(make_tdvf(ByteVector(4096), {code}));

  EXPECT_EQ(mrtd(make_tdvf(ByteVector(4096), {code, {0, 0, 0, 0x80000000, 4, 2}})), without);
  EXPECT_NE(mrtd(make_tdvf(ByteVector(4096), {code, {0, 0, 0, 0x1000, 4, 0}})), without);
}

struct Malformed {
  const char* name;
  std::size_t offset;
  std::uint64_t value;
  std::size_t size;
};

// covers: S01_TDVF_002
TEST(Tdvf, S01_TDVF_002_refuses_each_malformed_field) {
  const ByteVector good = vector_tdvf();
  const std::size_t end = good.size();
  constexpr std::size_t kDescriptor = 8208;
  constexpr std::size_t kFirst = kDescriptor + 16;
  constexpr std::size_t kSecond = kFirst + 32;
  const Malformed cases[] = {
      {"footer GUID", end - 48, 0, 1},
      {"table too short", end - 50, 17, 2},
      {"table longer than the file", end - 50, 0xFFFF, 2},
      {"table without the entry", end - 50, 18, 2},
      {"table cuts the entry", end - 50, 39, 2},
      {"entry too short", end - 50 - 18, 17, 2},
      {"entry longer than the table", end - 50 - 18, 23, 2},
      {"entry of zero", end - 50 - 18, 0, 2},
      {"entry GUID", end - 50 - 16, 0, 1},
      {"distance beyond the file", end - 50 - 22, 12289, 4},
      {"distance of zero", end - 50 - 22, 0, 4},
      {"distance into the last bytes", end - 50 - 22, 15, 4},
      {"signature", kDescriptor, 0, 1},
      {"length", kDescriptor + 4, 111, 4},
      {"length of everything", kDescriptor + 4, 0xFFFFFFFF, 4},
      {"version 0", kDescriptor + 8, 0, 4},
      {"version 2", kDescriptor + 8, 2, 4},
      {"no sections", kDescriptor + 12, 0, 4},
      {"65 sections", kDescriptor + 12, 65, 4},
      {"very many sections", kDescriptor + 12, 0xFFFFFFFF, 4},
      {"data outside the file", kFirst, 8192, 4},
      {"data offset beyond the file", kFirst, 0xFFFFFFFF, 4},
      {"raw size outside the file", kFirst + 4, 0xFFFFFFFF, 4},
      {"measured data that does not fill the memory", kFirst + 4, 4096, 4},
      {"address between pages", kFirst + 8, 0xFFFFD001, 8},
      {"address that wraps", kFirst + 8, 0xFFFFFFFFFFFFF000, 8},
      {"memory size between pages", kFirst + 16, 8193, 8},
      {"memory smaller than data", kFirst + 16, 4096, 8},
      {"memory over 4 GiB", kSecond + 16, 0x100001000, 8},
      {"all memory over 4 GiB", kSecond + 16, 0x100000000, 8},
      {"memory size that wraps", kSecond + 16, 0xFFFFFFFFFFFFF000, 8},
      {"type 7", kFirst + 24, 7, 4},
      {"attribute bit 2", kFirst + 28, 5, 4},
      {"overlap", kSecond + 8, 0x808000, 8},
      {"overlap with the firmware", kSecond + 8, 0xFFFFE000, 8},
  };
  for (const Malformed& item : cases) {
    ByteVector bad = good;
    for (std::size_t i = 0; i < item.size; ++i) bad[item.offset + i] = static_cast<std::uint8_t>(item.value >> (8 * i));
    ASSERT_NE(bad, good) << item.name;
    EXPECT_FALSE(compute_mrtd(bad, PageOrder::single)) << item.name;
  }
  EXPECT_FALSE(compute_mrtd({}, PageOrder::single));
  EXPECT_FALSE(compute_mrtd(ByteVector(kMaxFirmwareBytes + 1), PageOrder::single));
}

TEST(Tdvf, S01_TDVF_002_refuses_every_truncation_in_front_and_behind) {
  const ByteVector good = vector_tdvf();
  for (std::size_t cut = 1; cut < 200; ++cut) {
    EXPECT_FALSE(compute_mrtd(Bytes(good).first(good.size() - cut), PageOrder::single)) << cut;
    EXPECT_FALSE(compute_mrtd(Bytes(good).last(cut), PageOrder::single)) << cut;
  }
}

TEST(Tdvf, EmptySectionsAndNeighboursDoNotOverlap) {
  const RawSection code{0, 4096, 0xFFFFF000, 4096, 0, 1};
  EXPECT_TRUE(
      compute_mrtd(make_tdvf(ByteVector(4096), {code, {0, 0, 0xFFFFE000, 4096, 3, 0}, {0, 0, 0xFFFFF000, 0, 3, 0}}),
                   PageOrder::single));
}

// ---- direct boot ---------------------------------------------------------------------------------------------------

TEST(Tdvf, S01_TDVF_005_predicts_rtmr1_and_rtmr2_of_a_synthetic_pe) {
  const ByteVector kernel = make_pe();
  const ByteVector initrd(1000, 7);
  // What is hashed, written down by hand: 152 + 64 is the checksum, 152 + 144 the entry of the certificates.
  ByteVector hashed;
  append(hashed, Bytes(kernel).subspan(0, 216));
  append(hashed, Bytes(kernel).subspan(220, 296 - 220));
  append(hashed, Bytes(kernel).subspan(304, 512 - 304));
  append(hashed, Bytes(kernel).subspan(512, 1024 + 100));
  ASSERT_EQ(authenticode_sha384(kernel), sha384(hashed));
  const auto fold = [](std::initializer_list<Sha384Digest> digests) {
    Sha384Digest out{};
    for (const auto& digest : digests) {
      ByteVector both;
      append(both, out);
      append(both, digest);
      out = sha384(both);
    }
    return out;
  };
  ByteVector options;
  for (const char c : std::string("initrd=initrd console=ttyS0 \xC3\xA9"))
    append(options, ByteArray<2>{static_cast<std::uint8_t>(c), 0});
  options.resize(options.size() - 4);  // the two bytes of one letter
  append(options, ByteArray<4>{0xE9, 0, 0, 0});

  const auto boot = predict_direct_boot(kernel, initrd, "console=ttyS0 \xC3\xA9");

  ASSERT_TRUE(boot) << boot.error().detail;
  EXPECT_EQ(boot->rtmr1, fold({sha384(hashed), sha384(bytes_of("Calling EFI Application from Boot Option")),
                               sha384(ByteArray<4>{}), sha384(bytes_of("Exit Boot Services Invocation")),
                               sha384(bytes_of("Exit Boot Services Returned with Success"))}));
  EXPECT_EQ(boot->rtmr2, fold({sha384(options), sha384(initrd)}));
}

TEST(Tdvf, ChecksumAndCertificatesDoNotCountAndEverythingElseDoes) {
  const ByteVector kernel = make_pe();
  const auto digest = authenticode_sha384(kernel);
  ASSERT_TRUE(digest);
  const auto changed = [&](std::size_t offset) {
    ByteVector other = kernel;
    other[offset] ^= 1;
    return authenticode_sha384(other);
  };

  EXPECT_EQ(changed(216), digest);
  EXPECT_EQ(changed(296), digest);
  EXPECT_EQ(changed(kernel.size() - 1), digest);
  for (const std::size_t offset :
       {std::size_t{2}, std::size_t{500}, std::size_t{512}, std::size_t{1024}, kernel.size() - 25})
    EXPECT_NE(changed(offset), digest) << offset;
}

TEST(Tdvf, RefusesImagesThatAreNotPe) {
  const ByteVector kernel = make_pe();
  for (std::size_t size = 0; size < 1536; size += 7)
    EXPECT_FALSE(authenticode_sha384(Bytes(kernel).first(size))) << size;
  const auto with = [&](std::size_t offset, std::uint32_t value) {
    ByteVector other = kernel;
    put(other, offset, value);
    return authenticode_sha384(other).has_value();
  };
  constexpr std::size_t kOptional = 152;
  EXPECT_TRUE(with(0x3c, 0x80));
  EXPECT_FALSE(with(0, 0));
  EXPECT_FALSE(with(0x3c, 0xFFFFFFFF));
  EXPECT_FALSE(with(0x80, 0));
  EXPECT_FALSE(with(kOptional, 0x107));
  EXPECT_FALSE(with(kOptional + 60, 0xFFFFFFFF));
  EXPECT_FALSE(with(kOptional + 60, 100));
  EXPECT_FALSE(with(kOptional + 108, 0xFFFFFFFF));
  EXPECT_FALSE(with(kOptional + 112 + 36, 0xFFFFFFFF));
  EXPECT_FALSE(with(kOptional + 240 + 16, 0xFFFFFFFF));
  EXPECT_FALSE(with(kOptional + 240 + 20, 0xFFFFFFFF));
  EXPECT_FALSE(predict_direct_boot(kernel, {}, "\xFF"));
  EXPECT_FALSE(predict_direct_boot(kernel, {}, std::string_view("a\0b", 3)));
}

}  // namespace
}  // namespace ee::attestation
