// Load that speaks the agents' protocol: fills a database with known agents, then beats, registers, lists or sends
// garbage. One line of JSON per run on standard output.
#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "bench/load_client.h"
#include "bench/registrant.h"
#include "common/agent_api.h"
#include "common/argon2.h"
#include "common/clock.h"
#include "common/credential.h"
#include "common/json.h"
#include "cp/store/agent_live_store.h"
#include "cp/store/agent_store.h"
#include "cp/store/credential_store.h"
#include "cp/store/schema.h"
#include "db/sqlite_database.h"
#include "tests/support/agents.h"
#include "tests/support/emulated_agent.h"

namespace ee::bench {
namespace {

struct KnownAgent {
  std::string id = {};
  std::string credential = {};
  std::string boot_id = {};
  std::int64_t seq = 0;
};

void require_ok(bool ok, const std::string& what) {
  if (!ok) throw std::runtime_error(what);
}

int seed(const std::string& path, int count, const std::string& out) {
  SystemClock clock;
  SystemRandom random;
  auto database = db::SqliteDatabase::open({.path = path, .strict = false, .durable = false}, clock);
  require_ok(database.has_value(), "cannot open the database");
  require_ok(cp::prepare_schema(**database, {.env = "dev", .cluster_id = "dev", .app_version = "bench"}, clock, random)
                 .has_value(),
             "cannot make the schema");
  std::ofstream list(out);
  const UtcTime now = clock.now();
  for (int done = 0; done < count;) {
    const int batch = std::min(1000, count - done);
    std::vector<KnownAgent> agents;
    const auto written = (*database)->write<bool>([&](db::Transaction& tx) -> Result<bool> {
      for (int i = 0; i < batch; ++i) {
        cp::AgentRow row = testing::make_agent(done + i, now);
        row.id = AgentId(new_uuid_v7(now, random).value());
        row.vm_name = fmt::format("load-{}", done + i);
        row.hostname = row.vm_name + ".load.invalid";
        row.attestation_due_at = now + Seconds(3600);
        if (auto done_row = cp::AgentStore().insert(tx, row); !done_row) return std::unexpected(done_row.error());
        const auto credential = new_credential(CredentialKind::agent, random).value();
        const cp::CredentialRow stored{.id = new_uuid_v7(now, random).value(),
                                       .agent_id = row.id,
                                       .lookup = credential.lookup,
                                       .secret_hash = hash_token(credential.text, random).value(),
                                       .created_at = now,
                                       .expires_at = now + Seconds(30LL * 24 * 3600)};
        if (auto kept = cp::CredentialStore().insert(tx, stored); !kept) return std::unexpected(kept.error());
        agents.push_back({row.id.str(), credential.text.reveal(), row.boot_id});
      }
      return true;
    });
    require_ok(written.has_value(), "cannot write: " + (written ? "" : written.error().detail));
    for (const KnownAgent& agent : agents) list << agent.id << ' ' << agent.credential << ' ' << agent.boot_id << '\n';
    done += batch;
  }
  return 0;
}

void print(const char* name, const LoadResult& result) {
  fmt::print(
      R"({{"run":"{}","answers":{},"expected":{},"errors":{},"seconds":{:.2f},"rate":{:.0f},"p50_us":{},"p99_us":{}}})"
      "\n",
      name, result.answers, result.expected_status, result.errors, result.seconds, result.rate(),
      result.percentile_us(0.5), result.percentile_us(0.99));
}

int heartbeats(const LoadOptions& options, const std::string& file) {
  // Above what an earlier run sent: else every beat would be a duplicate, which changes nothing.
  const std::int64_t first_seq = unix_ms(SystemClock().now());
  std::vector<KnownAgent> agents;
  std::ifstream in(file);
  for (KnownAgent agent{.seq = first_seq}; in >> agent.id >> agent.credential >> agent.boot_id;)
    agents.push_back(agent);
  require_ok(!agents.empty(), "no agents in " + file);
  std::size_t next_agent = 0;
  const auto next = [&](int, std::string& out) {
    KnownAgent& agent = agents[next_agent++ % agents.size()];
    const std::string body = fmt::format(
        R"({{"seq":{},"boot_id":"{}","sent_at":"2026-01-01T00:00:00.000Z","agent_version":"0.1.0","health":{{"status":"healthy","checks":[{{"name":"control_plane","ok":true,"code":null}}]}},"workload":null,"tunnel":{{"state":"connected","ready_connections":4,"restarts":0}},"stats":null,"draining":false}})",
        ++agent.seq, agent.boot_id);
    out = fmt::format(
        "POST /api/v1/agents/{}/heartbeat HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {}\r\nContent-Type: "
        "application/json\r\nContent-Length: {}\r\n\r\n{}",
        agent.id, agent.credential, body.size(), body);
    return true;
  };
  print("heartbeats", run_load(options, 200, next));
  return 0;
}

/// What it costs to know the sender: a small answer to agents whose credentials are in the cache, beside a small answer
/// to anybody. Neither reads the database.
int authentication(LoadOptions options, const std::string& file) {
  std::vector<KnownAgent> agents;
  std::ifstream in(file);
  for (KnownAgent agent; agents.size() < 2000 && in >> agent.id >> agent.credential >> agent.boot_id;)
    agents.push_back(agent);
  require_ok(!agents.empty(), "no agents in " + file);
  std::uint64_t number = 0;
  const auto known = [&](int, std::string& out) {
    const KnownAgent& agent = agents[++number % agents.size()];
    out = fmt::format("GET /auth/me HTTP/1.1\r\nHost: bench\r\nX-Forwarded-For: {}\r\nAuthorization: Bearer {}\r\n\r\n",
                      forwarded_for(number % 100000), agent.credential);
    return true;
  };
  const auto anybody = [&](int, std::string& out) {
    out = fmt::format("GET /auth/methods HTTP/1.1\r\nHost: bench\r\nX-Forwarded-For: {}\r\n\r\n",
                      forwarded_for(++number % 100000));
    return true;
  };
  const double seconds = options.seconds;
  options.seconds = 1;
  run_load(options, 200, known);  // into the cache
  options.seconds = seconds;
  const LoadResult with = run_load(options, 200, known);
  const LoadResult without = run_load(options, 200, anybody);
  print("authenticated", with);
  print("unauthenticated", without);
  fmt::print(R"({{"run":"authentication","ratio":{:.3f},"target":0.8}})"
             "\n",
             without.rate() > 0 ? with.rate() / without.rate() : 0);
  return 0;
}

/// How long a page takes, not how many there are in a second: an administrator's session is good for 50 requests a
/// second, ten times that at the largest scale of the limits.
int list_pages(const LoadOptions& options, const std::string& token) {
  constexpr std::chrono::microseconds kPace{2500};
  std::string cursor;
  auto turn = std::chrono::steady_clock::now();
  const auto next = [&](int, std::string& out) {
    std::this_thread::sleep_until(turn);
    turn = std::max(turn, std::chrono::steady_clock::now() - kPace) + kPace;
    out = fmt::format("GET /api/v1/agents?limit=50{} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {}\r\n\r\n",
                      cursor.empty() ? "" : "&cursor=" + cursor, token);
    return true;
  };
  const auto answered = [&](int, int, std::string_view body) {
    const std::size_t at = body.rfind(R"("next_cursor":")");
    cursor = at == std::string_view::npos ? "" : std::string(body.substr(at + 15, body.find('"', at + 15) - at - 15));
  };
  print("list", run_load(options, 200, next, answered));
  return 0;
}

int registrations(const LoadOptions& options, const std::string& prefix, const std::string& audience) {
  std::vector<Registrant> registrants;
  for (int i = 0; i < options.connections; ++i) registrants.emplace_back(prefix, audience);
  std::uint64_t number = 0;
  std::uint64_t admitted = 0;
  const auto next = [&](int connection, std::string& out) {
    registrants[static_cast<std::size_t>(connection)].next(++number, out);
    return true;
  };
  const auto answered = [&](int connection, int status, std::string_view body) {
    if (registrants[static_cast<std::size_t>(connection)].answered(status, body)) ++admitted;
  };
  const LoadResult result = run_load(options, 201, next, answered);
  fmt::print(
      R"({{"run":"registrations","admitted":{},"answers":{},"errors":{},"seconds":{:.2f},"rate":{:.0f},"p50_us":{},"p99_us":{}}})"
      "\n",
      admitted, result.answers, result.errors, result.seconds,
      result.seconds > 0 ? static_cast<double>(admitted) / result.seconds : 0, result.percentile_us(0.5),
      result.percentile_us(0.99));
  return 0;
}

int garbage(const LoadOptions& options, const std::string& kind) {
  SystemRandom random;
  testing::EmulatedAgent agent("garbage", random);
  const auto quote = agent.evidence(attestation::Purpose::register_, ByteArray<32>{}, "http://127.0.0.1").quote;
  std::string evidence = to_base64(Bytes(quote).first(1500));  // truncated
  if (kind == "base64") evidence = std::string(6000, '!');
  if (kind == "size") evidence = std::string(40000, 'A');
  const std::string key = to_base64(agent.signing_key().public_key());
  const std::string body = fmt::format(
      R"({{"vm_name":"garbage","node_size":"tiny","datacenter":"baremetal:local","agent_version":"1","boot_id":"1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed","challenge":"AAAA","nonce":"{:064x}","signing_key":"{}","sealing_key":"{}","evidence":{{"kind":"dcap","quote":"{}"}},"capacity":{{"vcpus":4,"memory_mib":4096,"disk_mib":1,"gpu_count":0}}}})",
      1, key, to_base64(agent.sealing_key().public_key()), evidence);
  std::uint64_t number = 0;
  const auto next = [&](int, std::string& out) {
    out = fmt::format(
        "POST /api/v1/agents/register HTTP/1.1\r\nHost: bench\r\nX-Forwarded-For: {}\r\nContent-Type: "
        "application/json\r\nX-EE-Agent-Signature: {}\r\nContent-Length: {}\r\n\r\n{}",
        forwarded_for(++number), to_base64(ByteArray<64>{}), body.size(), body);
    return true;
  };
  print(("garbage_" + kind).c_str(), run_load(options, 400, next));
  return 0;
}

}  // namespace
}  // namespace ee::bench

