#include "net/worker_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>

#include "net/server_test_support.h"

namespace ee::net {
namespace {

TEST(WorkerPool, RunsEveryJobOnce) {
  std::atomic<int> count = 0;
  {
    WorkerPool pool(3);
    Gate done;
    for (int i = 0; i < 1000; ++i)
      pool.submit(i % 3 == 0   ? Lane::reserved
                  : i % 3 == 1 ? Lane::normal
                               : Lane::outside,
                  [&] {
                    if (++count == 1000) done.open();
                  });
    done.pass({});
  }
  EXPECT_EQ(count, 1000);
}

TEST(WorkerPool, JobsThatComeTogetherAllRunAtOnceWhenTheyWait) {
  for (int round = 0; round < 50; ++round) {
    Gate hang;
    WorkerPool pool(4);
    for (int i = 0; i < 4; ++i) pool.submit(Lane::reserved, [&] { hang.pass({}); });
    hang.wait_for_waiting(4);  // each woke the next one
    hang.open();
    hang.wait_for_passed(4);
  }
}

TEST(WorkerPool, LeavesHalfOfTheWorkersWhenAllOutsideServicesHang) {
  Gate hang;
  Gate normal;
  normal.open();
  WorkerPool pool(4);
  std::atomic<int> outside = 0;
  for (int i = 0; i < 10; ++i)
    pool.submit(Lane::outside, [&] {
      ++outside;
      hang.pass({});
    });
  hang.wait_for_waiting(2);

  for (int i = 0; i < 5; ++i) pool.submit(Lane::normal, [&] { normal.pass({}); });
  normal.wait_for_passed(5);
  EXPECT_EQ(outside, 2);

  hang.open();
  hang.wait_for_passed(10);
}

TEST(WorkerPool, KeepsAWorkerForReservedJobs) {
  Gate hang;
  Gate reserved;
  reserved.open();
  WorkerPool pool(4);
  for (int i = 0; i < 10; ++i) pool.submit(i % 2 == 0 ? Lane::normal : Lane::outside, [&] { hang.pass({}); });
  hang.wait_for_waiting(3);

  for (int i = 0; i < 5; ++i) pool.submit(Lane::reserved, [&] { reserved.pass({}); });
  reserved.wait_for_passed(5);

  hang.open();
  hang.wait_for_passed(10);
}

TEST(WorkerPool, ServesAllLanesWithOneWorker) {
  Gate gate;
  gate.open();
  WorkerPool pool(1);
  for (const Lane lane : {Lane::outside, Lane::normal, Lane::reserved}) pool.submit(lane, [&] { gate.pass({}); });
  gate.wait_for_passed(3);
}

TEST(WorkerPool, ForgetsQueuedJobsWhenItStops) {
  const auto held = std::make_shared<int>(0);
  Gate gate;
  WorkerPool pool(1);
  pool.submit(Lane::normal, [&] { gate.pass({}); });
  gate.wait_for_waiting(1);
  pool.submit(Lane::normal, [held] { FAIL() << "ran"; });
  ASSERT_EQ(held.use_count(), 2);
  std::jthread opener([&] {
    while (held.use_count() > 1) std::this_thread::yield();  // forgotten while the running job still runs
    gate.open();
  });

  pool.stop();

  pool.submit(Lane::normal, [held] { FAIL() << "ran"; });
  EXPECT_EQ(held.use_count(), 1);
}

}  // namespace
}  // namespace ee::net
