#pragma once
#include <gtest/gtest.h>

#include <thread>

#include "tests/support/proxy_fixture.h"

namespace ee::cp {

template <class Predicate>
bool eventually(Predicate predicate) {
  const auto patience = std::chrono::steady_clock::now() + Seconds(5);
  while (!predicate()) {
    if (std::chrono::steady_clock::now() > patience) return false;
    std::this_thread::yield();
  }
  return true;
}

/// One public service `web` with one workload.
struct ProxyTest : ::testing::Test {
  testing::FakeWorkload workload{"agent-1"};
  testing::ProxyFixture proxy;
  std::string deployment;

  void start(const std::string& access = "public", const std::string& overrides = "{}") {
    proxy.add_service("web", access, overrides);
    deployment = proxy.add_backend("web", workload.url());
    proxy.start();
  }
  testing::FakeWorkload::Seen last() const { return workload.seen().back(); }
};

}  // namespace ee::cp
