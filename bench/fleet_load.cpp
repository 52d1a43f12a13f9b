// A whole fleet against one ee-cp, which this program starts and stops itself (its environment is the caller's): steady
// heartbeats, a restart, an outage, and a tenth of the fleet that refreshes its evidence at once. Exit 1 when a bound
// is not met.
#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <atomic>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <future>
#include <stdexcept>
#include <thread>

#include "bench/fleet.h"
#include "bench/registrant.h"
#include "bench/server_process.h"
#include "common/clock.h"
#include "db/sqlite_database.h"

namespace ee::bench {
namespace {

/// The bounds of S02_AGT_HB_007.
constexpr std::uint32_t kP99Us = 50'000;
constexpr double kFlushesPerSecond = 3;
/// For 100,000 agents: the slots of the live map and of the credential cache (02 section 5.4), the page caches of
/// SQLite's six connections, and what the process has when idle (P8).
constexpr std::int64_t kMemoryMib = 98 + 28 + 6 * 16 + 64;
/// After a start the health sweep marks nobody for so long (02 section 5.4): whoever is back by then lost nothing. An
/// agent comes back within the interval that it was told last, which is more than 30 s where the server had raised it.
constexpr double kSweepGraceSeconds = 180;
/// Of a beat while one in ten refreshes. The specification names none: small beside the interval.
constexpr std::uint32_t kP99WhileRefreshingUs = 1'000'000;

struct Options {
  LoadOptions load;
  std::string server;
  std::string log = "fleet.log";
  std::string agents;
  std::string database;
  std::string audience = "http://127.0.0.1:8080";
  double warm = 60;
  double steady = 60;
  double outage = 300;
  double after = 240;
  int refreshing = 10000;
};

class Scenarios {
 public:
  explicit Scenarios(Options options)
      : options_(std::move(options)),
        server_(options_.server, options_.log, options_.load),
        fleet_(options_.agents, options_.load) {}

  bool run() {
    fmt::print(R"({{"run":"start","agents":{},"ready_seconds":{:.2f}}})"
               "\n",
               fleet_.size(), server_.start());
    idle();
    print("warm_up", measured(options_.warm, all_seen()));
    steady();
    restart();
    outage();
    refresh();
    server_.stop();
    judge("nobody unhealthy, quarantined or deleted", bystanders() == 0);
    return met_;
  }

 private:
  struct Measured {
    FleetResult fleet;
    double cpu_seconds = 0;
    double commits_per_second = 0;
    std::int64_t memory_mib = 0;
  };

  using Enough = std::function<bool(const FleetResult&)>;
  Enough all_seen() const {
    return [this](const FleetResult& result) { return result.agents_seen == fleet_.size(); };
  }

  Measured measured(double seconds, const Enough& enough = {}) {
    const auto before = server_.use();
    Measured out{.fleet = fleet_.run(seconds, enough)};
    const auto after = server_.use();
    out.cpu_seconds = after.cpu_seconds - before.cpu_seconds;
    out.commits_per_second = static_cast<double>(after.commits - before.commits) / out.fleet.seconds;
    out.memory_mib = after.memory_kib / 1024;
    return out;
  }

  static void print(const char* run, const Measured& m) {
    fmt::print(
        R"({{"run":"{}","seconds":{:.1f},"beats":{},"agents_seen":{},"all_seen_seconds":{:.1f},"refused":{},"unanswered":{},"rate":{:.0f},"p50_us":{},"p99_us":{},"p999_us":{},"cpu_us_per_beat":{:.1f},"transactions_per_second":{:.2f},"memory_mib":{}}})"
        "\n",
        run, m.fleet.seconds, m.fleet.beats, m.fleet.agents_seen, m.fleet.all_seen_seconds, m.fleet.refused,
        m.fleet.unanswered, static_cast<double>(m.fleet.beats) / m.fleet.seconds, m.fleet.percentile_us(0.5),
        m.fleet.percentile_us(0.99), m.fleet.percentile_us(0.999),
        m.fleet.beats > 0 ? m.cpu_seconds * 1e6 / static_cast<double>(m.fleet.beats) : 0, m.commits_per_second,
        m.memory_mib);
    std::fflush(stdout);
  }

