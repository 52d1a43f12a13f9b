// The seeds of fuzz/corpus/quote and fuzz/corpus/ccel: synthetic, small, each named for what becomes of it. With
// EE_WRITE_FUZZ_CORPUS=fuzz/corpus they are written; otherwise those in the tree are checked against their names.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>

#include "attestation/event_log.h"
#include "attestation/quote/quote.h"
#include "tests/support/emulator.h"
#include "tests/support/event_log_maker.h"

namespace ee::attestation {
namespace {

namespace fs = std::filesystem;
using testing::EventLogMaker;
using Seeds = std::map<std::string, ByteVector>;

void put(ByteVector& raw, std::size_t offset, std::uint64_t value, std::size_t size) {
  for (std::size_t i = 0; i < size; ++i) raw[offset + i] = static_cast<std::uint8_t>(value >> (8 * i));
}

/// A quote whose three certificates are a few characters each: parsing does not look into them.
ByteVector small_quote(QuoteForm form, std::string_view chain) {
  const std::size_t body_end = form == QuoteForm::v4 ? 632 : form == QuoteForm::v5_td_1_0 ? 638 : 702;
  ByteVector raw = testing::emulated_quote({.form = form});
  const std::size_t at = body_end + 588 + 32 + 6;
  raw.resize(at);
  append(raw, chain);
  put(raw, at - 4, chain.size(), 4);
  put(raw, body_end + 134, 456 + 32 + chain.size(), 4);
  put(raw, body_end, 134 + 456 + 32 + chain.size(), 4);
  return raw;
}

Seeds quote_seeds() {
  const std::string one = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n";
  const std::string chain = one + one + one + std::string(1, '\0');
  const ByteVector good = small_quote(QuoteForm::v4, chain);
  Seeds seeds = {{"ok.v4", good},
                 {"ok.v5_td_1_0", small_quote(QuoteForm::v5_td_1_0, chain)},
                 {"ok.v5_td_1_5", small_quote(QuoteForm::v5_td_1_5, chain)},
                 {"quote_malformed.two_certificates", small_quote(QuoteForm::v4, one + one)}};
  const auto changed = [&](const std::string& name, std::size_t offset, std::uint64_t value, std::size_t size) {
    ByteVector raw = good;
    put(raw, offset, value, size);
    seeds[name] = raw;
  };
  changed("quote_version_unsupported.v3", 0, 3, 2);
  changed("quote_key_type_unsupported.p384", 2, 3, 2);
  changed("quote_not_tdx.sgx", 4, 0, 4);
  changed("quote_vendor_unknown.x", 12, 'x', 1);
  changed("quote_malformed.signature_data_size", 632, 0xffffffff, 4);
  changed("quote_malformed.certification_size", 632 + 134, 0, 4);
  changed("quote_malformed.auth_data_size", 632 + 586, 0xffff, 2);
  changed("quote_malformed.chain_size", 632 + 622, 0xffffffff, 4);
  changed("quote_certification_unsupported.outer", 632 + 132, 5, 2);
  changed("quote_certification_unsupported.inner", 632 + 620, 1, 2);
  ByteVector wrong_body = seeds["ok.v5_td_1_5"];
  put(wrong_body, 48, 4, 2);
  seeds["quote_body_unsupported.4"] = wrong_body;
  ByteVector padded = good;
  padded.resize(good.size() + 40);
  seeds["ok.trailing_zeros"] = padded;
  padded.back() = 1;
  seeds["quote_malformed.trailing_byte"] = padded;
  seeds["quote_malformed.cut"] = ByteVector(good.begin(), good.end() - 100);
  seeds["quote_malformed.empty"] = {};
  const std::string base64 = to_base64(good);
  seeds["quote_version_unsupported.base64_text"] = ByteVector(base64.begin(), base64.end());
  return seeds;
}

Seeds ccel_seeds() {
  const auto three = [] {
    EventLogMaker maker;
    maker.event(1, 0x80000001, "variable").event(2, 0x80000003, "kernel").event(3, 0x0d, "command line");
    return maker;
  };
  EventLogMaker two_algorithms({{0x000b, 32}, {0x000c, 48}});
  two_algorithms.u32(2).u32(1).u32(2).u16(0x000b).fill(32, 7).u16(0x000c).fill(48, 9).u32(0);
  ByteVector cut = three().log();
  cut.pop_back();
  return {{"ok.header_only", EventLogMaker().log()},
          {"ok.three_events", three().log()},
          {"ok.end_index", three().fill(16, 0xff).log()},
          {"ok.end_zeros", three().fill(16, 0).log()},
          {"ok.no_action", three().event(4, 3, "StartupLocality").log()},
          {"ok.two_algorithms", two_algorithms.log()},
          {"event_log_malformed.index", three().event(9, 1, "x").log()},
          {"event_log_malformed.no_digest", three().u32(1).u32(1).u32(0).u32(0).log()},
          {"event_log_malformed.many_digests", three().u32(1).u32(1).u32(0xffffffff).u16(12).log()},
          {"event_log_malformed.long_event", three().u32(1).u32(1).u32(1).u16(12).fill(48, 1).u32(0xffffffff).log()},
          {"event_log_malformed.no_sha384", EventLogMaker({{0x000b, 32}}).log()},
          {"event_log_malformed.cut", cut},
          {"event_log_malformed.empty", {}}};
}

std::string verdict_of_quote(Bytes raw) {
  const auto quote = parse_quote(raw, TrailingPolicy::zeros);
  return std::string(quote ? "ok" : slug(quote.error().code));
}

std::string verdict_of_log(Bytes raw) {
  const auto log = replay_ccel(raw);
  return std::string(log ? "ok" : slug(log.error().code));
}

void write_or_check(const std::string& target, const Seeds& seeds, std::string (*verdict_of)(Bytes)) {
  const char* const to = std::getenv("EE_WRITE_FUZZ_CORPUS");
  if (to != nullptr) {
    fs::create_directories(fs::path(to) / target);
    for (const auto& [name, bytes] : seeds)
      std::ofstream(fs::path(to) / target / name, std::ios::binary) << text_of(bytes);
  }
  for (const auto& [name, bytes] : seeds) {
    const std::string expected = name.substr(0, name.find('.'));
    EXPECT_EQ(verdict_of(bytes), expected) << name;
    std::ifstream in(fs::path("fuzz/corpus") / target / name, std::ios::binary);
    ASSERT_TRUE(in) << name << " is missing";
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    EXPECT_EQ(verdict_of(bytes_of(text)), expected) << name;
  }
}

TEST(FuzzCorpus, QuoteSeedsAreWhatTheirNamesSay) { write_or_check("quote", quote_seeds(), verdict_of_quote); }

TEST(FuzzCorpus, EventLogSeedsAreWhatTheirNamesSay) { write_or_check("ccel", ccel_seeds(), verdict_of_log); }

}  // namespace
}  // namespace ee::attestation
