// covers: S04_BILL_PERF_001 (goals are printed, as for all of bench/)
// P6: one pass of hourly charging over many running segments, on a durable database of its own.
//   charging_load [--segments N] [--accounts N] [--dir DIR] [--again]
// Prints seconds, the longest batch, how much the process grew; ends with 1 when the sums are not exact.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "common/clock.h"
#include "common/env_config.h"
#include "common/random.h"
#include "cp/domain/price.h"
#include "cp/service/charging.h"
#include "cp/store/schema.h"
#include "db/sqlite_database.h"
#include "tests/support/temp_dir.h"

namespace {

using namespace ee;

constexpr std::int64_t kRate = 180'000;

struct Options {
  std::int64_t segments = 1'000'000;
  std::int64_t accounts = 10'000;
  std::string dir = {};
  bool again = false;  ///< a second pass, with every cursor forgotten: it must charge nothing
};

Options options_of(const std::vector<std::string>& arguments) {
  Options out;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i] == "--again") {
      out.again = true;
      continue;
    }
    if (i + 1 == arguments.size()) throw std::runtime_error(arguments[i] + " needs a value");
    const std::string& value = arguments[i + 1];
    if (arguments[i] == "--dir") {
      out.dir = value;
    } else {
      const auto number = parse_integer(value);
      if (!number || *number < 1) throw std::runtime_error(arguments[i] + " needs a number");
      if (arguments[i] == "--segments")
        out.segments = *number;
      else if (arguments[i] == "--accounts")
        out.accounts = *number;
      else
        throw std::runtime_error("unknown option " + arguments[i]);
    }
    ++i;
  }
  return out;
}

/// The longest write, from its call to its end.
class LongestWrite final : public db::WriteObserver {
 public:
  void group_finished(std::size_t, bool, db::Microseconds, std::size_t) override {}
  void write_finished(db::Microseconds took) override {
    if (took.count() > longest) longest = took.count();
  }
  void slow_write(db::Microseconds) override {}
  void group_failed(std::string_view detail) override { fmt::print(stderr, "{}\n", detail); }
  std::atomic<std::int64_t> longest = 0;
};

/// A line of /proc/self/status in KiB: VmRSS, VmHWM.
std::int64_t memory_kib(const std::string& name) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with(name + ":")) return std::stoll(line.substr(name.size() + 1));
  return 0;
}

void must(const Result<void>& done) {
  if (!done) throw std::runtime_error(done.error().detail);
}

template <class T>
T value(db::Database& database, std::string_view sql, const db::Params& params = {}) {
  const auto found = database.read<std::vector<T>>([&](db::Transaction& tx) { return tx.query<T>(sql, params); });
  if (!found || found->empty()) throw std::runtime_error(found ? "no row" : found.error().detail);
  return found->front();
}

/// Accounts and running segments, spread evenly; every second agent has an owner.
void seed(db::Database& database, const Options& options, UtcTime hour) {
  must(database.run_write([&](db::Transaction& tx) -> Result<void> {
    const auto run = [&](std::string_view sql, const db::Params& params) -> Result<void> {
      const auto done = tx.execute(sql, params);
      if (!done) return std::unexpected(done.error());
      return {};
    };
    const db::Params accounts = {{"count", options.accounts}, {"now", hour}};
    if (auto done = run("INSERT INTO accounts (id, name, account_type, status, created_at, created_by, updated_at) "
                        "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i+1 FROM n WHERE i+1<:count) "
                        "SELECT printf('01900000-0000-7000-8000-%012x', i), 'account-'||i, 'deployer', 'active', :now, "
                        "'bench', :now FROM n",
                        accounts);
        !done)
      return done;
    if (auto done = run("INSERT INTO account_balances (account_id, updated_at, state_since_at) "
                        "SELECT id, :now, :now FROM accounts WHERE account_type='deployer'",
                        {{"now", hour}});
        !done)
      return done;
    if (auto done = run("INSERT INTO billing_meta (id, next_hour_at) VALUES (1, :hour)", {{"hour", hour}}); !done)
      return done;
    return run(
        "INSERT INTO deployment_segments (id, deployment_id, seq, account_id, agent_id, agent_account_id, vcpus, "
        "memory_mib, gpu_count, sla_class, datacenter, rate_micros, rate_version, operator_bps, pool_bps, from_at, "
        "charged_to_at) WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i+1 FROM n WHERE i+1<:count) "
        "SELECT printf('01900000-0000-7000-9000-%012x', i), printf('01900000-0000-7000-a000-%012x', i), 1, "
        "printf('01900000-0000-7000-8000-%012x', i%:accounts), printf('01900000-0000-7000-b000-%012x', i), "
        "CASE WHEN i%2=0 THEN printf('01900000-0000-7000-8000-%012x', (i+1)%:accounts) END, 4, 4096, 0, 'adhoc', "
        "'gcp:a', :rate, 1, 7000, 5000, :hour, :hour FROM n",
        {{"count", options.segments}, {"accounts", options.accounts}, {"rate", kRate}, {"hour", hour}});
  }));
}

