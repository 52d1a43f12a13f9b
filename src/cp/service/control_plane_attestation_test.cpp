#include "cp/service/control_plane_attestation.h"

#include <gtest/gtest.h>

#include <fstream>

#include "attestation/event_log.h"
#include "attestation/tsm/emulated_tdx.h"
#include "common/fake_clock.h"
#include "common/fake_random.h"
#include "tests/support/emulator.h"
#include "tests/support/event_log_maker.h"
#include "tests/support/temp_dir.h"
#include "tests/support/vectors.h"

namespace ee::cp {
namespace {

namespace att = attestation;

class OwnEventLog : public ::testing::Test {
 protected:
  std::string file(const ByteVector& bytes) {
    const std::string path = (dir_ / "CCEL").string();
    std::ofstream(path, std::ios::binary).write(reinterpret_cast<const char*>(bytes.data()), std::ssize(bytes));
    return path;
  }
  testing::TempDir dir_;
};

TEST_F(OwnEventLog, IsCutAtItsEnd) {
  testing::EventLogMaker maker;
  maker.event(1, 0x80000001, "variable");
  const ByteVector log = maker.log();
  ByteVector area = log;
  area.resize(64UL * 1024, 0xff);  // what the firmware reserved
  const auto read = event_log_of(file(area));
  ASSERT_TRUE(read);
  const auto sent = from_base64(*read).value();
  EXPECT_EQ(att::replay_ccel(sent)->rtmrs, att::replay_ccel(area)->rtmrs);
  EXPECT_LE(sent.size(), log.size());
}

TEST_F(OwnEventLog, IsNotSentWhenItIsNotSound) {
  EXPECT_FALSE(event_log_of((dir_ / "nothing").string()));
  EXPECT_FALSE(event_log_of(file({})));
  EXPECT_FALSE(event_log_of(file({1, 2, 3})));
  testing::EventLogMaker maker;
  for (int i = 0; i < 200; ++i) maker.event(1, 0x80000001, std::string(1000, 'x'));
  EXPECT_FALSE(event_log_of(file(maker.log()))) << "longer than an answer may hold";
}

TEST_F(OwnEventLog, OfARealMachineIsSentWhole) {
  EE_NEED_VECTORS();
  const auto read = event_log_of(file(testing::read_vector("go-tdx-guest/ccel_data.dat")));
  ASSERT_TRUE(read);
  EXPECT_EQ(att::replay_ccel(from_base64(*read).value())->events.size(), 43U);
}

// covers: S01_CPQ_001
TEST_F(OwnEventLog, GoesWithEveryQuote) {
  FakeClock clock;
  FakeRandom random;
  const auto tdx =
      att::EmulatedTdx::open(testing::emulation_allowed(), dir_ / "tdx", att::EmulatedRole::control_plane, clock);
  ASSERT_TRUE(tdx);
  const SigningKeys keys(Ed25519PrivateKey::from_seed(ByteVector(32, 1)).value(), {});
  ControlPlaneAttestation own(tdx->get(), keys, "dev", "https://cp.example.com", clock, random, "bG9n");
  EXPECT_EQ(own.live(ByteArray<32>{}, 1)->event_log, "bG9n");
  ASSERT_TRUE(own.refresh(1));
  EXPECT_EQ(own.cached(Seconds(300))->event_log, "bG9n");
}

}  // namespace
}  // namespace ee::cp
