// Load of deploys: fills a database with idle agents and accounts with funds, then deploys as fast as answers come,
// each time with an idempotency key of its own. Counts agents that were given twice. One line of JSON on standard
// output.
#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <cstdio>
#include <fstream>
#include <string>
#include <unordered_set>
#include <vector>

#include "bench/load_client.h"
#include "common/argon2.h"
#include "common/clock.h"
#include "common/credential.h"
#include "common/random.h"
#include "cp/store/agent_store.h"
#include "cp/store/schema.h"
#include "db/sqlite_database.h"
#include "tests/support/agents.h"

namespace ee::bench {
namespace {

constexpr int kDatacenters = 20;

void require_ok(bool ok, const std::string& what) {
  if (!ok) throw std::runtime_error(what);
}

Result<void> add_agents(db::Transaction& tx, int from, int count, UtcTime now, Random& random) {
  for (int i = from; i < from + count; ++i) {
    cp::AgentRow row = testing::make_agent(i, now);
    row.id = AgentId(new_uuid_v7(now, random).value());
    row.vm_name = fmt::format("idle-{}", i);
    row.hostname = row.vm_name + ".load.invalid";
    row.datacenter = fmt::format("gcp:zone-{}", i % kDatacenters);
    row.idle_since_at = now - Seconds(i % 1000);
    row.attestation_due_at = now + Seconds(3600);
    if (auto done = cp::AgentStore().insert(tx, row); !done) return done;
  }
  return {};
}

/// An account with funds; the text of its API key.
Result<std::string> add_account(db::Transaction& tx, int number, UtcTime now, Random& random) {
  const std::string id = new_uuid_v7(now, random).value();
  const auto key = new_credential(CredentialKind::live, random);
  if (!key) return std::unexpected(key.error());
  const auto hash = hash_token(key->text, random);
  if (!hash) return std::unexpected(hash.error());
  const std::vector<std::pair<std::string, db::Params>> statements = {
      {"INSERT INTO accounts (id, name, account_type, status, credit_limit_micros, created_at, created_by, updated_at)"
       " VALUES (:id, :name, 'deployer', 'active', 1000000000000, :now, 'bench', :now)",
       {{"id", id}, {"name", fmt::format("load-{}", number)}, {"now", now}}},
      {"INSERT INTO account_balances (account_id, updated_at, state_since_at) VALUES (:id, :now, :now)",
       {{"id", id}, {"now", now}}},
      {"INSERT INTO api_keys (id, account_id, name, lookup, secret_hash, scopes, created_at, created_by)"
       " VALUES (:key, :id, 'load', :lookup, :hash, '[\"deploy\",\"read\"]', :now, 'bench')",
       {{"key", new_uuid_v7(now, random).value()},
        {"id", id},
        {"lookup", key->lookup},
        {"hash", *hash},
        {"now", now}}}};
  for (const auto& [sql, params] : statements)
    if (auto done = tx.execute(sql, params); !done) return std::unexpected(done.error());
  return key->text.reveal();
}

int seed(const std::string& path, int agents, int accounts, const std::string& out) {
  SystemClock clock;
  SystemRandom random;
  auto database = db::SqliteDatabase::open({.path = path, .strict = false, .durable = false}, clock);
  require_ok(database.has_value(), "cannot open the database");
  require_ok(cp::prepare_schema(**database, {.env = "dev", .cluster_id = "dev", .app_version = "bench"}, clock, random)
                 .has_value(),
             "cannot make the schema");
  const UtcTime now = clock.now();
  for (int done = 0; done < agents; done += 1000) {
    const auto written = (*database)->run_write(
        [&](db::Transaction& tx) { return add_agents(tx, done, std::min(1000, agents - done), now, random); });
    require_ok(written.has_value(), "cannot write agents: " + (written ? "" : written.error().detail));
  }
  std::ofstream list(out);
  const auto written = (*database)->run_write([&](db::Transaction& tx) -> Result<void> {
    for (int i = 0; i < accounts; ++i) {
      const auto key = add_account(tx, i, now, random);
      if (!key) return std::unexpected(key.error());
      list << *key << '\n';
    }
    return {};
  });
  require_ok(written.has_value(), "cannot write accounts: " + (written ? "" : written.error().detail));
  return 0;
}

int deploys(const LoadOptions& options, const std::string& file) {
  std::vector<std::string> keys;
  std::ifstream in(file);
  for (std::string key; in >> key;) keys.push_back(key);
  require_ok(!keys.empty(), "no keys in " + file);
  std::uint64_t number = 0;
  const auto next = [&](int, std::string& out) {
    const std::size_t account = number++ % keys.size();
    const std::string body = fmt::format(
        R"({{"service":"svc-{}","env":{{"MODE":"load"}},"compose":"services:\n  web:\n    image: registry.example/app/web@sha256:{:064x}\n    ports: [\"8080:8080\"]\n"}})",
        account, 4711);
    out = fmt::format(
        "POST /api/v1/deploy HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {}\r\nIdempotency-Key: load-{}\r\n"
        "Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{}",
        keys[account], number, body.size(), body);
    return true;
  };
  std::unordered_set<std::string> given;
  std::uint64_t twice = 0;
  std::string refused;
  const auto answered = [&](int, int status, std::string_view body) {
    if (status != 201) {
      if (refused.empty()) refused = std::string(body.substr(0, 300));
      return;
    }
    constexpr std::string_view kAgent = R"("agent":{"id":")";
    const std::size_t at = body.find(kAgent);
    if (at == std::string_view::npos || !given.emplace(body.substr(at + kAgent.size(), 36)).second) ++twice;
  };
  const LoadResult result = run_load(options, 201, next, answered);
  fmt::print(
      R"({{"run":"deploys","claimed":{},"given_twice":{},"answers":{},"errors":{},"seconds":{:.2f},"rate":{:.0f},"p50_us":{},"p99_us":{}}})"
      "\n",
      given.size(), twice, result.answers, result.errors, result.seconds,
      result.seconds > 0 ? static_cast<double>(given.size()) / result.seconds : 0, result.percentile_us(0.5),
      result.percentile_us(0.99));
  if (!refused.empty()) fmt::print(stderr, "the first refusal: {}\n", refused);
  return twice == 0 && refused.empty() ? 0 : 1;
}

}  // namespace
}  // namespace ee::bench

int main(int argc, char** argv) {
  CLI::App app("load of deploys");
  ee::bench::LoadOptions options;
  std::string database, file;
  int agents = 100000, accounts = 200;
  app.add_option("--port", options.port);
  app.add_option("--connections", options.connections);
  app.add_option("--seconds", options.seconds);
  app.add_option("--max-requests", options.max_requests);
  auto* seed = app.add_subcommand("seed")->fallthrough();
  seed->add_option("--database", database)->required();
  seed->add_option("--agents", agents);
  seed->add_option("--accounts", accounts);
  seed->add_option("--out", file)->required();
  auto* deploy = app.add_subcommand("deploy")->fallthrough();
  deploy->add_option("--keys", file)->required();
  app.require_subcommand(1);
  CLI11_PARSE(app, argc, argv);
  try {
    if (*seed) return ee::bench::seed(database, agents, accounts, file);
    return ee::bench::deploys(options, file);
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
}