struct Outcome {
  double seconds = 0;
  std::int64_t rows = 0;
};

Outcome pass(cp::Charging& charging, Clock& clock) {
  const SteadyTime begun = clock.steady_now();
  const auto done = charging.run({}, {});
  if (!done) throw std::runtime_error(done.error().detail);
  return {.seconds = std::chrono::duration<double>(clock.steady_now() - begun).count(), .rows = done->value("rows")};
}

int run(const Options& options) {
  SystemClock clock;
  SystemRandom random;
  LongestWrite longest;
  const testing::TempDir temporary;
  const std::filesystem::path dir = options.dir.empty() ? temporary / "" : std::filesystem::path(options.dir);
  auto database = db::SqliteDatabase::open(
      {.path = dir / "charging.db", .strict = false, .statement_limit = Seconds(120)}, clock, &longest);
  if (!database) throw std::runtime_error(database.error().detail);
  const auto schema =
      cp::prepare_schema(**database, {.env = "dev", .cluster_id = "bench", .app_version = "bench"}, clock, random);
  if (!schema) throw std::runtime_error(schema.error().detail);
  const UtcTime hour = cp::hour_of(clock.now()) - 2 * cp::kHour;
  seed(**database, options, hour);
  (void)(*database)->checkpoint(db::CheckpointMode::truncate);

  metrics::Registry registry;
  cp::BillingMetrics metrics(registry, clock);
  const cp::NoShares shares;
  cp::Charging charging({.database = **database,
                         .shares = shares,
                         .clock = clock,
                         .random = random,
                         .settings = [] { return cp::BillingSettings{.max_hours_per_tick = 1}; },
                         .metrics = metrics});
  const std::int64_t before = memory_kib("VmRSS");
  std::ofstream("/proc/self/clear_refs") << 5;  // the high-water mark of memory begins here
  longest.longest = 0;
  const Outcome first = pass(charging, clock);
  const std::int64_t longest_us = longest.longest;
  const std::int64_t growth = std::max<std::int64_t>(0, std::max(memory_kib("VmHWM"), memory_kib("VmRSS")) - before);
  const auto charged = value<std::int64_t>(**database, "SELECT SUM(gross_micros) FROM usage_charges");
  const auto posted =
      value<std::int64_t>(**database, "SELECT -SUM(amount_micros) FROM transactions WHERE tx_type='charge'");
  const auto sum = value<std::int64_t>(**database, "SELECT SUM(balance_micros) FROM account_balances");
  const std::int64_t expected = options.segments * kRate;
  const bool exact = first.rows == options.segments && charged == expected && posted == expected && sum == 0;
  fmt::print("P6 charged {} segments of {} accounts in {:.1f} s, longest batch {:.0f} ms, grew {:.1f} MiB, sums {}\n",
             first.rows, options.accounts, first.seconds, static_cast<double>(longest_us) / 1000,
             static_cast<double>(growth) / 1024, exact ? "exact" : "WRONG");
  if (!options.again) return exact ? 0 : 1;
  must((*database)->run_write([&](db::Transaction& tx) -> Result<void> {
    for (const char* sql : {"DELETE FROM billing_hours", "UPDATE deployment_segments SET charged_to_at=from_at"})
      if (const auto done = tx.execute(sql); !done) return std::unexpected(done.error());
    if (const auto done = tx.execute("UPDATE billing_meta SET next_hour_at=:hour", {{"hour", hour}}); !done)
      return std::unexpected(done.error());
    return {};
  }));
  const Outcome second = pass(charging, clock);
  fmt::print("P6 again, with every cursor forgotten: {} rows in {:.1f} s (must be 0)\n", second.rows, second.seconds);
  return exact && second.rows == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(options_of({argv + 1, argv + argc}));
  } catch (const std::exception& error) {
    fmt::print(stderr, "charging_load: {}\n", error.what());
    return 1;
  }
}