int main(int argc, char** argv) {
  CLI::App app("load that speaks the agents' protocol");
  ee::bench::LoadOptions options;
  std::string database, file, token, prefix = "reg", audience = "http://127.0.0.1:8080", kind = "truncated";
  int agents = 100000;
  app.add_option("--port", options.port);
  app.add_option("--connections", options.connections);
  app.add_option("--seconds", options.seconds);
  app.add_option("--max-requests", options.max_requests);
  auto* seed = app.add_subcommand("seed")->fallthrough();
  seed->add_option("--database", database)->required();
  seed->add_option("--agents", agents);
  seed->add_option("--out", file)->required();
  auto* beats = app.add_subcommand("heartbeats")->fallthrough();
  beats->add_option("--agents", file)->required();
  auto* auth = app.add_subcommand("auth")->fallthrough();
  auth->add_option("--agents", file)->required();
  auto* list = app.add_subcommand("list")->fallthrough();
  list->add_option("--token", token)->required();
  auto* reg = app.add_subcommand("register")->fallthrough();
  reg->add_option("--prefix", prefix);
  reg->add_option("--audience", audience);
  auto* bad = app.add_subcommand("garbage")->fallthrough();
  bad->add_option("--kind", kind)->check(CLI::IsMember({"size", "base64", "truncated"}));
  app.require_subcommand(1);
  CLI11_PARSE(app, argc, argv);
  try {
    if (*seed) return ee::bench::seed(database, agents, file);
    if (*beats) return ee::bench::heartbeats(options, file);
    if (*auth) return ee::bench::authentication(options, file);
    if (*list) return ee::bench::list_pages(options, token);
    if (*reg) return ee::bench::registrations(options, prefix, audience);
    return ee::bench::garbage(options, kind);
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
}
