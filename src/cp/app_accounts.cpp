// Composition of accounts: who asks, their keys, sessions and identities.
#include "common/log.h"
#include "cp/app_parts.h"
#include "cp/domain/agent.h"
#include "cp/settings_views.h"

namespace ee::cp {

SettingsWatch::Line SettingsWatch::listen(SettingsService& settings) {
  auto heard_by = std::make_shared<std::atomic<SettingsWatch*>>(nullptr);
  settings.on_change([heard_by](const SettingsSnapshot&) {
    if (SettingsWatch* watch = heard_by->load()) watch->look_();
  });
  return heard_by;
}

SettingsWatch::SettingsWatch(Line heard_by, SettingsService& settings, std::function<void()> look)
    : heard_by_(std::move(heard_by)), settings_(settings), look_(std::move(look)) {
  heard_by_->store(this);
  look_();
}

SettingsWatch::~SettingsWatch() {
  heard_by_->store(nullptr);
  settings_.settle();  // a reload that is under way may still be here
}

void build_accounts(App::Parts& parts) {
  AppWorld& world = parts.world;
  parts.password_change = std::make_unique<SettingsWatch>(parts.settings_heard_by_password, *parts.settings, [&parts] {
    if (const auto ended = parts.sessions->end_if_password_changed(); !ended)
      log::error("auth", "sessions of another password could not be ended", {{"code", ended.error().code}});
  });
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
