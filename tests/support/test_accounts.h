#pragma once
#include <string>

#include "common/id.h"
#include "common/time.h"
#include "tests/support/test_database.h"

namespace ee::testing {

/// The id of the n-th test account, n in 0..9999: a UUIDv7 of the same time for all.
inline AccountId test_account_id(int n) {
  const std::string digits = std::to_string(10000 + n).substr(1);
  return AccountId("01900000-0000-7000-8000-00000000" + digits);
}

/// Writes an account with its balance row by `execute(sql, params)`: of a TestDatabase or a TestControlPlane.
template <class Target>
AccountId add_test_account(Target& target, int n, std::int64_t credit_limit_micros = 0,
                           const std::string& status = "active", UtcTime at = from_unix_ms(1767225600000),
                           const std::string& type = "deployer") {
  const AccountId id = test_account_id(n);
  target.execute(
      "INSERT INTO accounts (id, name, account_type, status, credit_limit_micros, created_at, created_by, updated_at) "
      "VALUES (:id, :name, :type, :status, :limit, :at, 'test', :at)",
      {{"id", id},
       {"name", "account-" + std::to_string(n)},
       {"type", type},
       {"status", status},
       {"limit", credit_limit_micros},
       {"at", at}});
  target.execute("INSERT INTO account_balances (account_id, updated_at, state_since_at) VALUES (:id, :at, :at)",
                 {{"id", id}, {"at", at}});
  return id;
}

}  // namespace ee::testing
