#include "cp/service/tunnel_cleaner.h"

#include "cp/domain/agent_changes.h"
#include "cp/store/audit_log_store.h"

namespace ee::cp {
namespace {

using cloudflare::Failure;

/// Cloudflare needs a moment to notice that the connections are gone.
constexpr Seconds kAfterDroppedConnections{10};

}  // namespace

Result<std::optional<TunnelCleaner::Work>> TunnelCleaner::claim(const AgentId& agent) {
  const UtcTime now = parts_.clock.now();
  return parts_.database.write<std::optional<Work>>([&](db::Transaction& tx) -> Result<std::optional<Work>> {
    const auto before = agents_.get(tx, agent);
    if (!before) return std::unexpected(before.error());
    if (!*before) return std::optional<Work>{};
    AgentRow after = **before;
    const bool deleting_agent = after.status == AgentStatus::deleting;
    if (!deleting_agent && after.tunnel_state != TunnelState::deleting) return std::optional<Work>{};
    auto& next = deleting_agent ? after.cleanup_next_attempt_at : after.tunnel_next_attempt_at;
    if (next && *next > now) return std::optional<Work>{};
    next = now + kTunnelClaim;
    const auto written = agents_.update(tx, **before, after, now);
    if (!written) return std::unexpected(written.error());
    if (!*written) return std::optional<Work>{};
    return std::optional(
        Work{.row = std::move(after), .claimed_until = now + kTunnelClaim, .deleting_agent = deleting_agent});
  });
}

TunnelCleaner::Outcome TunnelCleaner::clean(const AgentId& agent, const cloudflare::CallContext& context) {
  const auto work = claim(agent);
  if (!work) return Outcome::no_database;
  if (!*work) return Outcome::not_claimed;
  const AgentRow& row = (**work).row;
  if (may_have_tunnel(row)) {
    const auto removed = remove_tunnel_resources(parts_, tunnel_resources_of(row), context);
    if (!removed) {
      parts_.count("remove", to_string(removed.error().failure));
      return postpone(**work, removed.error()) ? Outcome::failed : Outcome::no_database;
    }
    parts_.count("remove", "ok");
  }
  const auto finished = finish(**work);
  if (!finished) return Outcome::no_database;
  return *finished ? Outcome::done : Outcome::not_claimed;
}

bool TunnelCleaner::still_claimed(const AgentRow& row, const Work& work) const {
  if (work.deleting_agent)
    return row.status == AgentStatus::deleting && row.cleanup_next_attempt_at == work.claimed_until;
  return row.status != AgentStatus::deleting && row.status != AgentStatus::deleted &&
         row.tunnel_state == TunnelState::deleting && row.tunnel_next_attempt_at == work.claimed_until;
}

/// C4.
Result<bool> TunnelCleaner::finish(const Work& work) {
  const UtcTime now = parts_.clock.now();
  const auto row =
      parts_.database.write<std::optional<AgentRow>>([&](db::Transaction& tx) -> Result<std::optional<AgentRow>> {
        const auto before = agents_.get(tx, work.row.id);
        if (!before) return std::unexpected(before.error());
        if (!*before || !still_claimed(**before, work)) return std::optional<AgentRow>{};
        AgentRow after = **before;
        if (work.deleting_agent) {
          if (const auto moved = change_state(after, AgentEvent::cleanup_done, facts_of(after), now); !moved)
            return std::unexpected(moved.error());
        } else {
          after.tunnel_name.reset();
          after.tunnel_id.reset();
          after.dns_record_id.reset();
          after.tunnel_token.reset();
          after.tunnel_error.reset();
          after.tunnel_attempts = 0;
          // One that registered again meanwhile wants a tunnel again.
          const bool trusted = after.attestation_state != AttestationState::failed;
          after.tunnel_state = trusted ? TunnelState::pending : TunnelState::none;
          after.tunnel_next_attempt_at = trusted ? std::optional(now) : std::nullopt;
        }
        if (may_have_tunnel(**before)) {
          const auto audited = AuditLogStore().append(tx,
                                                      {.actor = "system:tunnel_worker",
                                                       .action = "tunnel_deleted",
                                                       .object_type = "agent",
                                                       .object_id = after.id.str()},
                                                      now, parts_.random);
          if (!audited) return std::unexpected(audited.error());
        }
        const auto written = agents_.update(tx, **before, after, now);
        if (!written) return std::unexpected(written.error());
        if (!*written) return fail(ErrorCode::concurrent_update);
        return std::optional(std::move(after));
      });
  if (!row) return std::unexpected(row.error());
  if (*row) parts_.directory.put(**row);
  return row->has_value();
}

Result<bool> TunnelCleaner::postpone(const Work& work, const cloudflare::CloudflareError& error) {
  const UtcTime now = parts_.clock.now();
  const bool counted = !is_not_this_tunnels_fault(error.failure) && error.failure != Failure::has_connections;
  return parts_.database.write<bool>([&](db::Transaction& tx) -> Result<bool> {
    const auto before = agents_.get(tx, work.row.id);
    if (!before) return std::unexpected(before.error());
    if (!*before || !still_claimed(**before, work)) return false;
    AgentRow after = **before;
    auto& attempts = work.deleting_agent ? after.cleanup_attempts : after.tunnel_attempts;
    auto& next = work.deleting_agent ? after.cleanup_next_attempt_at : after.tunnel_next_attempt_at;
    after.tunnel_error = error.short_text();
    if (counted) {
      ++attempts;
      next = now + tunnel_backoff(attempts, parts_.random);
    } else if (error.failure == Failure::has_connections) {
      next = now + kAfterDroppedConnections;
    } else {
      next = now + error.retry_after.value_or(Seconds(5));
    }
    return agents_.update(tx, **before, after, now);
  });
}

}  // namespace ee::cp
