// kill -9 of the control plane at any moment of a registration: no agent that was told so is lost, none is there twice.
#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <mutex>
#include <random>
#include <set>
#include <thread>

#include "common/random.h"
#include "tests/e2e/registrant.h"

namespace ee::testing {
namespace {

std::map<std::string, int> count_names(const std::string& pages) {
  std::map<std::string, int> counts;
  const std::string key = R"("vm_name":")";
  for (std::size_t at = pages.find(key); at != std::string::npos; at = pages.find(key, at + 1)) {
    const std::size_t begin = at + key.size();
    ++counts[pages.substr(begin, pages.find('"', begin) - begin)];
  }
  return counts;
}

// covers: S02_AGT_REG_016
TEST(Crash, KillDuringRegistrationsLosesNoAcceptedAgentAndAdmitsNoneTwice) {
  ControlPlaneProcess control_plane;
  control_plane.start();
  std::mutex mutex;
  std::set<std::string> accepted;
  std::set<std::string> asked;
  std::mt19937 random(20260101);
  for (int round = 0; round < 6; ++round) {
    std::atomic<bool> over = false;
    std::vector<std::jthread> registrants;
    for (int worker = 0; worker < 4; ++worker) {
      registrants.emplace_back([&, worker] {
        SystemRandom system;
        for (int i = 0; !over; ++i) {
          const std::string name =
              "crash-" + std::to_string(round) + "-" + std::to_string(worker) + "-" + std::to_string(i);
          const EmulatedAgent agent(name, system);
          {
            const std::lock_guard lock(mutex);
            asked.insert(name);
          }
          const std::string address =
              "10." + std::to_string(round) + "." + std::to_string(worker) + "." + std::to_string(i % 250 + 1);
          const Registered answer = register_over_http(control_plane, agent, address);
          if (answer.status == 0) return;  // the server is gone
          if (answer.status == 201) {
            const std::lock_guard lock(mutex);
            accepted.insert(name);
          } else {
            ADD_FAILURE() << name << ": " << answer.status << " " << answer.body;
            return;
          }
        }
      });
    }
    // A moment that differs from round to round, anywhere in the middle of many registrations.
    const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(200 + random() % 500);
    while (std::chrono::steady_clock::now() < until) breathe();
    control_plane.kill_hard();
    over = true;
    registrants.clear();
    control_plane.start();
  }
  const auto names = count_names(control_plane.agents(control_plane.sign_in()));
  EXPECT_GT(accepted.size(), 10U);
  for (const std::string& name : accepted) EXPECT_EQ(names.count(name), 1U) << name << " was accepted and is lost";
  for (const auto& [name, count] : names) {
    EXPECT_EQ(count, 1) << name;
    EXPECT_TRUE(asked.contains(name)) << name;
  }

  // Whoever got no answer registers again, as another boot does (R4: nobody has beaten for it since): the row that was
  // committed before the crash is the agent's, and it is not there twice.
  SystemRandom system;
  int retried = 0, found_again = 0;
  for (const std::string& name : asked) {
    if (accepted.contains(name)) continue;
    ++retried;
    const Registered again =
        register_over_http(control_plane, EmulatedAgent(name, system),
                           "10.9." + std::to_string(retried / 250) + "." + std::to_string(retried % 250 + 1));
    EXPECT_EQ(again.status, names.contains(name) ? 200 : 201) << name << " " << again.body;
    if (names.contains(name)) ++found_again;
  }
  EXPECT_GT(retried, 0) << "a kill hits at least one registration";
  RecordProperty("committed_without_an_answer", found_again);
  for (const auto& [name, count] : count_names(control_plane.agents(control_plane.sign_in())))
    EXPECT_EQ(count, 1) << name;
  EXPECT_EQ(control_plane.stop(), 0);
}

}  // namespace
}  // namespace ee::testing
