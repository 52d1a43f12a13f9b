#include "cp/domain/settings_rows.h"

namespace ee::cp::rows {
namespace {

std::optional<SettingProblem> zero_or_a_minute(const SettingValue& value, const SettingsContext&) {
  const std::int64_t seconds = std::get<std::int64_t>(value);
  if (seconds == 0 || seconds >= 60) return std::nullopt;
  return SettingProblem{"below_min", "must be 0, which means never, or at least 60"};
}

void add_health(Rows& rows) {
  rows.push_back(integer(Setting::agents_stale_hours, "agents.stale_hours", 1, 720, "AGENT_STALE_HOURS",
                         "Silence after which an agent without work is deleted.")
                     .by_default(number<24>)
                     .in("hours"));
  rows.push_back(seconds(Setting::agents_health_interval_seconds, "agents.health_interval_seconds", 5, 600,
                         "EE_AGENT_HEALTH_INTERVAL_SECONDS", "How often agents send a heartbeat.")
                     .by_default(number<30>));
  rows.push_back(seconds(Setting::agents_health_timeout_seconds, "agents.health_timeout_seconds", 1, 60,
                         "EE_AGENT_HEALTH_TIMEOUT_SECONDS", "Time for one probe of an agent's tunnel.")
                     .by_default(number<5>));
  rows.push_back(integer(Setting::agents_down_after_failures, "agents.down_after_failures", 1, 20,
                         "EE_AGENT_DOWN_AFTER", "Bad heartbeats in a row that make an agent unhealthy.")
                     .by_default(number<3>));
  rows.push_back(integer(Setting::agents_up_after_successes, "agents.up_after_successes", 1, 20, "EE_AGENT_UP_AFTER",
                         "Good heartbeats in a row that make it healthy again.")
                     .by_default(number<2>));
  rows.push_back(seconds(Setting::agents_disconnect_poweroff_seconds, "agents.disconnect_poweroff_seconds", 0, 86400,
                         "EE_AGENT_DISCONNECT_POWEROFF_SECONDS",
                         "Time without the control plane after which a launched machine powers off; 0: never.")
                     .by_default(number<0>)
                     .checked_in_stage(zero_or_a_minute));
  rows.push_back(seconds(Setting::agents_silence_seconds, "agents.silence_seconds", 30, 3600,
                         "EE_AGENT_SILENCE_SECONDS", "Silence that makes an agent unhealthy.")
                     .by_default(number<90>));
  rows.push_back(seconds(Setting::agents_lost_after_seconds, "agents.lost_after_seconds", 60, 3600,
                         "EE_AGENT_LOST_AFTER_SECONDS",
                         "Silence after which an agent's deployment is placed elsewhere.")
                     .by_default(number<180>));
}

void add_identity(Rows& rows) {
  rows.push_back(seconds(Setting::agents_takeover_after_seconds, "agents.takeover_after_seconds", 30, 3600,
                         "EE_AGENT_TAKEOVER_AFTER_SECONDS",
                         "Silence after which another instance may take an ownerless agent's name.")
                     .by_default(number<120>));
  rows.push_back(
      boolean(Setting::agents_require_bootstrap_token, "agents.require_bootstrap_token",
              "EE_AGENT_REQUIRE_BOOTSTRAP_TOKEN", "Whether a new agent needs a token of its owner.")
          .by_default([](const SettingsContext& context) -> SettingValue { return context.stage != Stage::dev; })
          .strictest(true)
          .guarded());
  rows.push_back(seconds(Setting::agents_credential_rotate_seconds, "agents.credential_rotate_seconds", 3600, 2592000,
                         "EE_AGENT_CREDENTIAL_ROTATE_SECONDS", "How long an agent's credential lasts.")
                     .by_default(number<604800>));
  rows.push_back(integer(Setting::agents_max_agents, "agents.max_agents", 1, 1000000, "EE_AGENT_MAX",
                         "Most agents that may register.")
                     .by_default(number<200000>));
  rows.push_back(
      list(Setting::agents_direct_url_cidrs, "agents.direct_url_cidrs", 0, 50, "EE_AGENT_DIRECT_URL_CIDRS",
           "Address ranges of agents that are reached without a tunnel; used in development only.")
          .by_default([](const SettingsContext&) -> SettingValue { return std::vector<std::string>{"127.0.0.0/8"}; })
          .checked(must_be_cidr));
  rows.push_back(list(Setting::agents_reserved_labels, "agents.reserved_labels", 0, 100, "EE_AGENT_RESERVED_LABELS",
                      "Host names that no agent gets, besides the built-in ones.")
                     .checked(must_be_dns_label));
  rows.push_back(boolean(Setting::agents_destructive_requires_oidc, "agents.destructive_requires_oidc",
                         "EE_AGENT_DESTRUCTIVE_REQUIRES_OIDC",
                         "Whether owners delete and reset agents by GitHub OIDC only.")
                     .by_default(flag<false>));
}

}  // namespace

void add_agents(Rows& rows) {
  add_health(rows);
  add_identity(rows);
}

void add_ops(Rows& rows) {
  rows.push_back(seconds(Setting::ops_backup_interval_seconds, "ops.backup_interval_seconds", 3600, 604800,
                         "EE_BACKUP_INTERVAL_SECONDS", "How often the database is backed up.")
                     .by_default(number<86400>));
  rows.push_back(
      integer(Setting::ops_backup_keep, "ops.backup_keep", 1, 365, "EE_BACKUP_KEEP", "Backups that are kept.")
          .by_default(number<14>));
  rows.push_back(integer(Setting::ops_audit_retention_days, "ops.audit_retention_days", 90, 3650,
                         "EE_AUDIT_RETENTION_DAYS", "How long audit rows are kept.")
                     .by_default(number<400>)
                     .in("days"));
  rows.push_back(list(Setting::ops_cors_origins, "ops.cors_origins", 0, 20, "EE_CORS_ORIGINS",
                      "Origins whose pages may call the API.")
                     .checked(must_be_origin));
  rows.push_back(integer(Setting::ops_rate_limit_scale_percent, "ops.rate_limit_scale_percent", 10, 1000,
                         "EE_RATE_LIMIT_SCALE", "Factor on all rate limits.")
                     .by_default(number<100>)
                     .in("percent"));
}

}  // namespace ee::cp::rows