  void judge(const std::string& what, bool met) {
    fmt::print("{}: {}\n", met ? "met" : "NOT MET", what);
    std::fflush(stdout);
    met_ = met_ && met;
  }

  /// What jobs write without any agent: their leases, mostly.
  void idle() {
    constexpr double kSeconds = 15;
    std::this_thread::sleep_for(std::chrono::seconds(5));  // the jobs' first runs
    const auto before = server_.use();
    std::this_thread::sleep_for(std::chrono::duration<double>(kSeconds));
    const auto after = server_.use();
    idle_per_second_ = static_cast<double>(after.commits - before.commits) / kSeconds;
    fmt::print(R"({{"run":"idle","transactions_per_second":{:.2f},"cpu_percent":{:.1f},"memory_mib":{}}})"
               "\n",
               idle_per_second_, (after.cpu_seconds - before.cpu_seconds) * 100 / kSeconds, after.memory_kib / 1024);
  }

  /// covers: S02_AGT_HB_007
  void steady() {
    const Measured m = measured(options_.steady);
    print("steady", m);
    judge("p99 below 50 ms", m.fleet.percentile_us(0.99) < kP99Us);
    const double flushes = m.commits_per_second - idle_per_second_;
    judge(fmt::format("at most 3 flush transactions a second ({:.2f} more than idle)", flushes),
          flushes <= kFlushesPerSecond);
    judge(fmt::format("resident memory at most {} MiB", kMemoryMib), m.memory_mib <= kMemoryMib);
    judge("no beat refused or lost", m.fleet.refused + m.fleet.unanswered == 0);
  }

  /// Everybody's credential is read and verified again; the connections are gone.
  void restart() {
    server_.stop();
    fmt::print(R"({{"run":"restarted","ready_seconds":{:.2f},"longest_interval_seconds":{}}})"
               "\n",
               server_.start(), fleet_.longest_interval_seconds());
    const Measured m = measured(kSweepGraceSeconds, all_seen());
    print("after_restart", m);
    judge(fmt::format("the whole fleet is back before the first sweep ({:.0f} s)", m.fleet.all_seen_seconds),
          m.fleet.agents_seen == fleet_.size());
    judge("no beat refused", m.fleet.refused == 0);
  }

  /// Longer than any sweep waits, and then as long as the first sweeps need after the start.
  void outage() {
    server_.stop();
    const FleetResult away = fleet_.run(options_.outage);
    fmt::print(R"({{"run":"outage","seconds":{:.1f},"attempts":{}}})"
               "\n",
               away.seconds, away.unanswered);
    server_.start();
    const Measured m = measured(options_.after);
    print("after_outage", m);
    judge("the whole fleet is back", m.fleet.agents_seen == fleet_.size());
    judge("no beat refused", m.fleet.refused == 0);
  }

  /// One in ten attests anew while all others beat.
  void refresh() {
    if (options_.refreshing == 0) return;
    // The fleet beats all the time: what it would miss here would be taken for beats that waited.
    auto registering = std::async(std::launch::async, [this] { return registered(); });
    fleet_.run(kLoadSeconds, [&](const FleetResult&) { return is_done(registering); });
    std::vector<std::unique_ptr<Registrant>> members = registering.get();
    std::atomic<std::uint64_t> next_member = 0;
    std::vector<Registrant*> at(static_cast<std::size_t>(options_.load.connections), nullptr);
    std::uint64_t done = 0;
    const auto next = [&](int connection, std::string& out) {
      Registrant*& member = at[static_cast<std::size_t>(connection)];
      if (member == nullptr) {
        if (next_member >= members.size()) return false;
        member = members[next_member++].get();
      }
      member->next_refresh(out);
      return true;
    };
    const auto answered = [&](int connection, int status, std::string_view body) {
      Registrant*& member = at[static_cast<std::size_t>(connection)];
      if (!member->refreshed(status, body)) return;
      ++done;
      member = nullptr;
    };
    const auto before = server_.use();
    LoadOptions options = options_.load;
    options.seconds = kLoadSeconds;
    auto refreshing = std::async(std::launch::async, [&] { return run_load(options, 200, next, answered); });
    const FleetResult beats = fleet_.run(kLoadSeconds, [&](const FleetResult&) { return is_done(refreshing); });
    const LoadResult load = refreshing.get();
    const auto after = server_.use();
    fmt::print(
        R"({{"run":"refresh","agents":{},"refreshed":{},"seconds":{:.1f},"p50_us":{},"p99_us":{},"beats_p99_us":{},"beats_refused":{},"cpu_seconds":{:.1f},"memory_mib":{}}})"
        "\n",
        members.size(), done, load.seconds, load.percentile_us(0.5), load.percentile_us(0.99),
        beats.percentile_us(0.99), beats.refused + beats.unanswered, after.cpu_seconds - before.cpu_seconds,
        after.memory_kib / 1024);
    judge("all that refresh are accepted", done == members.size());
    judge("no beat is refused meanwhile", beats.refused + beats.unanswered == 0);
    judge("p99 of the beats meanwhile below 1 s", beats.percentile_us(0.99) < kP99WhileRefreshingUs);
  }

