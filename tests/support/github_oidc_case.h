#pragma once
#include <gtest/gtest.h>

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <string>
#include <vector>

#include "tests/support/github_case.h"

namespace ee::testing {

/// A control plane, the GitHub stand-in, and tokens of workflows.
class GithubOidcTest : public ::testing::Test {
 protected:
  boost::json::object claims() const { return test.github.claims(GithubCase::kAudience); }
  boost::json::object with(const char* name, boost::json::value value) const {
    boost::json::object out = claims();
    out[name] = std::move(value);
    return out;
  }
  boost::json::object without(const char* name) const {
    boost::json::object out = claims();
    out.erase(name);
    return out;
  }
  std::string token() const { return test.github.token(claims()); }
  std::string token(const boost::json::object& claims) const { return test.github.token(claims); }

  TestAnswer get(const std::string& jwt, const std::string& address = "") {
    return test.cp->call("GET", "/auth/me", "", {{"Authorization", "Bearer " + jwt}}, address);
  }
  /// A state-changing request. This one is for administrators: 403 `admin_required` means that the token was accepted.
  TestAnswer post(const std::string& jwt) {
    return test.cp->call("POST", "/api/v1/admin/jobs/write_probe/run", "", {{"Authorization", "Bearer " + jwt}});
  }
  std::string verdict(const std::string& jwt) {
    const TestAnswer answer = get(jwt);
    return answer.status == 200 ? "ok" : answer.code();
  }
  std::vector<std::string> refusals() { return test.audited("oidc_refused"); }
  void linked_account(const std::string& policy = "owner", const std::string& status = "active") {
    account = test.account("octo", policy, status);
    test.link(account, 9001, "octo-org");
  }
  void rule(const std::string& column, const std::string& value) {
    test.cp->execute("DELETE FROM oidc_rules");
    test.cp->execute("INSERT INTO oidc_rules (id, account_id, " + column +
                         ", created_at, created_by) VALUES ('r1', :account, :value, 1, 'test')",
                     {{"account", account}, {"value", value}});
  }

  GithubCase test;
  AccountId account;
};

}  // namespace ee::testing
