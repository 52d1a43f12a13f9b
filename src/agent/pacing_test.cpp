#include <gtest/gtest.h>

#include <future>
#include <thread>

#include "agent/backoff.h"
#include "agent/heartbeat_schedule.h"
#include "agent/waker.h"
#include "common/fake_clock.h"
#include "common/fake_random.h"

namespace ee::agent {
namespace {

using namespace std::chrono_literals;

TEST(Backoff, DoublesToItsBoundAndStartsAgain) {
  Backoff backoff(2s, 300s);
  std::vector<std::int64_t> bounds;
  for (int i = 0; i < 10; ++i) bounds.push_back(std::chrono::duration_cast<Seconds>(backoff.next_bound()).count());
  EXPECT_EQ(bounds, (std::vector<std::int64_t>{2, 4, 8, 16, 32, 64, 128, 256, 300, 300}));
  backoff.reset();
  EXPECT_EQ(backoff.next_bound(), 2s);
}

TEST(Backoff, JittersOverTheWholeRange) {
  FakeRandom random(7);
  Milliseconds low = 1h, high = 0ms;
  for (int i = 0; i < 2000; ++i) {
    Backoff backoff(1000ms, 1000ms);
    const Milliseconds delay = backoff.next(random);
    low = std::min(low, delay);
    high = std::max(high, delay);
  }
  EXPECT_GE(low, 0ms);
  EXPECT_LE(high, 1000ms);
  EXPECT_LT(low, 50ms);
  EXPECT_GT(high, 950ms);
}

// covers: S02_EEA_HB_001
TEST(HeartbeatSchedule, S02_EEA_HB_001_keeps_to_its_grid_with_a_tenth_of_jitter) {
  FakeRandom random(3);
  const SteadyTime start(1h);
  HeartbeatSchedule schedule(start, random);
  SteadyTime now = start;
  now = schedule.next(now, 30s);
  Milliseconds least_offset = 1h, most_offset = -1h;
  const SteadyTime grid = schedule.next(start, 30s);  // jittered, within 3 s of a point of the grid
  for (int beat = 1; beat < 500; ++beat) {
    const SteadyTime next = schedule.next(now, 30s);
    EXPECT_GE(next - now, 24s) << beat;
    EXPECT_LE(next - now, 36s) << beat;
    const auto offset = std::chrono::duration_cast<Milliseconds>(next - grid) % 30000ms;
    const auto centred = offset > 15s ? offset - 30s : offset;
    least_offset = std::min<Milliseconds>(least_offset, centred);
    most_offset = std::max<Milliseconds>(most_offset, centred);
    now = next;
  }
  EXPECT_LE(most_offset - least_offset, 6s);  // no drift: always the same grid, +- 3 s
  EXPECT_GT(most_offset - least_offset, 4s);  // and it does jitter
}

TEST(HeartbeatSchedule, NeverMakesUpForMissedBeats) {
  FakeRandom random(3);
  const SteadyTime start(1h);
  HeartbeatSchedule schedule(start, random);
  const SteadyTime late = start + 605s;  // twenty beats later

  const SteadyTime next = schedule.next(late, 30s);

  EXPECT_GT(next, late);
  EXPECT_LE(next - late, 36s);
  EXPECT_GE(schedule.next(next, 30s) - next, 24s);
}

TEST(HeartbeatSchedule, AgentsOfOneStartSpreadOverTheInterval) {
  std::vector<int> fifths(5);
  for (std::uint64_t seed = 1; seed <= 500; ++seed) {
    FakeRandom random(seed);
    HeartbeatSchedule schedule(SteadyTime(1h), random);
    const auto first = schedule.next(SteadyTime(1h) + 1h, 30s) - (SteadyTime(1h) + 1h);
    ++fifths.at(static_cast<std::size_t>(std::min<std::int64_t>(4, first / 6s)));
  }
  for (const int count : fifths) EXPECT_GT(count, 50);
}

TEST(Waker, EndsAtTheDeadline) {
  FakeClock clock;
  clock.set_auto_advance(true);
  Waker waker;
  const SteadyTime start = clock.steady_now();
  EXPECT_EQ(waker.wait_until(clock, start + 5s, {}), Waker::Why::deadline);
  EXPECT_EQ(clock.steady_now(), start + 5s);
}

TEST(Waker, RemembersAWakeThatCameBeforeTheWait) {
  FakeClock clock;
  clock.set_auto_advance(true);
  Waker waker;
  waker.wake();
  waker.wake();
  const SteadyTime start = clock.steady_now();
  EXPECT_EQ(waker.wait_until(clock, start + 5s, {}), Waker::Why::woken);
  EXPECT_EQ(clock.steady_now(), start);
  EXPECT_EQ(waker.wait_until(clock, start + 5s, {}), Waker::Why::deadline);
}

TEST(Waker, EndsByAnotherThreadAndByStop) {
  FakeClock clock;
  Waker waker;
  std::stop_source stop;
  Waker::Why first{}, second{};
  std::promise<void> woken;
  std::thread sleeper([&] {
    first = waker.wait_until(clock, clock.steady_now() + 1h, stop.get_token());
    woken.set_value();
    second = waker.wait_until(clock, clock.steady_now() + 1h, stop.get_token());
  });
  clock.wait_for_sleepers(1);
  waker.wake();
  woken.get_future().wait();
  stop.request_stop();  // whether the second sleep has begun yet or not
  sleeper.join();
  EXPECT_EQ(first, Waker::Why::woken);
  EXPECT_EQ(second, Waker::Why::stopped);
}

}  // namespace
}  // namespace ee::agent
