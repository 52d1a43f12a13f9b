// Every kind of credential is pushed through each way out: logs, problems, the audit log, and what exports of both
// give.
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "common/log.h"
#include "common/problem.h"
#include "cp/account_fixture.h"
#include "cp/service/log_buffer.h"
#include "cp/store/audit_log_store.h"
#include "net/curl_http_client.h"

namespace ee::testing {
namespace {

/// There before the control plane is.
struct KeptLog {
  std::shared_ptr<cp::LogBuffer> buffer = std::make_shared<cp::LogBuffer>(5000);
};

class RedactionTest : public KeptLog, public AccountFixture {
 protected:
  RedactionTest()
      : AccountFixture([this] {
          TestControlPlane::Options wanted;
          wanted.logs = buffer;
          return wanted;
        }()) {}

  /// Genuine ones of our own, and one of each shape of others.
  std::vector<std::string> corpus() {
    std::vector<std::string> all = {"eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJvY3RvIn0.c2lnbmF0dXJlLWJ5dGVzLW9mLWEtdG9rZW4",
                                    "sk_live_51HCOXXAaYYbbiuYYuu990011",
                                    "sk_test_51HCOXXAaYYbbiuYYuu990022",
                                    "rk_live_51HCOXXAaYYbbiuYYuu990033",
                                    "rk_test_51HCOXXAaYYbbiuYYuu990044",
                                    "whsec_uNdErScOrEd0123456789",
                                    "pi_3MtwBwLkdIwHu7ix28a3tqPa_secret_YrKJUKribcBjcG8HVhfZluoGH",
                                    "gho_16C7e42F292c6912E7710c838347Ae178B1a",
                                    "ghp_16C7e42F292c6912E7710c838347Ae178B2a",
                                    "ghs_16C7e42F292c6912E7710c838347Ae178B3a",
                                    "ghu_16C7e42F292c6912E7710c838347Ae178B4a"};
    for (const CredentialKind kind : {CredentialKind::live, CredentialKind::sess, CredentialKind::agent,
                                      CredentialKind::boot, CredentialKind::enroll, CredentialKind::svc})
      all.push_back(new_credential(kind, cp.random)->text.reveal());
    all.push_back(hash_token(Secret("a credential"), cp.random).value());
    return all;
  }
  static std::string tail_of(const std::string& secret) { return secret.substr(secret.size() - 12); }
  /// As a client on the network gets it, to its end.
  std::string fetch(const std::string& path) {
    HttpClientRequest request{.method = "GET", .url = cp.app().url() + path};
    request.headers.push_back({"Authorization", "Bearer " + cp.admin_token()});
    request.max_response_bytes = 64UL * 1024 * 1024;
    const auto answer = net::CurlHttpClient().send(request);
    EXPECT_TRUE(answer) << path;
    if (!answer) return {};
    EXPECT_EQ(answer->status, 200) << path << answer->body;
    return answer->body;
  }
};

// covers: S04_AUTH_RED_001
TEST_F(RedactionTest, NoCredentialLeavesInClear) {
  const std::vector<std::string> secrets = corpus();
  log::Logger logger({.level = log::Level::debug, .queue_size = 0}, {buffer}, cp.clock);
  std::string problems;
  for (const std::string& secret : secrets) {
    logger.write(log::Level::error, "redaction", "marked: failed with " + secret, {{"note", "got " + secret}});
    problems += problem_json({.code = ErrorCode::invalid_request,
                              .detail = "marked: " + secret,
                              .fields = {{.field = secret, .code = "bad_format", .detail = "was " + secret}},
                              .members = {{"note", secret}}},
                             "r");
    const std::string detail = boost::json::serialize(boost::json::object{
        {"note", "marked: " + secret}, {"list", boost::json::array{secret}}, {secret, "as a name"}});
    ASSERT_TRUE(cp.app().database().write<std::string>([&](db::Transaction& tx) {
      return cp::AuditLogStore().append(tx, {.actor = "system:redaction", .action = "redaction", .detail = detail},
                                        cp.clock.now(), cp.random);
    }));
  }
  const auto stored = cp.values<std::string>("SELECT detail FROM audit_log WHERE action='redaction'");
  ASSERT_EQ(stored.size(), secrets.size());
  std::string rows;
  for (const std::string& row : stored) rows += row;
  const std::map<std::string, std::string> ways_out = {
      {"problems", problems},
      {"audit rows", rows},
      {"audit", cp.admin("GET", "/api/v1/admin/audit?action=redaction&limit=200").body},
      {"audit export", fetch("/api/v1/admin/audit/export?action=redaction")},
      {"logs", cp.admin("GET", "/api/v1/logs/control-plane?component=redaction&limit=200").body},
      {"log export", fetch("/api/v1/logs/export?format=ndjson&include=control_plane")}};
  for (const auto& [name, text] : ways_out) {
    std::size_t marks = 0;
    for (std::size_t at = text.find("marked: "); at != std::string::npos; at = text.find("marked: ", at + 1)) ++marks;
    EXPECT_GE(marks, secrets.size()) << name << " has not all of them: the search below would prove nothing";
    for (const std::string& secret : secrets)
      EXPECT_EQ(text.find(tail_of(secret)), std::string::npos) << name << " shows " << secret;
  }
}

}  // namespace
}  // namespace ee::testing
