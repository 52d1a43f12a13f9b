#include "attestation/quote/quote.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/support/emulator.h"
#include "tests/support/vectors.h"

namespace ee::attestation {
namespace {

using testing::emulated_quote;
using testing::read_vector;

// Offsets of the specification's tables, written down again so that a slip in layout.h shows.
constexpr std::size_t kBodyEndV4 = 632;
constexpr std::size_t kBodyEndV5Td15 = 702;

ErrorCode error_of(Bytes raw, TrailingPolicy trailing = TrailingPolicy::zeros) {
  const auto quote = parse_quote(raw, trailing);
  return quote ? ErrorCode::internal_error : quote.error().code;  // no parser answers internal_error
}

std::string hex_at(Bytes raw, std::size_t offset, std::size_t size) { return to_hex(raw.subspan(offset, size)); }

std::uint64_t u64_at(Bytes raw, std::size_t offset) {
  std::uint64_t value = 0;
  for (std::size_t i = 8; i > 0; --i) value = value << 8 | raw[offset + i - 1];
  return value;
}

void put(ByteVector& raw, std::size_t offset, std::uint64_t value, std::size_t size) {
  for (std::size_t i = 0; i < size; ++i) raw[offset + i] = static_cast<std::uint8_t>(value >> (8 * i));
}

std::uint32_t u32_at(Bytes raw, std::size_t offset) {
  return static_cast<std::uint32_t>(u64_at(raw, offset) & 0xffffffff);
}

/// A quote with every byte of its measured fields different from the neighbouring field's.
EmulatedQuoteSpec distinct_fields(QuoteForm form) {
  EmulatedQuoteSpec spec{.form = form};
  spec.measurements.mrtd.fill(0x11);
  for (std::size_t i = 0; i < 4; ++i) spec.measurements.rtmrs[i].fill(static_cast<std::uint8_t>(0x20 + i));
  spec.measurements.mrconfigid.fill(0x33);
  spec.report_data.fill(0x44);
  spec.mrservicetd.fill(0x55);
  spec.tee_tcb_svn2.fill(0x66);
  return spec;
}

void expect_fields_at_the_offsets(Bytes raw, std::size_t body) {
  const auto quote = parse_quote(raw, TrailingPolicy::zeros);
  ASSERT_TRUE(quote) << quote.error().detail;
  EXPECT_EQ(to_hex(quote->tee_tcb_svn()), hex_at(raw, body, 16));
  EXPECT_EQ(to_hex(quote->mrseam()), hex_at(raw, body + 16, 48));
  EXPECT_EQ(to_hex(quote->mrsignerseam()), hex_at(raw, body + 64, 48));
  EXPECT_EQ(quote->seam_attributes(), u64_at(raw, body + 112));
  EXPECT_EQ(quote->td_attributes(), u64_at(raw, body + 120));
  EXPECT_EQ(quote->xfam(), u64_at(raw, body + 128));
  EXPECT_EQ(to_hex(quote->mrtd()), hex_at(raw, body + 136, 48));
  EXPECT_EQ(to_hex(quote->mrconfigid()), hex_at(raw, body + 184, 48));
  EXPECT_EQ(to_hex(quote->mrowner()), hex_at(raw, body + 232, 48));
  EXPECT_EQ(to_hex(quote->mrownerconfig()), hex_at(raw, body + 280, 48));
  for (std::size_t i = 0; i < 4; ++i) EXPECT_EQ(to_hex(quote->rtmr(i)), hex_at(raw, body + 328 + 48 * i, 48));
  EXPECT_EQ(to_hex(quote->report_data()), hex_at(raw, body + 520, 64));
}

void expect_signature_data_at_the_offsets(Bytes raw, std::size_t body_end) {
  const auto quote = parse_quote(raw, TrailingPolicy::zeros);
  ASSERT_TRUE(quote) << quote.error().detail;
  EXPECT_EQ(quote->signed_bytes().size(), body_end);
  EXPECT_EQ(to_hex(quote->signature()), hex_at(raw, body_end + 4, 64));
  EXPECT_EQ(to_hex(quote->attestation_key()), hex_at(raw, body_end + 68, 64));
  EXPECT_EQ(to_hex(quote->qe_report()), hex_at(raw, body_end + 138, 384));
  EXPECT_EQ(to_hex(quote->qe_report_signature()), hex_at(raw, body_end + 522, 64));
  EXPECT_EQ(to_hex(quote->qe_auth_data()), hex_at(raw, body_end + 588, 32));
  EXPECT_TRUE(quote->pck_chain_pem().starts_with("-----BEGIN CERTIFICATE-----"));
  EXPECT_TRUE(quote->pck_chain_pem().ends_with("-----END CERTIFICATE-----"));
  EXPECT_EQ(quote->bytes().size(), body_end + 4 + u32_at(raw, body_end));
}

// covers: S01_QUO_001
TEST(ParseQuote, ReadsEveryFieldOfASyntheticV4Quote) {
  const ByteVector raw = emulated_quote(distinct_fields(QuoteForm::v4));

  expect_fields_at_the_offsets(raw, 48);
  expect_signature_data_at_the_offsets(raw, kBodyEndV4);
  const auto quote = parse_quote(raw, TrailingPolicy::zeros);
  EXPECT_EQ(quote->version(), 4);
  EXPECT_EQ(quote->body_type(), BodyType::td_report_1_0);
  EXPECT_TRUE(quote->is_emulated());
  EXPECT_FALSE(quote->tee_tcb_svn2());
  EXPECT_FALSE(quote->mrservicetd());
  EXPECT_EQ(to_hex(quote->mrtd()), std::string(96, '1'));
  EXPECT_EQ(quote->td_attributes(), std::uint64_t{1} << 28);
}

// covers: S01_QUO_001
TEST(ParseQuote, ReadsEveryFieldOfARealV4Quote) {
  EE_NEED_VECTORS();
  const ByteVector raw = read_vector("dcap-qvl/tdx_quote");

  expect_fields_at_the_offsets(raw, 48);
  expect_signature_data_at_the_offsets(raw, kBodyEndV4);
  const auto quote = parse_quote(raw, TrailingPolicy::zeros);
  EXPECT_EQ(to_hex(quote->mrtd()),
            "91eb2b44d141d4ece09f0c75c2c53d247a3c68edd7fafe8a3520c942a604a407de03ae6dc5f87f27428b2538873118b7");
  EXPECT_FALSE(quote->is_emulated());
}

// covers: S01_QUO_002
TEST(ParseQuote, ReadsBothBodiesOfSyntheticV5Quotes) {
  const ByteVector td_1_0 = emulated_quote(distinct_fields(QuoteForm::v5_td_1_0));
  const ByteVector td_1_5 = emulated_quote(distinct_fields(QuoteForm::v5_td_1_5));

  expect_fields_at_the_offsets(td_1_0, 54);
  expect_signature_data_at_the_offsets(td_1_0, 638);
  expect_fields_at_the_offsets(td_1_5, 54);
  expect_signature_data_at_the_offsets(td_1_5, kBodyEndV5Td15);
  EXPECT_EQ(parse_quote(td_1_0, TrailingPolicy::zeros)->body_type(), BodyType::td_report_1_0);
  EXPECT_FALSE(parse_quote(td_1_0, TrailingPolicy::zeros)->tee_tcb_svn2());
  const auto quote = parse_quote(td_1_5, TrailingPolicy::zeros);
  EXPECT_EQ(quote->version(), 5);
  EXPECT_EQ(quote->body_type(), BodyType::td_report_1_5);
  EXPECT_EQ(to_hex(quote->tee_tcb_svn2().value()), hex_at(td_1_5, 638, 16));
  EXPECT_EQ(to_hex(quote->mrservicetd().value()), hex_at(td_1_5, 654, 48));
  EXPECT_EQ(to_hex(quote->mrservicetd().value()), std::string(96, '5'));
}

// covers: S01_QUO_002
TEST(ParseQuote, ReadsARealV5Quote) {
  EE_NEED_VECTORS();
  const ByteVector raw = read_vector("go-tdx-guest/quote_v5_sample.dat");

  expect_fields_at_the_offsets(raw, 54);
  expect_signature_data_at_the_offsets(raw, kBodyEndV5Td15);
  const auto quote = parse_quote(raw, TrailingPolicy::zeros);
  EXPECT_EQ(quote->body_type(), BodyType::td_report_1_5);
  EXPECT_TRUE(to_hex(quote->mrtd()).starts_with("7348651a34b2d2d3"));
}

struct HeaderFault {
  std::size_t offset;
  std::uint8_t value;
  ErrorCode expected;
};

// covers: S01_QUO_003
TEST(ParseQuote, NamesEachWrongHeaderField) {
  const HeaderFault faults[] = {
      {0, 3, ErrorCode::quote_version_unsupported},
      {0, 0, ErrorCode::quote_version_unsupported},
      {1, 1, ErrorCode::quote_version_unsupported},
      {2, 3, ErrorCode::quote_key_type_unsupported},
      {3, 1, ErrorCode::quote_key_type_unsupported},
      {4, 0, ErrorCode::quote_not_tdx},
      {7, 1, ErrorCode::quote_not_tdx},
      {12, 'X', ErrorCode::quote_vendor_unknown},
      {27, '?', ErrorCode::quote_vendor_unknown},
  };
  for (const auto& fault : faults) {
    ByteVector raw = emulated_quote();
    raw[fault.offset] = fault.value;
    EXPECT_EQ(slug(error_of(raw)), slug(fault.expected)) << fault.offset;
  }
  for (const std::size_t uninterpreted : {8U, 11U, 28U, 47U}) {
    ByteVector raw = emulated_quote();
    raw[uninterpreted] ^= 0xff;
    EXPECT_TRUE(parse_quote(raw, TrailingPolicy::zeros)) << uninterpreted;
  }
}

// covers: S01_QUO_003
TEST(ParseQuote, NamesTheFirstWrongHeaderFieldWhenSeveralAre) {
  ByteVector raw = emulated_quote();
  raw[12] = 'X';
  EXPECT_EQ(slug(error_of(raw)), "quote_vendor_unknown");
  raw[4] = 0;
  EXPECT_EQ(slug(error_of(raw)), "quote_not_tdx");
  raw[2] = 9;
  EXPECT_EQ(slug(error_of(raw)), "quote_key_type_unsupported");
  raw[0] = 9;
  EXPECT_EQ(slug(error_of(raw)), "quote_version_unsupported");
}

// covers: S01_QUO_003
TEST(ParseQuote, RefusesWrongBodyTypesAndSizes) {
  for (const std::uint64_t type : {0U, 1U, 4U, 0x0103U}) {
    ByteVector raw = emulated_quote({.form = QuoteForm::v5_td_1_5});
    put(raw, 48, type, 2);
    EXPECT_EQ(slug(error_of(raw)), "quote_body_unsupported") << type;
  }
  for (const std::uint64_t size : {0U, 584U, 647U, 649U, 0xffffffffU}) {
    ByteVector raw = emulated_quote({.form = QuoteForm::v5_td_1_5});
    put(raw, 50, size, 4);
    EXPECT_EQ(slug(error_of(raw)), "quote_malformed") << size;
  }
}

// covers: S01_QUO_004
TEST(ParseQuote, RefusesEveryTruncation) {
  for (const QuoteForm form : {QuoteForm::v4, QuoteForm::v5_td_1_0, QuoteForm::v5_td_1_5}) {
    const ByteVector raw = emulated_quote({.form = form});
    for (std::size_t size = 0; size < raw.size(); ++size) {
      // A copy of exactly that size, so that a sanitizer sees a read past it.
      const ByteVector cut(raw.begin(), raw.begin() + static_cast<std::ptrdiff_t>(size));
      ASSERT_EQ(slug(error_of(cut)), "quote_malformed") << size;
    }
    ASSERT_TRUE(parse_quote(raw, TrailingPolicy::zeros));
  }
}

// covers: S01_QUO_005
TEST(ParseQuote, DropsTrailingZerosAndRefusesOtherBytes) {
  const ByteVector raw = emulated_quote();
  ByteVector padded = raw;
  padded.resize(raw.size() + 3065);
  const auto quote = parse_quote(padded, TrailingPolicy::zeros);
  ASSERT_TRUE(quote);
  EXPECT_EQ(to_hex(quote->bytes()), to_hex(raw));

  for (const std::size_t where : {raw.size(), padded.size() - 1}) {
    ByteVector dirty = padded;
    dirty[where] = 1;
    EXPECT_EQ(slug(error_of(dirty)), "quote_malformed") << where;
    const auto ignored = parse_quote(dirty, TrailingPolicy::ignore);
    ASSERT_TRUE(ignored) << where;
    EXPECT_EQ(to_hex(ignored->bytes()), to_hex(raw));
  }
}

// covers: S01_QUO_006
TEST(ParseQuote, RefusesSizesThatDoNotAgree) {
  const std::size_t size_fields[] = {kBodyEndV4, kBodyEndV4 + 134, kBodyEndV4 + 588 + 32 + 2};
  for (const std::size_t offset : size_fields) {
    const std::uint64_t right = u32_at(emulated_quote(), offset);
    for (const std::uint64_t wrong : {right - 1, right + 1, std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{133},
                                      std::uint64_t{589}, std::uint64_t{0x7fffffff}, std::uint64_t{0xffffffff}}) {
      ByteVector raw = emulated_quote();
      put(raw, offset, wrong, 4);
      EXPECT_EQ(slug(error_of(raw)), "quote_malformed") << offset << " " << wrong;
      EXPECT_EQ(slug(error_of(raw, TrailingPolicy::ignore)), "quote_malformed") << offset << " " << wrong;
    }
  }
}

// covers: S01_QUO_006
TEST(ParseQuote, RefusesWrongAuthenticationDataSizes) {
  const std::size_t offset = kBodyEndV4 + 586;
  for (const std::uint64_t wrong : {0U, 31U, 33U, 1024U, 1025U, 0xffffU}) {
    ByteVector raw = emulated_quote();
    put(raw, offset, wrong, 2);
    // Where the inner certification type then is found by chance differs, so either refusal is right.
    const ErrorCode code = error_of(raw);
    EXPECT_TRUE(code == ErrorCode::quote_malformed || code == ErrorCode::quote_certification_unsupported)
        << wrong << " " << slug(code);
  }
}

/// The quote with authentication data of `size` zero bytes, and all sizes adjusted to it.
ByteVector with_auth_data(std::size_t size) {
  ByteVector raw = emulated_quote();
  const std::size_t at = kBodyEndV4 + 588;
  raw.erase(raw.begin() + static_cast<std::ptrdiff_t>(at), raw.begin() + static_cast<std::ptrdiff_t>(at + 32));
  raw.insert(raw.begin() + static_cast<std::ptrdiff_t>(at), size, 0);
  put(raw, kBodyEndV4 + 586, size, 2);
  put(raw, kBodyEndV4, u32_at(raw, kBodyEndV4) - 32 + size, 4);
  put(raw, kBodyEndV4 + 134, u32_at(raw, kBodyEndV4 + 134) - 32 + size, 4);
  return raw;
}

// covers: S01_QUO_006
TEST(ParseQuote, AcceptsAuthenticationDataOfAtMost1024Bytes) {
  for (const std::size_t size : {0U, 1U, 1024U}) {
    const auto quote = parse_quote(with_auth_data(size), TrailingPolicy::zeros);
    ASSERT_TRUE(quote) << size << " " << quote.error().detail;
    EXPECT_EQ(quote->qe_auth_data().size(), size);
  }
  EXPECT_EQ(slug(error_of(with_auth_data(1025))), "quote_malformed");
}

// covers: S01_QUO_007
TEST(ParseQuote, RefusesOtherCertificationTypes) {
  for (const std::uint64_t outer : {0U, 1U, 5U, 7U, 0x0106U}) {
    ByteVector raw = emulated_quote();
    put(raw, kBodyEndV4 + 132, outer, 2);
    EXPECT_EQ(slug(error_of(raw)), "quote_certification_unsupported") << outer;
  }
  for (const std::uint64_t inner : {0U, 1U, 2U, 3U, 4U, 6U, 7U, 0x0105U}) {
    ByteVector raw = emulated_quote();
    put(raw, kBodyEndV4 + 588 + 32, inner, 2);
    EXPECT_EQ(slug(error_of(raw)), "quote_certification_unsupported") << inner;
  }
}

TEST(ParseQuote, RefusesMoreThanItsLimit) {
  ByteVector raw = emulated_quote();
  raw.resize(kQuoteMaxBytes);
  EXPECT_TRUE(parse_quote(raw, TrailingPolicy::zeros));
  raw.resize(kQuoteMaxBytes + 1);
  EXPECT_EQ(slug(error_of(raw)), "quote_malformed");
  EXPECT_TRUE(parse_quote(raw, TrailingPolicy::zeros, kQuoteMaxBytes + 1));
}

/// The quote with another text in place of its certificate chain, and all sizes adjusted to it.
ByteVector with_chain(std::string_view chain) {
  ByteVector raw = emulated_quote();
  const std::size_t at = kBodyEndV4 + 588 + 32 + 6;
  raw.resize(at);
  append(raw, chain);
  put(raw, at - 4, chain.size(), 4);
  put(raw, kBodyEndV4 + 134, 456 + 32 + chain.size(), 4);
  put(raw, kBodyEndV4, 134 + 456 + 32 + chain.size(), 4);
  return raw;
}

std::string concat(const std::vector<std::string_view>& parts) {
  std::string out;
  for (const std::string_view part : parts) out += part;
  return out;
}

// covers: S01_QUO_009
TEST(ParseQuote, WantsExactlyThreeCertificates) {
  const std::string chain(parse_quote(emulated_quote(), TrailingPolicy::zeros)->pck_chain_pem());
  const std::string one = chain.substr(0, chain.find("-----BEGIN", 1));
  const std::string two = chain.substr(one.size());

  using Parts = std::vector<std::string_view>;
  const std::string_view nul("\0", 1);
  const std::string_view padding("\n\0\0\r\n \0", 7);
  const std::string_view all = chain;
  for (const Parts& good : {Parts{all}, Parts{all, "\n"}, Parts{all, "\n", nul}, Parts{all, nul}, Parts{all, padding},
                            Parts{"\n ", all}, Parts{one, "\r\n\t", two}}) {
    const auto quote = parse_quote(with_chain(concat(good)), TrailingPolicy::zeros);
    ASSERT_TRUE(quote) << quote.error().detail;
    EXPECT_TRUE(quote->pck_chain_pem().ends_with("-----END CERTIFICATE-----"));
  }
  for (const Parts& bad :
       {Parts{""}, Parts{one}, Parts{two}, Parts{one, all}, Parts{all, all}, Parts{all, "x"}, Parts{all, nul, "x"},
        Parts{"x", all}, Parts{one, "x", two}, Parts{one, nul, two}, Parts{all.substr(1)},
        Parts{all.substr(0, all.size() - 1)}, Parts{"-----BEGIN CERTIFICATE-----", all},
        Parts{all.substr(0, 40), nul, all.substr(41)}, Parts{all.substr(0, 40), "-----", all.substr(45)}})
    EXPECT_EQ(slug(error_of(with_chain(concat(bad)))), "quote_malformed") << concat(bad);
}

TEST(ParseQuote, NeverPutsContentIntoTheDetail) {
  EmulatedQuoteSpec spec;
  spec.report_data.fill(0xab);
  ByteVector raw = emulated_quote(spec);
  put(raw, kBodyEndV4, 5, 4);
  const auto quote = parse_quote(raw, TrailingPolicy::zeros);
  ASSERT_FALSE(quote);
  EXPECT_EQ(quote.error().detail, "signature data size at offset 632");
}

TEST(ParseQuote, AnswersTheSameAfterItsInputIsGone) {
  ByteVector raw = emulated_quote(distinct_fields(QuoteForm::v4));
  const ByteVector copy = raw;
  auto quote = parse_quote(raw, TrailingPolicy::zeros).value();
  std::ranges::fill(raw, std::uint8_t{0});
  const Quote moved = std::move(quote);
  EXPECT_EQ(to_hex(moved.bytes()), to_hex(copy));
  EXPECT_EQ(to_hex(moved.rtmr(3)), to_hex(ByteVector(48, 0x23)));
}

}  // namespace
}  // namespace ee::attestation
