#include "attestation/event_log.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <string>

#include "tests/support/event_log_maker.h"
#include "tests/support/vectors.h"

namespace ee::attestation {
namespace {

using testing::EventLogMaker;
using testing::read_vector;

std::string verdict(Bytes raw) {
  const auto log = replay_ccel(raw);
  return std::string(log ? "ok" : slug(log.error().code));
}

EventLogMaker three_events() {
  EventLogMaker maker;
  maker.event(1, 0x80000001, "variable").event(2, 0x80000003, "kernel").event(3, 0x0d, "command line");
  return maker;
}

// covers: S01_ELOG_001
TEST(ReplayCcel, LeadsARecordedLogToTheRtmrsOfItsQuote) {
  EE_NEED_VECTORS();
  const auto log = replay_ccel(read_vector("go-tdx-guest/ccel_data.dat"));
  const auto quote = parse_quote(read_vector("go-tdx-guest/cos-113-tdx-quote.dat"), TrailingPolicy::zeros);
  ASSERT_TRUE(log) << log.error().detail;
  ASSERT_TRUE(quote) << quote.error().detail;
  EXPECT_EQ(log->events.size(), 43U);
  EXPECT_TRUE(check_event_log(*log, *quote));
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(to_hex(log->rtmrs[i]), to_hex(quote->rtmr(i))) << i;
}

// covers: S01_ELOG_001
TEST(ReplayCcel, LeadsALiveLogToTheRtmrsOfItsTdreport) {
  EE_NEED_VECTORS();
  const auto log = replay_ccel(read_vector("attestation-rs/tdx_ccel_live.bin"));
  const ByteVector report = read_vector("attestation-rs/tdx_tdreport_live.bin");
  ASSERT_TRUE(log) << log.error().detail;
  ASSERT_EQ(report.size(), 1024U);
  for (std::size_t i = 0; i < 4; ++i)
    EXPECT_EQ(to_hex(log->rtmrs[i]), to_hex(Bytes(report).subspan(720 + 48 * i, 48))) << i;
}

TEST(ReplayCcel, GivesTheSameForALogThatIsCutAtItsEndMarker) {
  EE_NEED_VECTORS();
  const ByteVector raw = read_vector("go-tdx-guest/ccel_data.dat");
  const auto whole = replay_ccel(raw);
  ASSERT_TRUE(whole);
  EXPECT_EQ(whole->size, 18101U);
  const auto cut = replay_ccel(Bytes(raw).first(whole->size));
  ASSERT_TRUE(cut) << cut.error().detail;
  EXPECT_EQ(cut->rtmrs, whole->rtmrs);
  EXPECT_EQ(cut->size, whole->size);
}

// covers: S01_ELOG_002
TEST(ReplayCcel, LeadsElsewhereWhenOneDigestIsChanged) {
  EE_NEED_VECTORS();
  const ByteVector raw = read_vector("go-tdx-guest/ccel_data.dat");
  const auto quote = parse_quote(read_vector("go-tdx-guest/cos-113-tdx-quote.dat"), TrailingPolicy::zeros);
  const auto good = replay_ccel(raw);
  ASSERT_TRUE(good);
  for (const LogEvent& event : good->events) {
    if (!event.extended) continue;
    ByteVector changed = raw;
    const auto found = std::search(changed.begin(), changed.end(), event.digest.begin(), event.digest.end());
    ASSERT_NE(found, changed.end());
    *found ^= 1;
    const auto log = replay_ccel(changed);
    ASSERT_TRUE(log);
    const auto matches = check_event_log(*log, *quote);
    ASSERT_FALSE(matches);
    EXPECT_EQ(slug(matches.error().code), "event_log_mismatch");
  }
}

TEST(ReplayCcel, FoldsEachRegisterByItself) {
  EventLogMaker maker;
  maker.event(1, 1, "a").event(4, 1, "b").event(1, 1, "c").event(1, 3, "not extended");
  const auto log = replay_ccel(maker.log());
  ASSERT_TRUE(log) << log.error().detail;
  const auto extend = [](const Measurement& before, std::string_view data) {
    ByteVector text(before.begin(), before.end());
    append(text, sha384(bytes_of(data)));
    return sha384(text);
  };
  EXPECT_EQ(log->rtmrs[0], extend(extend(Measurement{}, "a"), "c"));
  EXPECT_EQ(log->rtmrs[1], Measurement{});
  EXPECT_EQ(log->rtmrs[2], Measurement{});
  EXPECT_EQ(log->rtmrs[3], extend(Measurement{}, "b"));
  ASSERT_EQ(log->events.size(), 4U);
  EXPECT_FALSE(log->events[3].extended);
  EXPECT_EQ(log->events[1].register_, 3U);
  EXPECT_EQ(text_of(log->events[1].data), "b");
}

TEST(ReplayCcel, EndsAtEachKindOfEnd) {
  const std::size_t size = three_events().log().size();
  for (const auto& [count, value] :
       {std::pair<std::size_t, std::uint8_t>{0, 0}, {4, 0xff}, {1000, 0xff}, {12, 0}, {1000, 0}}) {
    const auto log = replay_ccel(three_events().fill(count, value).log());
    ASSERT_TRUE(log) << count << " " << log.error().detail;
    EXPECT_EQ(log->events.size(), 3U);
    EXPECT_EQ(log->size, size);
  }
}

// covers: S01_ELOG_003
TEST(ReplayCcel, RefusesMalformedLogs) {
  const auto after_header = [](const std::function<void(EventLogMaker&)>& write) {
    EventLogMaker maker;
    write(maker);
    return maker.log();
  };
  ASSERT_EQ(verdict(three_events().log()), "ok");
  EXPECT_EQ(verdict(after_header([](EventLogMaker& log) { log.event(9, 1, "x"); })), "event_log_malformed");
  EXPECT_EQ(verdict(after_header([](EventLogMaker& log) { log.event(5, 1, "x"); })), "event_log_malformed");
  EXPECT_EQ(verdict(after_header([](EventLogMaker& log) { log.event(0, 1, "x"); })), "event_log_malformed");
  EXPECT_EQ(verdict(after_header([](EventLogMaker& log) { log.u32(1).u32(1).u32(0).u32(0); })), "event_log_malformed")
      << "no digest";
  EXPECT_EQ(verdict(after_header(
                [](EventLogMaker& log) { log.u32(1).u32(1).u32(2).u16(12).fill(48, 1).u16(12).fill(48, 1).u32(0); })),
            "event_log_malformed")
      << "more digests than announced";
  EXPECT_EQ(verdict(after_header([](EventLogMaker& log) { log.u32(1).u32(1).u32(1).u16(11).fill(32, 1).u32(0); })),
            "event_log_malformed")
      << "an algorithm that was not announced";
  EXPECT_EQ(verdict(after_header(
                [](EventLogMaker& log) { log.u32(1).u32(1).u32(1).u16(12).fill(48, 1).u32(0xffffffff).fill(100, 1); })),
            "event_log_malformed")
      << "an event beyond the end";
  for (const std::size_t zeros : {1U, 4U, 11U})
    EXPECT_EQ(verdict(three_events().fill(zeros, 0).log()), "event_log_malformed") << zeros;
}

// covers: S01_ELOG_003
TEST(ReplayCcel, RefusesEveryTruncationInsideARecord) {
  const ByteVector raw = three_events().log();
  const std::size_t header = EventLogMaker().log().size();
  const std::size_t first = EventLogMaker().event(1, 0x80000001, "variable").log().size();
  const std::size_t second = first + 12 + 2 + 48 + 4 + 6;
  for (std::size_t size = 0; size < raw.size(); ++size) {
    const ByteVector cut(raw.begin(), raw.begin() + static_cast<std::ptrdiff_t>(size));
    const bool between_records = size == header || size == first || size == second;
    EXPECT_EQ(verdict(cut), between_records ? "ok" : "event_log_malformed") << size;
  }
}

// covers: S01_ELOG_003
TEST(ReplayCcel, HoldsItsLimits) {
  EventLogMaker maker;
  for (std::size_t i = 0; i < 5000; ++i) maker.event(1, 1, "");
  EXPECT_EQ(verdict(maker.log()), "event_log_malformed");

  // The smallest event has 66 bytes, so the limit on bytes always comes before that on events.
  EventLogMaker full;
  while (full.log().size() + 66 <= kEventLogMaxBytes) full.event(1, 1, "");
  full.fill(kEventLogMaxBytes - full.log().size(), 0xff);
  EXPECT_EQ(full.log().size(), kEventLogMaxBytes);
  EXPECT_EQ(verdict(full.log()), "ok");
  EXPECT_EQ(verdict(full.fill(1, 0xff).log()), "event_log_malformed");
}

TEST(ReplayCcel, ReadsLogsWithSeveralAlgorithms) {
  EventLogMaker maker({{0x000b, 32}, {0x000c, 48}});
  maker.u32(2).u32(1).u32(2).u16(0x000b).fill(32, 7).u16(0x000c).fill(48, 9).u32(0);
  maker.u32(2).u32(1).u32(1).u16(0x000c).fill(48, 8).u32(0);
  const auto log = replay_ccel(maker.log());
  ASSERT_TRUE(log) << log.error().detail;
  EXPECT_EQ(to_hex(log->events[0].digest).substr(0, 4), "0909");

  EventLogMaker without({{0x000b, 32}, {0x000c, 48}});
  without.u32(2).u32(1).u32(1).u16(0x000b).fill(32, 7).u32(0);
  EXPECT_EQ(verdict(without.log()), "event_log_malformed") << "no SHA-384 digest in an event";
  EventLogMaker twice({{0x000b, 32}, {0x000c, 48}});
  twice.u32(2).u32(1).u32(2).u16(0x000c).fill(48, 7).u16(0x000c).fill(48, 9).u32(0);
  EXPECT_EQ(verdict(twice.log()), "event_log_malformed") << "two SHA-384 digests in an event";
}

TEST(ReplayCcel, RefusesWrongHeaders) {
  EXPECT_EQ(verdict(EventLogMaker({{0x000b, 32}}).log()), "event_log_malformed") << "no SHA-384";
  EXPECT_EQ(verdict(EventLogMaker({{0x000c, 32}}).log()), "event_log_malformed") << "SHA-384 of another size";
  EXPECT_EQ(verdict(EventLogMaker({{0x000c, 48}, {0x000c, 48}}).log()), "event_log_malformed") << "listed twice";
  EXPECT_EQ(verdict(EventLogMaker({{0x000c, 48}, {0x000b, 0}}).log()), "event_log_malformed") << "empty digests";
  EXPECT_EQ(verdict(EventLogMaker({}).log()), "event_log_malformed") << "no algorithm";
  for (const std::size_t offset : {4U, 32U, 46U}) {  // type, signature, its end
    ByteVector raw = three_events().log();
    raw[offset] ^= 1;
    EXPECT_EQ(verdict(raw), "event_log_malformed") << offset;
  }
}

TEST(UnknownEvents, NamesTheFirstThatChanged) {
  const auto trusted = replay_ccel(three_events().log());
  std::vector<Measurement> known;
  for (const LogEvent& event : trusted->events) known.push_back(event.digest);
  EXPECT_TRUE(unknown_events(*trusted, known, 5).empty());

  EventLogMaker maker;
  maker.event(1, 0x80000001, "variable").event(2, 0x80000003, "other kernel").event(4, 1, "workload");
  maker.event(2, 3, "not extended").event(3, 0x0d, "other command line");
  const auto log = replay_ccel(maker.log());
  const auto changed = unknown_events(*log, known, 5);
  ASSERT_EQ(changed.size(), 2U);
  EXPECT_EQ(text_of(changed[0]->data), "other kernel");
  EXPECT_EQ(text_of(changed[1]->data), "other command line");
  EXPECT_EQ(unknown_events(*log, known, 1).size(), 1U);
}

}  // namespace
}  // namespace ee::attestation
