// Exports of logs (03 section 10.3), over real connections.
#include <zlib.h>

#include <boost/json.hpp>
#include <condition_variable>
#include <fstream>
#include <thread>

#include "common/crypto.h"
#include "common/log.h"
#include "cp/deployment_fixture.h"
#include "cp/service/log_buffer.h"
#include "cp/service/log_export.h"
#include "tests/support/raw_client.h"

namespace ee::testing {
namespace {

const std::string kEnd = "{\"end\":true,\"dropped\":0}\n";
const std::string kSecret = "ee_live_abcdefghijklmnop_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg2pz6nI";

std::string line_of(const std::string& text, const std::string& container = "web") {
  return R"({"at":"2026-01-01T00:00:01.000Z","container":")" + container + R"(","stream":"stdout","line":")" + text +
         "\"}\n";
}

std::string unzipped(const std::string& bytes) {
  z_stream stream{};
  EXPECT_EQ(inflateInit2(&stream, 15 + 16), Z_OK);
  stream.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  std::string out;
  std::string piece(65536, '\0');
  int result = Z_OK;
  while (result == Z_OK) {
    stream.next_out = reinterpret_cast<Bytef*>(piece.data());
    stream.avail_out = static_cast<uInt>(piece.size());
    result = inflate(&stream, Z_NO_FLUSH);
    out.append(piece, 0, piece.size() - stream.avail_out);
  }
  EXPECT_EQ(result, Z_STREAM_END);
  inflateEnd(&stream);
  return out;
}

/// Members of a ustar archive.
std::map<std::string, std::string> members_of(const std::string& tar) {
  std::map<std::string, std::string> out;
  for (std::size_t at = 0; at + 512 <= tar.size() && tar[at] != '\0';) {
    const std::string header = tar.substr(at, 512);
    const std::string prefix = header.substr(345, 155).c_str();
    const std::string name = header.substr(0, 100).c_str();
    const std::size_t size = std::stoul(header.substr(124, 11), nullptr, 8);
    out[prefix.empty() ? name : prefix + "/" + name] = tar.substr(at + 512, size);
    at += 512 + (size + 511) / 512 * 512;
  }
  return out;
}

/// There before the control plane is.
struct Buffered {
  std::shared_ptr<cp::LogBuffer> buffer = std::make_shared<cp::LogBuffer>(5000);
};

class LogExportTest : public Buffered, public DeploymentFixture {
 protected:
  LogExportTest()
      : DeploymentFixture([this] {
          auto wanted = options();
          wanted.environment["STRIPE_SECRET_KEY"] = "sk_test_51HCOXXAaYYbbiuYYuu990011";
          wanted.logs = buffer;
          return wanted;
        }()) {
    token = cp.admin_token();
  }
  static std::string request(const std::string& path, const std::string& key) {
    return "GET " + path + " HTTP/1.1\r\nHost: cp\r\nAuthorization: Bearer " + key + "\r\nConnection: close\r\n\r\n";
  }
  RawResponse fetch(const std::string& path, const std::string& key) {
    RawClient client(cp.app().port());
    client.send(request(path, key));
    auto answer = client.read_response();
    EXPECT_TRUE(answer) << path;
    return answer.value_or(RawResponse{});
  }
  void write(const std::string& message, log::Fields fields = {}) {
    log::Logger logger({.level = log::Level::debug, .queue_size = 0}, {buffer}, cp.clock);
    logger.write(log::Level::debug, "test", message, fields);
  }

  /// More than a connection that is not read can hold.
  void fill() {
    log::Record record{.at = cp.clock.now(), .level = log::Level::info, .component = "test", .message = "m"};
    record.fields.emplace_back("pad", std::string(4000, 'x'));
    for (int i = 0; i < 4000; ++i) buffer->write(record, "");
  }

