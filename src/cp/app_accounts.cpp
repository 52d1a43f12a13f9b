// Composition of accounts: who asks, their keys, sessions and identities.
#include "cp/app_parts.h"
#include "cp/domain/agent.h"
#include "cp/settings_views.h"

namespace ee::cp {

void build_accounts(App::Parts& parts) {
  AppWorld& world = parts.world;
  parts.session_list = std::make_unique<SessionList>(SessionList::Parts{
      .database = *parts.database,
      .authenticator = *parts.authenticator,
      .clock = world.clock,
      .random = world.random,
      .settings = [&parts] { return views::auth(parts.snapshot()->resolved().values, parts.config); }});
  parts.accounts = std::make_unique<Accounts>(
      Accounts::Parts{.database = *parts.database,
                      .authenticator = *parts.authenticator,
                      .clock = world.clock,
                      .random = world.random,
                      .holds = parts.account_holds,
                      .signup_mode = [&parts] { return views::signup_mode(parts.snapshot()->resolved().values); }});
  parts.api_keys = std::make_unique<ApiKeys>(ApiKeys::Parts{.database = *parts.database,
                                                            .authenticator = *parts.authenticator,
                                                            .clock = world.clock,
                                                            .random = world.random});
  parts.identities = std::make_unique<AccountIdentities>(AccountIdentities::Parts{
      .database = *parts.database, .clock = world.clock, .random = world.random, .holds = parts.account_holds});
}

}  // namespace ee::cp
