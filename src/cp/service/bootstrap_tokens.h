#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "cp/domain/identity_rules.h"
#include "cp/store/account_store.h"
#include "cp/store/enrollment_token_store.h"
#include "db/database.h"

namespace ee::cp {

/// The token that a registration showed, its hash already compared (Argon2 has no place in a transaction).
struct PresentedToken {
  /// Nothing: not a token that we know. It is refused later, where every other cause is, so that no caller learns
  /// which.
  std::optional<std::string> enrollment_token_id = {};
};

/// What a registration says of itself, as far as a token may demand it.
struct RedeemFacts {
  std::string node_size = {};
  std::string datacenter = {};
};

/// Makes owners of tokens that agents register with (02 section 4.3). Stateless but for the database; thread-safe.
class BootstrapTokens {
 public:
  explicit BootstrapTokens(db::Database& database) : database_(database) {}

  /// Errors: `auth_unavailable` (a stored hash is not usable), those of the database.
  Result<PresentedToken> present(std::string_view text) const;

  /// Inside the registration's transaction, for evidence that was accepted. `existing` is the row with the same
  /// `vm_name`, if there is one: the account of such an agent may use its token again, without counting, and after
  /// the token has expired. For a new agent one conditional update decides alone.
  Result<TokenOutcome> redeem(db::Transaction& tx, const PresentedToken& token, const RedeemFacts& facts,
                              const AgentRow* existing, UtcTime now) const;

 private:
  Result<TokenOutcome> redeem_new(db::Transaction& tx, const EnrollmentTokenRow& token, AccountStatus status,
                                  UtcTime now) const;

  db::Database& database_;
  EnrollmentTokenStore tokens_;
  AccountStore accounts_;
};

}  // namespace ee::cp
