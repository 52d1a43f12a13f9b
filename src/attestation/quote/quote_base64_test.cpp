#include <gtest/gtest.h>

#include <set>
#include <string>

#include "attestation/quote/quote.h"
#include "tests/support/emulator.h"

namespace ee::attestation {
namespace {

using testing::emulated_quote;

// covers: S01_QUO_008
TEST(ParseQuoteBase64, IsStrict) {
  const std::string base64 = to_base64(emulated_quote());
  const auto code_of = [](std::string_view text) {
    const auto quote = parse_quote_base64(text, TrailingPolicy::zeros);
    return quote ? std::string_view("accepted") : slug(quote.error().code);
  };
  EXPECT_EQ(code_of(base64), "accepted");
  EXPECT_EQ(code_of(""), "quote_missing");
  EXPECT_EQ(code_of(base64 + "\n"), "quote_malformed");
  EXPECT_EQ(code_of(" " + base64), "quote_malformed");
  EXPECT_EQ(code_of(base64.substr(0, 64) + "\r\n" + base64.substr(64)), "quote_malformed");
  EXPECT_EQ(code_of("-" + base64.substr(1)), "quote_malformed");
  EXPECT_EQ(code_of("_" + base64.substr(1)), "quote_malformed");
  EXPECT_EQ(code_of(base64 + "="), "quote_malformed");
  EXPECT_EQ(code_of(base64 + "===="), "quote_malformed");
  EXPECT_EQ(code_of(base64.substr(0, base64.size() - 1)), "quote_malformed");
  EXPECT_EQ(code_of("="), "quote_malformed");
}

TEST(ParseQuoteBase64, ChecksTheLengthBeforeDecoding) {
  const auto quote = parse_quote_base64(std::string(30000, '!'), TrailingPolicy::zeros);
  ASSERT_FALSE(quote);
  EXPECT_EQ(quote.error().detail, "longer than the limit");
}

/// The header is looked at before the rest is decoded; what is refused, and with which words, is the same.
TEST(ParseQuoteBase64, AnswersWhatTheDecodedBytesAre) {
  const ByteVector good = emulated_quote();
  const auto text_of_answer = [](const Result<Quote>& quote) {
    return quote ? "accepted" : std::string(slug(quote.error().code)) + ": " + quote.error().detail;
  };
  std::set<std::string> answers;
  const auto compare = [&](const ByteVector& raw, std::string_view what, std::size_t at) {
    const std::string expected = text_of_answer(parse_quote(raw, TrailingPolicy::zeros));
    EXPECT_EQ(text_of_answer(parse_quote_base64(to_base64(raw), TrailingPolicy::zeros)), expected) << what << at;
    answers.insert(expected);
  };
  compare(good, "whole ", 0);
  for (std::size_t at = 0; at < 640; ++at) {
    ByteVector altered = good;
    altered[at] ^= 0xffU;
    compare(altered, "byte ", at);
  }
  for (const std::size_t size : {1UL, 47UL, 48UL, 49UL, 1225UL, 1226UL, 1500UL, good.size() - 1, good.size() + 1,
                                 good.size() + 3000, 16384UL, 16385UL, 16386UL}) {
    ByteVector cut = good;
    cut.resize(size);
    compare(cut, "size ", size);
    cut[0] = 9;  // a version that there is not, in a text of any length
    compare(cut, "other version, size ", size);
  }
  for (const char* reason :
       {"accepted", "quote_version_unsupported: ", "quote_key_type_unsupported: ", "quote_not_tdx: ",
        "quote_vendor_unknown: ", "quote_malformed: shorter than any quote", "quote_malformed: longer than the limit"})
    EXPECT_TRUE(answers.contains(reason)) << reason;
}

TEST(ParseQuoteBase64, FindsForeignCharactersBehindAHeaderThatIsRefused) {
  ByteVector raw = emulated_quote();
  raw[0] = 9;
  std::string text = to_base64(raw);
  text[text.size() / 2] = '!';
  const auto quote = parse_quote_base64(text, TrailingPolicy::zeros);
  ASSERT_FALSE(quote);
  EXPECT_EQ(quote.error().detail, "not strict base64");
}

TEST(CheckEmulation, RefusesTheEmulatorsQuotesUnlessAllowed) {
  const auto quote = parse_quote(emulated_quote(), TrailingPolicy::zeros);
  const auto refused = check_emulation(*quote, EmulatedQuotes::refuse);
  ASSERT_FALSE(refused);
  EXPECT_EQ(slug(refused.error().code), "quote_emulated_refused");
  EXPECT_TRUE(check_emulation(*quote, EmulatedQuotes::allow));

  const auto intels = parse_quote(emulated_quote({.qe_vendor_id = kIntelQeVendorId}), TrailingPolicy::zeros);
  ASSERT_TRUE(intels);
  EXPECT_FALSE(intels->is_emulated());
  EXPECT_TRUE(check_emulation(*intels, EmulatedQuotes::refuse));
}

}  // namespace
}  // namespace ee::attestation