  static constexpr double kLoadSeconds = 600;
  template <class T>
  static bool is_done(const std::future<T>& work) {
    return work.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
  }

  std::vector<std::unique_ptr<Registrant>> registered() {
    std::vector<std::unique_ptr<Registrant>> members;
    std::vector<std::unique_ptr<Registrant>> at(static_cast<std::size_t>(options_.load.connections));
    std::uint64_t number = 0;
    const auto next = [&](int connection, std::string& out) {
      if (members.size() >= static_cast<std::size_t>(options_.refreshing)) return false;
      auto& member = at[static_cast<std::size_t>(connection)];
      if (!member) member = std::make_unique<Registrant>("refresh", options_.audience);
      member->next(++number, out);
      return true;
    };
    const auto answered = [&](int connection, int status, std::string_view body) {
      auto& member = at[static_cast<std::size_t>(connection)];
      if (member->answered(status, body)) members.push_back(std::move(member));
    };
    LoadOptions options = options_.load;
    options.seconds = kLoadSeconds;
    run_load(options, 201, next, answered);
    if (members.size() < static_cast<std::size_t>(options_.refreshing))
      throw std::runtime_error("the agents that refresh could not be registered");
    return members;
  }

  /// Agents of the fleet that did nothing wrong and are no longer as they were. Those that only registered never beat.
  std::int64_t bystanders() const {
    SystemClock clock;
    auto database = db::SqliteDatabase::open({.path = options_.database, .strict = false}, clock);
    if (!database) throw std::runtime_error("cannot open " + options_.database);
    const auto found = (*database)->read<std::optional<std::int64_t>>([&](db::Transaction& tx) {
      return tx.query_one<std::int64_t>(
          "SELECT COUNT(*) FROM agents WHERE vm_name LIKE 'load-%'"
          " AND (health_status<>'healthy' OR status<>'undeployed')");
    });
    if (!found || !*found) throw std::runtime_error("cannot read the agents");
    return **found;
  }

  Options options_;
  ServerProcess server_;
  Fleet fleet_;
  double idle_per_second_ = 0;
  bool met_ = true;
};

}  // namespace
}  // namespace ee::bench

int main(int argc, char** argv) {
  CLI::App app("a fleet of agents against one ee-cp");
  ee::bench::Options options;
  options.load.connections = 256;
  app.add_option("--server", options.server, "path of ee-cp; its environment is this program's")->required();
  app.add_option("--port", options.load.port)->required();
  app.add_option("--agents", options.agents, "list of `agent_load seed`")->required();
  app.add_option("--database", options.database, "file that the list was seeded into")->required();
  app.add_option("--audience", options.audience, "public URL of the control plane");
  app.add_option("--log", options.log);
  app.add_option("--connections", options.load.connections);
  app.add_option("--warm", options.warm, "seconds until everybody has beaten, at most");
  app.add_option("--steady", options.steady, "seconds that are measured");
  app.add_option("--outage", options.outage, "seconds without control plane");
  app.add_option("--after", options.after, "seconds after the outage");
  app.add_option("--refreshing", options.refreshing, "agents that refresh at once");
  CLI11_PARSE(app, argc, argv);
  try {
    return ee::bench::Scenarios(std::move(options)).run() ? 0 : 1;
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
}
