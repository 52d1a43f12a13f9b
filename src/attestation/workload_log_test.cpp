#include "attestation/workload_log.h"

#include <gtest/gtest.h>

#include "common/bytes.h"

namespace ee::attestation {
namespace {

const WorkloadEvent kHello{.app = "hello",
                           .compose_sha256 = "abababababababababababababababababababababababababababababababab",
                           .deployment_id = "0190a000-0000-7000-8000-000000000001",
                           .op = WorkloadOp::deploy};

TEST(WorkloadLog, TheVectorOfTheContract) {
  const std::string payload = workload_payload(kHello);
  EXPECT_EQ(payload.size(), 168U);
  EXPECT_EQ(to_hex(workload_digest(payload)),
            "f48c0b5d4e45c6f71b4f872114e44924c67b563ccce5d5568e2f9c9344df5742a54a58cfbc4154c38ebb2851621e0f67");
  const std::string_view log[] = {payload};
  EXPECT_EQ(to_hex(replay_workload_log(log)),
            "de7253d5507a5a215f70bf387c8b702c4b57d509a780902bbc2d98d3a87932321080caba62840493cf546eab8410912e");
}

TEST(WorkloadLog, OrderAndNumberCount) {
  WorkloadEvent stopped = kHello;
  stopped.op = WorkloadOp::undeploy;
  const std::string a = workload_payload(kHello), b = workload_payload(stopped);
  const std::string_view ab[] = {a, b}, ba[] = {b, a}, aa[] = {a, a}, one[] = {a};
  EXPECT_NE(replay_workload_log(ab), replay_workload_log(ba));
  EXPECT_NE(replay_workload_log(aa), replay_workload_log(one));
  EXPECT_EQ(replay_workload_log({}), Measurement{});
}

TEST(WorkloadLog, OnlyTheCanonicalTextIsAnEvent) {
  const std::string good = workload_payload(kHello);
  EXPECT_EQ(read_workload_payload(good), kHello);
  EXPECT_FALSE(read_workload_payload(""));
  EXPECT_FALSE(read_workload_payload("{}"));
  EXPECT_FALSE(read_workload_payload(good + " "));
  EXPECT_FALSE(read_workload_payload(R"({"op":"deploy",)" + good.substr(1)));
  std::string spaced = good;
  spaced.insert(1, " ");
  EXPECT_FALSE(read_workload_payload(spaced));
  std::string other = good;
  other.replace(other.find("\"deploy\""), 8, "\"exec\"");
  EXPECT_FALSE(read_workload_payload(other));
}

}  // namespace
}  // namespace ee::attestation