  std::string token;
};

// covers: S03_LOG_006
TEST_F(LogExportTest, S03_LOG_006_an_archive_of_everything_in_which_an_agent_dies) {
  FakeAgent& first = agents.add();
  first.join();
  FakeAgent& second = agents.add();
  second.join();
  const std::string one = deploy_one(R"("env":{"DATABASE":"an-environment-value"})");
  const std::string two = deploy_one("", "other");
  start(one);
  start(two);
  agent_of(one).script.logs = line_of("hello " + kSecret) + line_of("from the side", "sidecar") + kEnd;
  agent_of(two).script.logs = line_of("it breaks off here");  // no end: it died in the middle
  write("something happened", {{"deployment_id", one}, {"key", kSecret}});

  const RawResponse answer =
      fetch("/api/v1/logs/export?since=7d&include=control_plane,containers,deployments,agents,jobs,settings", token);
  ASSERT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(answer.header("Content-Type"), "application/gzip");
  EXPECT_EQ(answer.header("Transfer-Encoding"), "chunked");
  EXPECT_EQ(answer.header("Content-Encoding"), std::nullopt);
  const std::string disposition = answer.header("Content-Disposition").value_or("");
  EXPECT_TRUE(disposition.starts_with("attachment; filename=\"easyenclave-logs-20260101T")) << disposition;
  auto members = members_of(unzipped(answer.body));
  for (const std::string& name :
       {std::string("control-plane.ndjson"), std::string("deployments.ndjson"), std::string("agents.ndjson"),
        std::string("jobs.json"), std::string("settings.json"), "containers/" + one + "/web.ndjson",
        "containers/" + one + "/sidecar.ndjson", "containers/" + two + "/web.ndjson", std::string("errors.ndjson"),
        std::string("manifest.json")})
    EXPECT_TRUE(members.contains(name)) << name;
  EXPECT_NE(members["containers/" + two + "/web.ndjson"].find("it breaks off here"), std::string::npos);
  const auto error = boost::json::parse(members["errors.ndjson"]);
  EXPECT_EQ(text(error, "deployment_id"), two);
  EXPECT_EQ(text(error, "agent_id"), agent_of(two).id());
  EXPECT_EQ(text(error, "code"), "agent_bad_response");

  const auto manifest = boost::json::parse(members["manifest.json"]);
  EXPECT_TRUE(manifest.at("complete").as_bool());
  EXPECT_EQ(manifest.at("members").as_array().size(), members.size() - 1);
  for (const auto& member : manifest.at("members").as_array())
    EXPECT_EQ(text(member, "sha256"), to_hex(sha256(bytes_of(members[text(member, "path")])))) << text(member, "path");

  const std::string everything = unzipped(answer.body);
  EXPECT_NE(members["control-plane.ndjson"].find("something happened"), std::string::npos);
  EXPECT_NE(members["deployments.ndjson"].find(R"("type":"event")"), std::string::npos);
  EXPECT_NE(members["settings.json"].find(R"("value":"***")"), std::string::npos);
  // covers: S03_LOG_002 (export)
  EXPECT_EQ(everything.find(kSecret.substr(40)), std::string::npos);
  EXPECT_EQ(everything.find("an-environment-value"), std::string::npos);
  EXPECT_EQ(everything.find("51HCOXX"), std::string::npos);
  EXPECT_EQ(everything.find("tunnel_token"), std::string::npos);
  EXPECT_EQ(audited("logs_exported"), 1);
}

// covers: S03_LOG_006 (agents)
TEST_F(LogExportTest, S03_LOG_006_agents_are_asked_at_once_and_written_in_order) {
  constexpr int kAgents = 20;  // more than are asked at once
  std::vector<std::string> ids;
  for (int i = 0; i < kAgents; ++i) agents.add().join();
  for (int i = 0; i < kAgents; ++i) {
    ids.push_back(deploy_one("", "s" + std::to_string(i)));
    cp.clock.advance(Seconds(3));
  }
  reconcile();
  for (std::size_t i = 0; i < ids.size(); ++i)
    agent_of(ids[i]).script.logs = line_of("line of " + std::to_string(i)) + kEnd;
  // One has more to tell than is taken of all at once.
  std::string much;
  while (much.size() < cp::LogExport::kMaxFirstAnswer) much += line_of(std::string(1000, 'x'));
  agent_of(ids[3]).script.logs = much + line_of("the last of many") + kEnd;
  std::mutex mutex;
  std::condition_variable arrived;
  int inside = 0;
  int most = 0;
  bool wait = true;
  cp.http.set_answer([&](const HttpClientRequest& request) {
    {
      std::unique_lock lock(mutex);
      most = std::max(most, ++inside);
      arrived.notify_all();
      // Nobody is answered before sixteen have come; the last four come later.
      if (wait) arrived.wait_for(lock, std::chrono::seconds(20), [&] { return most >= 16; });
      wait = false;
    }
    auto answer = agents.answer(request);
    const std::lock_guard lock(mutex);
    --inside;
    return answer;
  });
  const std::string path = "/api/v1/logs/export?format=ndjson&include=containers&since=7d";
  const RawResponse first = fetch(path, token);
  ASSERT_EQ(first.status, 200) << first.body;
  EXPECT_EQ(most, 16);
  std::size_t before = 0;
  for (int i = kAgents; i-- > 0;) {  // the newest deployment first
    const std::string wanted = i == 3 ? "the last of many" : "line of " + std::to_string(i) + "\"";
    const std::size_t at = first.body.find(wanted);
    ASSERT_NE(at, std::string::npos) << wanted;
    EXPECT_GE(at, before) << wanted;
    before = at;
  }
  EXPECT_EQ(first.body.find("\"kind\":\"errors\""), std::string::npos);
  EXPECT_EQ(fetch(path, token).body, first.body) << "the same again";
}

// covers: S03_LOG_006 (ndjson)
TEST_F(LogExportTest, S03_LOG_006_lines_end_with_the_end) {
  agents.add().join();
  write("quiet one");
  const RawResponse answer = fetch("/api/v1/logs/export?format=ndjson", token);
  ASSERT_EQ(answer.status, 200);
  std::vector<boost::json::value> lines;
  std::string_view rest = answer.body;
  while (!rest.empty()) {
    const std::size_t end = rest.find('\n');
    ASSERT_NE(end, std::string_view::npos);
    auto line = json::parse(rest.substr(0, end));
    ASSERT_TRUE(line) << rest.substr(0, end) << ": no name stands twice";
    lines.push_back(std::move(*line));
    rest.remove_prefix(end + 1);
  }
  ASSERT_FALSE(lines.empty());
  EXPECT_EQ(text(lines.back(), "kind"), "end");
  EXPECT_TRUE(lines.back().at("ok").as_bool());
  EXPECT_EQ(lines.back().at("lines").as_int64(), static_cast<std::int64_t>(lines.size()) - 1);
  std::map<std::string, int> kinds;
  for (const auto& line : lines) ++kinds[text(line, "kind")];
  EXPECT_GE(kinds["control_plane"], 1);
  EXPECT_EQ(kinds["agents"], 1);
  EXPECT_GE(kinds["jobs"], 10);
  EXPECT_GE(kinds["settings"], 50);
  EXPECT_EQ(kinds["containers"], 0) << "only when they are asked for";
  const RawResponse less = fetch("/api/v1/logs/export?format=ndjson&include=agents&min_level=error", token);
  EXPECT_EQ(less.body.find("\"kind\":\"jobs\""), std::string::npos);
}

// covers: S03_LOG_006 (third export)
TEST_F(LogExportTest, S03_LOG_006_two_at_once_and_one_whose_reader_goes_away) {
  // More than the connections hold: these exports wait for their readers.
  fill();
  const std::string path = "/api/v1/logs/export?format=ndjson&include=control_plane";
  auto first = std::make_unique<RawClient>(cp.app().port());
  auto second = std::make_unique<RawClient>(cp.app().port());
  for (RawClient* client : {first.get(), second.get()}) {
    client->send(request(path, token));
    ASSERT_TRUE(client->read_some(1));
  }
  const RawResponse third = fetch(path, token);
  EXPECT_EQ(third.status, 429) << third.body;
  EXPECT_NE(third.body.find("export_busy"), std::string::npos);
  EXPECT_EQ(audited("logs_exported"), 2) << "what is refused exports nothing";
  first->reset();
  int status = 429;
  for (int i = 0; i < 500 && status == 429; ++i) status = fetch(path, token).status;
  EXPECT_EQ(status, 200) << "its place was not given back";
  // The other goes on to its end.
  EXPECT_NE(second->read_to_end().find("\"kind\":\"end\",\"ok\":true"), std::string::npos);
}

TEST_F(LogExportTest, AShutdownBreaksAnExportOff) {
  fill();
  RawClient client(cp.app().port());
  client.send(request("/api/v1/logs/export?format=ndjson&include=control_plane", token));
  ASSERT_TRUE(client.read_some(1));
  std::jthread stopping([&] { cp.stop(); });
  EXPECT_EQ(client.read_to_end().find("\"kind\":\"end\""), std::string::npos) << "the reader sees that it is not whole";
}

TEST_F(LogExportTest, AnOwnerExportsItsDeploymentAlone) {
  FakeAgent& first = agents.add();
  first.join();
  agents.add().join();
  const std::string one = deploy_one();
  const std::string two = deploy_one("", "other");
  start(one);
  agent_of(one).script.logs = line_of("hello") + kEnd;
  const std::string path = "/api/v1/deployments/" + one + "/logs/export?format=ndjson";
  const RawResponse answer = fetch(path, account.key);
  ASSERT_EQ(answer.status, 200) << answer.body;
  EXPECT_NE(answer.body.find("\"hello\""), std::string::npos);
  EXPECT_NE(answer.body.find(R"("type":"event")"), std::string::npos);
  EXPECT_EQ(answer.body.find(two), std::string::npos);
  EXPECT_EQ(answer.body.find("control_plane"), std::string::npos);
  EXPECT_EQ(fetch(path, make("foreign").key).status, 404);
  EXPECT_EQ(fetch("/api/v1/logs/export", account.key).status, 403);
  EXPECT_EQ(audited("logs_exported"), 1);
}

TEST_F(LogExportTest, ParametersAreChecked) {
  const std::string id = "0190a000-0000-7000-8000-0000000000d1";
  std::string many;
  for (int i = 0; i < 21; ++i) many += "&deployment_id=0190a000-0000-7000-8000-0000000000" + std::to_string(10 + i);
  for (const std::string& bad :
       {std::string("include=secrets"), std::string("format=zip"), std::string("since=x"), std::string("min_level=x"),
        std::string("deployment_id=7"), std::string("tail=5"), many})
    EXPECT_EQ(as(token, "GET", "/api/v1/logs/export?" + bad).code(), "invalid_request") << bad;
  EXPECT_EQ(audited("logs_exported"), 0);
  const RawResponse none = fetch("/api/v1/logs/export?format=ndjson&include=deployments&deployment_id=" + id, token);
  EXPECT_TRUE(none.body.starts_with("{\"kind\":\"end\",\"ok\":true")) << none.body;
}

}  // namespace
}  // namespace ee::testing
