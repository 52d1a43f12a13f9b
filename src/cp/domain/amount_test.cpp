#include "cp/domain/amount.h"

#include <gtest/gtest.h>

#include "cp/domain/csv.h"
#include "cp/domain/ledger.h"
#include "cp/domain/month.h"

namespace ee::cp {
namespace {

constexpr AmountBounds kAny{.low = {-kLineMicrosMax}, .high = {kLineMicrosMax}};

TEST(Amount, IsADecimalStringOfTheSpecsForm) {
  struct Row {
    const char* text;
    std::int64_t micros;
  };
  for (const Row& row : {Row{"1", 1'000'000}, Row{"0.000001", 1}, Row{"-5.5", -5'500'000}, Row{"12.345000", 12'345'000},
                         Row{"9000000000", 9'000'000'000'000'000}, Row{"-0.1", -100'000}}) {
    const auto amount = read_amount("amount", row.text, kAny);
    ASSERT_TRUE(amount) << row.text;
    EXPECT_EQ(amount->value, row.micros) << row.text;
  }
  for (const char* bad : {"",
                          "1e9",
                          "0.0000001",
                          "+1",
                          " 1",
                          "1 ",
                          "01",
                          "00",
                          "-",
                          "-01",
                          ".5",
                          "1.",
                          "1,5",
                          "0x1",
                          "NaN",
                          "9000000000.000001",
                          "999999999999",
                          "1234567890123",
                          "1.5.5",
                          "--1",
                          "\u0661"}) {
    const auto refused = read_amount("amount", bad, kAny);
    ASSERT_FALSE(refused) << bad;
    EXPECT_EQ(refused.error().code, ErrorCode::invalid_amount) << bad;
    ASSERT_EQ(refused.error().fields.size(), 1U);
    EXPECT_EQ(refused.error().fields[0].field, "amount");
  }
  for (const char* zero : {"0", "0.0", "-0"}) {
    EXPECT_FALSE(read_amount("amount", zero, kAny)) << zero;
    EXPECT_EQ(read_amount_or_zero("amount", zero, kAny)->value, 0) << zero;
  }
}

TEST(Amount, ItsBoundsAreIncluded) {
  const AmountBounds bounds{.low = {1}, .high = {2'000'000}};
  EXPECT_TRUE(read_amount("a", "0.000001", bounds));
  EXPECT_TRUE(read_amount("a", "2", bounds));
  EXPECT_FALSE(read_amount("a", "2.000001", bounds));
  EXPECT_FALSE(read_amount("a", "-1", bounds));
}

TEST(Month, IsACalendarMonthInUtc) {
  EXPECT_EQ(Month::parse("2026-02")->begin(), *parse_rfc3339("2026-02-01T00:00:00Z"));
  EXPECT_EQ(Month::parse("2024-02")->end(), *parse_rfc3339("2024-03-01T00:00:00Z"));
  EXPECT_EQ(Month::parse("2025-12")->next().text(), "2026-01");
  EXPECT_EQ(Month::parse("2026-01")->previous().text(), "2025-12");
  EXPECT_EQ(Month::of(*parse_rfc3339("2026-01-31T23:59:59.999Z")).text(), "2026-01");
  EXPECT_EQ(Month::of(*parse_rfc3339("2026-02-01T00:00:00Z")).text(), "2026-02");
  for (const char* bad : {"", "2026", "2026-13", "2026-00", "2026-1", "1969-12", "2026/01", "2026-0a", " 2026-01"})
    EXPECT_FALSE(Month::parse(bad)) << bad;
}

TEST(Csv, QuotesWhatNeedsQuotesAndDisarmsFormulas) {
  const auto cell = [](std::string_view text) {
    std::string out;
    append_csv_cell(out, text);
    return out;
  };
  const auto free_text = [](std::string_view text) {
    std::string out;
    append_csv_free_text(out, text);
    return out;
  };
  EXPECT_EQ(cell("plain text"), "plain text");
  EXPECT_EQ(cell("a,b"), "\"a,b\"");
  EXPECT_EQ(cell("say \"hi\""), "\"say \"\"hi\"\"\"");
  EXPECT_EQ(cell("two\r\nlines"), "\"two\r\nlines\"");
  EXPECT_EQ(cell("-5.000000"), "-5.000000");
  EXPECT_EQ(free_text("=1+1"), "'=1+1");
  EXPECT_EQ(free_text("+1"), "'+1");
  EXPECT_EQ(free_text("-1"), "'-1");
  EXPECT_EQ(free_text("@SUM(A1)"), "'@SUM(A1)");
  EXPECT_EQ(free_text("=HYPERLINK(\"x\",\"y\")"), "\"'=HYPERLINK(\"\"x\"\",\"\"y\"\")\"");
  EXPECT_EQ(free_text("a=b"), "a=b");
  EXPECT_EQ(free_text(""), "");
}

TEST(LedgerRules, TheContentHashDoesNotDependOnTheOrderOfLines) {
  const LedgerLine a{AccountId("a"), 5, TransactionType::credit};
  const LedgerLine b{AccountId("b"), -5, TransactionType::credit};
  EXPECT_EQ(content_sha256({a, b}), content_sha256({b, a}));
  EXPECT_NE(content_sha256({a, b}), content_sha256({a, {AccountId("b"), -5, TransactionType::deposit}}));
  // printf 'a|5|credit\nb|-5|credit\n' | sha256sum
  EXPECT_EQ(content_sha256({a, b}), "02862c519bad32ddbcac941bd1b66d36ecff9b88479e7179d238ce361efbad5b");
}

TEST(LedgerRules, ADescriptionIsCutBetweenCharacters) {
  EXPECT_EQ(fitting_description("short"), "short");
  const std::string umlauts = std::string(199, 'x') + "\u00fc\u00fc";
  EXPECT_EQ(fitting_description(umlauts), std::string(199, 'x'));
  EXPECT_EQ(fitting_description(std::string(300, 'y')).size(), kDescriptionMax);
}

}  // namespace
}  // namespace ee::cp
