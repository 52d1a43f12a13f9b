// Composition of everything that knows people and workflows through GitHub.
#include "common/log.h"
#include "cp/app_parts.h"
#include "cp/integration/github/github_keys.h"
#include "cp/settings_views.h"

namespace ee::cp {

std::shared_ptr<std::atomic<GithubRemovalWatch*>> GithubRemovalWatch::listen(SettingsService& settings) {
  auto heard_by = std::make_shared<std::atomic<GithubRemovalWatch*>>(nullptr);
  settings.on_change([heard_by](const SettingsSnapshot&) {
    if (GithubRemovalWatch* watch = heard_by->load()) watch->look();
  });
  return heard_by;
}

GithubRemovalWatch::GithubRemovalWatch(std::shared_ptr<std::atomic<GithubRemovalWatch*>> heard_by,
                                       SettingsService& settings, GithubLogin& login)
    : heard_by_(std::move(heard_by)), settings_(settings), login_(login) {
  heard_by_->store(this);
  look();
}

GithubRemovalWatch::~GithubRemovalWatch() {
  heard_by_->store(nullptr);
  settings_.settle();  // a reload that is under way may still be here
}

/// Only when it has just become so: the cleanup job repeats it, should the database fail now.
void GithubRemovalWatch::look() {
  if (login_.configured()) {
    was_configured_ = true;
    return;
  }
  if (!was_configured_.exchange(false)) return;
  if (const auto ended = login_.end_sessions_if_removed(); !ended) {
    was_configured_ = true;
    log::error("auth", "sessions through GitHub could not be ended", {{"code", ended.error().code}});
  }
}

void build_github(App::Parts& parts) {
  AppWorld& world = parts.world;
  const auto values = [&parts] { return parts.snapshot(); };
  parts.github_keys = std::make_unique<JwksCache>(parts.outbound.of("github"), world.clock, world.random,
                                                  github::signing_key_limits(parts.metrics, [&parts] {
                                                    if (parts.jobs) parts.jobs->wake("github_jwks_refresh");
                                                  }));
  parts.github_oidc = std::make_unique<GithubOidc>(
      GithubOidc::Parts{.database = *parts.database,
                        .keys = *parts.github_keys,
                        .clock = world.clock,
                        .random = world.random,
                        .settings = [values] { return views::github_oidc(values()->resolved().values); },
                        .metrics = parts.metrics});
  parts.authenticator->set_workflow_verifier([&parts](std::string_view jwt, const Credentials& credentials) {
    return parts.github_oidc->authenticate({.token = jwt,
                                            .state_changing = credentials.unsafe_method,
                                            .client_address = credentials.client_address,
                                            .request_id = credentials.request_id,
                                            .stop = credentials.stop});
  });
  parts.github =
      std::make_unique<github::Client>(parts.outbound.of("github"), world.clock, world.random, parts.metrics);
  parts.github_login = std::make_unique<GithubLogin>(
      GithubLogin::Parts{.database = *parts.database,
                         .github = *parts.github,
                         .sessions = *parts.sessions,
                         .clock = world.clock,
                         .random = world.random,
                         .settings = [values] { return views::github_login(values()->resolved().values); },
                         .auth = [&parts] { return views::auth(parts.snapshot()->resolved().values, parts.config); },
                         .metrics = parts.metrics});
  parts.github_removal =
      std::make_unique<GithubRemovalWatch>(parts.settings_heard_by_github, *parts.settings, *parts.github_login);
  const auto snapshot = parts.snapshot();
  if (parts.config.stage == Stage::staging && snapshot->flag(Setting::auth_require_github_oauth) &&
      !parts.github_login->configured())
    log::warn("auth", "sign-in through GitHub is required and not configured", {{"slug", "github_oauth_missing"}});
}

}  // namespace ee::cp
