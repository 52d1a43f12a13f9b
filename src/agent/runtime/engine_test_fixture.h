#pragma once
#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <vector>

#include "agent/runtime/engine_runtime.h"
#include "common/fake_clock.h"
#include "tests/standins/engine/engine.h"

namespace ee::agent {

using namespace std::chrono_literals;
using standins::Engine;
using Request = Engine::Request;
using Peer = Engine::Peer;

inline constexpr const char* kInstance = "11111111-2222-4333-8444-555555555555";
inline const std::string kHex(64, 'a');
inline const std::string kReference = "registry.test:5000/team/app@sha256:" + kHex;
inline const std::string kTime = "2026-11-23T00:36:14.439234631Z";

inline std::string frame(char stream, const std::string& content) {
  std::string header{stream, 0, 0, 0};
  for (const int shift : {24, 16, 8, 0}) header += static_cast<char>(content.size() >> shift & 0xff);
  return header + content;
}

inline std::string state_json(const std::string& status, const std::string& instance = kInstance) {
  return R"({"Id":"c1","Name":"/ee-x","Image":"sha256:i","State":{"Status":")" + status + R"(","Running":)" +
         (status == "running" ? "true" : "false") + R"(,"ExitCode":3,"OOMKilled":true,"Pid":42,"StartedAt":")" + kTime +
         R"(","FinishedAt":"0001-01-01T00:00:00Z","Health":{"Status":"starting"}},"Config":{"Labels":{"com.easyenclave.instance":")" +
         instance + R"("}}})";
}

template <class T>
RuntimeFailure failure_of(const RuntimeResult<T>& result) {
  EXPECT_FALSE(result.has_value());
  return result ? RuntimeFailure::cancelled : result.error().failure;
}

class EngineRuntimeTest : public ::testing::Test {
 protected:
  EngineRuntimeTest() { clock_.set_auto_advance(true); }

  static EngineTimeouts short_timeouts() {
    return {.connect = 500ms,
            .query = 200ms,
            .change = 200ms,
            .start = 200ms,
            .stop_extra = 200ms,
            .pull = 5'000ms,
            .pull_silence = 100ms};
  }
  EngineOptions options() {
    return {.socket = engine_.socket(),
            .instance = kInstance,
            .timeouts = short_timeouts(),
            .free_bytes = [this](const std::string&) { return std::optional(free_bytes_.load()); }};
  }
  RuntimeResult<void> pull(const std::vector<std::string>& lines) {
    engine_.on("POST /images/create", [lines](const Request&, const Peer& peer) {
      peer.open_stream();
      for (const std::string& line : lines) peer.chunk(line);
      peer.end_stream();
    });
    return runtime_.pull(kReference, nullptr, {}, {});
  }

  Engine engine_;
  FakeClock clock_;
  std::atomic<std::int64_t> free_bytes_ = 1LL << 40;
  EngineRuntime runtime_{options(), clock_};
};

}  // namespace ee::agent
