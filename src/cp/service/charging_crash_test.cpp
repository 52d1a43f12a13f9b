// A process that is killed while it charges: nothing is lost, nothing is charged twice.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vector>

#include "tests/support/billing_fixture.h"

namespace ee::cp {
namespace {

class ChargingCrashTest : public testing::BillingTest {
 protected:
  const UtcTime ten_ = parse_rfc3339("2026-01-01T10:00:00.000Z").value();

  /// Charges in a process of its own that dies by SIGKILL at the `at`-th time it reaches `step`.
  void die_at(ChargeStep step, int at) {
    db_->close();
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      const auto database = db_.open_again();
      int seen = 0;
      Charging pass({.database = *database,
                     .shares = shares_,
                     .clock = clock_,
                     .random = random_,
                     .settings = [this] { return settings_; },
                     .metrics = metrics_,
                     .before_step = [&](ChargeStep now) -> Result<void> {
                       if (now == step && ++seen == at) ::kill(::getpid(), SIGKILL);
                       return {};
                     }});
      const auto done = pass.run({}, {});
      ::_exit(done ? 0 : 1);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << "status " << status;
    db_.restart();
  }
};

// covers: S04_BILL_CHG_003
TEST_F(ChargingCrashTest, S04_BILL_CHG_003_KillNineAtEachStepThenRestart) {
  const AccountId payer = add_account(1);
  const AccountId owner = add_account(2);
  const AccountId contributor = add_account(3);
  shares_.by_app["app"][UtcTime()] = {{contributor, 5000}};
  for (int n = 1; n <= 9; ++n)
    insert(n, {.account = n < 6 ? payer : owner, .rate = 100'003, .from = ten_, .owner = owner, .app = "app"});
  set_batch(4);
  UtcTime hour = ten_;
  struct Case {
    ChargeStep step;
    int at;
  };
  std::vector<Case> cases;
  for (const ChargeStep step :
       {ChargeStep::begun, ChargeStep::charged, ChargeStep::noted, ChargeStep::posted, ChargeStep::cursor_moved}) {
    cases.push_back({step, 1});
    cases.push_back({step, 3});
  }
  cases.push_back({ChargeStep::finished, 1});
  for (const Case& wanted : cases) {
    hour += kHour;
    clock_.set_utc(hour + Seconds(300));
    const std::int64_t paid = balance(payer);
    const std::int64_t earned = balance(owner);
    const std::int64_t contributed = balance(contributor);
    die_at(wanted.step, wanted.at);
    if (HasFatalFailure()) return;
    const int committed = wanted.step == ChargeStep::finished ? 2 : wanted.at - 1;
    EXPECT_EQ(number("SELECT COUNT(*) FROM usage_charges WHERE hour_start_at=:hs", {{"hs", hour - kHour}}),
              4 * committed);
    expect_sound();
    EXPECT_EQ(charge().value("hours"), 1);
    EXPECT_EQ(balance(payer) - paid, -5 * 100'003);
    EXPECT_EQ(balance(owner) - earned, 9 * 70'002 - 4 * 100'003);
    EXPECT_EQ(balance(contributor) - contributed, 9 * 7'500);
    EXPECT_EQ(number("SELECT COUNT(*) FROM usage_charges WHERE hour_start_at=:hs", {{"hs", hour - kHour}}), 9);
    expect_sound();
  }
}

}  // namespace
}  // namespace ee::cp
