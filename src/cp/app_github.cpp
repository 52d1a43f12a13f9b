// Composition of everything that knows people and workflows through GitHub.
#include "common/log.h"
#include "cp/app_parts.h"
#include "cp/integration/github/github_keys.h"
#include "cp/settings_views.h"

namespace ee::cp {

namespace {

/// Ends sessions that were begun through GitHub once the OAuth app is taken out of the settings.
class GithubRemoval {
 public:
  explicit GithubRemoval(GithubLogin& login) : login_(login) {}

  /// Only when it has just become so: the cleanup job repeats it, should the database fail now.
  void look() {
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

 private:
  GithubLogin& login_;
  std::atomic<bool> was_configured_ = true;
};

}  // namespace

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
  parts.github_removal = std::make_unique<SettingsWatch>(
      parts.settings_heard_by_github, *parts.settings,
      [removal = std::make_shared<GithubRemoval>(*parts.github_login)] { removal->look(); });
}

}  // namespace ee::cp
