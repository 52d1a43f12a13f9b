#include <gtest/gtest.h>

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
