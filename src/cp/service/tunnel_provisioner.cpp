#include "cp/service/tunnel_provisioner.h"

#include <algorithm>
#include <tuple>

#include "cp/domain/tunnel_names.h"
#include "cp/service/tunnel_removal.h"
#include "cp/store/audit_log_store.h"

namespace ee::cp {
namespace {

using cloudflare::CfResult;
using cloudflare::CloudflareError;
using cloudflare::Failure;

bool may_have_a_tunnel(const AgentRow& row) {
  const bool live = row.status != AgentStatus::deleting && row.status != AgentStatus::deleted;
  return live && row.attestation_state != AttestationState::failed;
}

bool wants_work(const AgentRow& row, UtcTime now) {
  switch (row.tunnel_state) {
    case TunnelState::pending:
    case TunnelState::failed: return true;
    case TunnelState::provisioning: return !row.tunnel_next_attempt_at || *row.tunnel_next_attempt_at <= now;
    default: return false;
  }
}

CloudflareError transient(std::string_view what) {
  return {.failure = Failure::transient, .detail = std::string(what)};
}

}  // namespace

/// The tunnel of one agent while it is being made: the row as last stored, and the claim on it.
struct TunnelProvisioner::Work {
  AgentRow row;
  UtcTime claimed_until;
  TunnelSettings settings;
  cloudflare::CallContext context;
};

Result<std::optional<AgentRow>> TunnelProvisioner::claim(const AgentId& agent, Outcome& refused) {
  const TunnelSettings settings = parts_.settings();
  const UtcTime now = parts_.clock.now();
  refused = Outcome::not_claimed;
  if (!settings.configured || settings.mode != TunnelMode::per_agent) return std::optional<AgentRow>{};
  return parts_.database.write<std::optional<AgentRow>>([&](db::Transaction& tx) -> Result<std::optional<AgentRow>> {
    const auto before = agents_.get(tx, agent);
    if (!before) return std::unexpected(before.error());
    if (!*before || !(*before)->hostname || !may_have_a_tunnel(**before) || !wants_work(**before, now))
      return std::optional<AgentRow>{};
    AgentRow after = **before;
    if (!after.tunnel_id) {
      const auto used = agents_.count_tunnels(tx);
      if (!used) return std::unexpected(used.error());
      const std::int64_t others = *used - (after.tunnel_state == TunnelState::provisioning ? 1 : 0);
      if (others >= settings.max_tunnels) refused = Outcome::quota;
    }
    if (refused == Outcome::quota) {
      after.tunnel_state = TunnelState::pending;
      after.tunnel_error = "tunnel_quota";
      after.tunnel_next_attempt_at = now + kTunnelClaim;
    } else {
      after.tunnel_state = TunnelState::provisioning;
      after.tunnel_name = tunnel_name(settings.cluster_id, agent);
      after.tunnel_next_attempt_at = now + kTunnelClaim;
    }
    const auto written = agents_.update(tx, **before, after, now);
    if (!written) return std::unexpected(written.error());
    if (!*written) return std::optional<AgentRow>{};
    return std::optional(std::move(after));
  });
}

TunnelProvisioner::Outcome TunnelProvisioner::provision(const AgentId& agent, const cloudflare::CallContext& context) {
  Outcome refused = Outcome::not_claimed;
  auto claimed = claim(agent, refused);
  if (!claimed) return Outcome::no_database;
  if (!*claimed) return Outcome::not_claimed;
  parts_.directory.put(**claimed);
  if (refused == Outcome::quota) {
    parts_.count("provision", "quota");
    return Outcome::quota;
  }
  Work work{.row = std::move(**claimed), .claimed_until = {}, .settings = parts_.settings(), .context = context};
  work.claimed_until = *work.row.tunnel_next_attempt_at;
  const Step step = run(work);
  if (step) {
    parts_.count("provision", "ok");
    return Outcome::ready;
  }
  return give_up(work, step.error());
}

TunnelProvisioner::Step TunnelProvisioner::run(Work& work) {
  // A second round follows when the tunnel that the row names is gone: it is forgotten and made anew.
  for (int round = 0;; ++round) {
    if (!work.row.tunnel_id || !work.row.tunnel_token) {
      if (Step made = make_tunnel(work); !made) return made;
    }
    // One label after the other, until a host name is free in DNS too.
    for (;;) {
      if (Step configured = configure(work); !configured) {
        const bool gone =
            configured.error().kind == Stop::Kind::cloudflare && configured.error().error.failure == Failure::gone;
        if (!gone || round > 0) return configured;
        if (Step forgotten = save(work,
                                  [](AgentRow& row) {
                                    row.tunnel_id.reset();
                                    row.tunnel_token.reset();
                                  });
            !forgotten)
          return forgotten;
        break;
      }
      Step recorded = make_record(work);
      if (recorded) return recorded;
      if (recorded.error().kind != Stop::Kind::no_label) return recorded;
      if (Step moved = take_next_label(work); !moved) return moved;
    }
  }
}

/// P1: create, or find and adopt what an attempt before has made.
TunnelProvisioner::Step TunnelProvisioner::make_tunnel(Work& work) {
  if (work.settings.is_protected(*work.row.tunnel_name))
    return std::unexpected(Stop{.error = {.failure = Failure::refused, .detail = "the tunnel's name is protected"}});
  const auto created = parts_.cloudflare.create_tunnel(*work.row.tunnel_name, work.context);
  if (!created) {
    if (created.error().failure == Failure::name_exists) return adopt_tunnel(work);
    return std::unexpected(Stop{.error = created.error()});
  }
  Secret token = created->token;
  if (token.empty()) {
    auto asked = parts_.cloudflare.tunnel_token(created->id, work.context);
    if (!asked) return std::unexpected(Stop{.error = asked.error()});
    token = std::move(*asked);
  }
  work.row.tunnel_id = created->id;  // held even if it cannot be stored: then it is removed again
  return save(work, [&](AgentRow& row) {
    row.tunnel_id = created->id;
    row.tunnel_token = token;
  });
}

TunnelProvisioner::Step TunnelProvisioner::adopt_tunnel(Work& work) {
  const auto found = parts_.cloudflare.find_tunnels(*work.row.tunnel_name, work.context);
  if (!found) return std::unexpected(Stop{.error = found.error()});
  if (found->size() != 1)
    return std::unexpected(Stop{.error = transient("the tunnel's name exists, the tunnel does not")});
  const auto token = parts_.cloudflare.tunnel_token(found->front().id, work.context);
  if (!token) return std::unexpected(Stop{.error = token.error()});
  parts_.count("adopt", "ok");
  work.row.tunnel_id = found->front().id;
  return save(work, [&](AgentRow& row) {
    row.tunnel_id = found->front().id;
    row.tunnel_token = *token;
  });
}

/// P2.
TunnelProvisioner::Step TunnelProvisioner::configure(Work& work) {
  const auto configured = parts_.cloudflare.configure_tunnel(*work.row.tunnel_id, *work.row.hostname,
                                                             std::string(kTunnelOrigin), work.context);
  if (!configured) return std::unexpected(Stop{.error = configured.error()});
  return {};
}

/// P3. `no_label`: the host name belongs to somebody else.
TunnelProvisioner::Step TunnelProvisioner::make_record(Work& work) {
  const std::string& hostname = *work.row.hostname;
  const std::string target = tunnel_target(*work.row.tunnel_id);
  const std::string comment = dns_comment(work.settings.cluster_id, work.row.id);
  if (work.row.dns_record_id) {
    Step updated = update_record(work, *work.row.dns_record_id);
    const bool gone =
        !updated && updated.error().kind == Stop::Kind::cloudflare && updated.error().error.failure == Failure::gone;
    if (!gone) return updated;
  }
  const auto created = parts_.cloudflare.create_record(hostname, target, comment, work.context);
  std::string record_id;
  if (created) {
    record_id = *created;
  } else {
    if (created.error().failure != Failure::record_exists) return std::unexpected(Stop{.error = created.error()});
    const auto found = parts_.cloudflare.find_records(hostname, work.context);
    if (!found) return std::unexpected(Stop{.error = found.error()});
    const auto ours = std::ranges::find_if(*found, [&](const cloudflare::DnsRecord& record) {
      return record.comment == comment || record.content == target;
    });
    if (ours == found->end()) return std::unexpected(Stop{.kind = Stop::Kind::no_label});
    return update_record(work, ours->id);
  }
  work.row.dns_record_id = record_id;
  return save(work, [&](AgentRow& row) {
    row.dns_record_id = record_id;
    row.tunnel_state = TunnelState::ready;
  });
}

TunnelProvisioner::Step TunnelProvisioner::update_record(Work& work, const std::string& record_id) {
  const auto updated =
      parts_.cloudflare.update_record(record_id, *work.row.hostname, tunnel_target(*work.row.tunnel_id),
                                      dns_comment(work.settings.cluster_id, work.row.id), work.context);
  if (!updated) return std::unexpected(Stop{.error = updated.error()});
  work.row.dns_record_id = record_id;
  return save(work, [&](AgentRow& row) {
    row.dns_record_id = record_id;
    row.tunnel_state = TunnelState::ready;
  });
}

TunnelProvisioner::Step TunnelProvisioner::take_next_label(Work& work) {
  const auto labels = host_labels(work.row.vm_name, work.row.id, work.settings.reserved_labels);
  const std::string suffix = "." + work.settings.domain;
  const auto current =
      std::ranges::find_if(labels, [&](const std::string& label) { return label + suffix == *work.row.hostname; });
  if (current == labels.end() || current + 1 == labels.end())
    return std::unexpected(Stop{.error = {.failure = Failure::record_exists, .detail = "no host name is free"}});
  const std::string next = *(current + 1) + suffix;
  return save(work, [&](AgentRow& row) {
    row.hostname = next;
    row.dns_record_id.reset();
  });
}

/// Stores a step on top of the row as it is now, as long as the claim on its tunnel is still this one: health and other
/// parts of the row may have changed meanwhile.
TunnelProvisioner::Step TunnelProvisioner::save(Work& work, const std::function<void(AgentRow&)>& change) {
  const UtcTime now = parts_.clock.now();
  auto saved =
      parts_.database.write<std::optional<AgentRow>>([&](db::Transaction& tx) -> Result<std::optional<AgentRow>> {
        const auto before = agents_.get(tx, work.row.id);
        if (!before) return std::unexpected(before.error());
        const bool ours = *before && may_have_a_tunnel(**before) &&
                          (*before)->tunnel_state == TunnelState::provisioning &&
                          (*before)->tunnel_next_attempt_at == work.claimed_until;
        if (!ours) return std::optional<AgentRow>{};
        AgentRow after = **before;
        change(after);
        if (after.tunnel_state == TunnelState::ready) {
          after.tunnel_attempts = 0;
          after.tunnel_error.reset();
          after.tunnel_next_attempt_at.reset();
          if (const auto audited = AuditLogStore().append(tx,
                                                          {.actor = "system:tunnel_worker",
                                                           .action = "tunnel_created",
                                                           .object_type = "agent",
                                                           .object_id = after.id.str()},
                                                          now, parts_.random);
              !audited)
            return std::unexpected(audited.error());
        }
        const auto written = agents_.update(tx, **before, after, now);
        if (!written) return std::unexpected(written.error());
        if (!*written) return fail(ErrorCode::concurrent_update);
        return std::optional(std::move(after));
      });
  if (!saved) return std::unexpected(Stop{.kind = Stop::Kind::database, .error = {.detail = saved.error().detail}});
  if (!*saved) return std::unexpected(Stop{.kind = Stop::Kind::lost});
  work.row = std::move(**saved);
  parts_.directory.put(work.row);
  return {};
}

TunnelProvisioner::Outcome TunnelProvisioner::give_up(Work& work, const Stop& stop) {
  if (stop.kind == Stop::Kind::database) {
    parts_.count("provision", "no_database");
    return Outcome::no_database;  // the claim ends by itself
  }
  if (stop.kind == Stop::Kind::lost) {
    undo(work);
    parts_.count("provision", "abandoned");
    return Outcome::abandoned;
  }
  const bool counted = !is_not_this_tunnels_fault(stop.error.failure);
  const std::int64_t attempts = work.row.tunnel_attempts + (counted ? 1 : 0);
  const UtcTime now = parts_.clock.now();
  const UtcTime next = now + (counted ? tunnel_backoff(attempts, parts_.random)
                                      : Milliseconds(stop.error.retry_after.value_or(Seconds(5))));
  const Step noted = save(work, [&](AgentRow& row) {
    row.tunnel_state = counted ? TunnelState::failed : TunnelState::pending;
    row.tunnel_attempts = attempts;
    row.tunnel_error = stop.error.short_text();
    row.tunnel_next_attempt_at = next;
  });
  parts_.count("provision", to_string(stop.error.failure));
  if (noted) return Outcome::failed;
  if (noted.error().kind == Stop::Kind::database) return Outcome::no_database;
  undo(work);
  return Outcome::abandoned;
}

/// The claim was lost. When the agent may not have a tunnel any more, what this attempt holds must go; when another
/// worker has taken over, it is that one's.
void TunnelProvisioner::undo(const Work& work) {
  const auto row =
      parts_.database.read<std::optional<AgentRow>>([&](db::Transaction& tx) { return agents_.get(tx, work.row.id); });
  if (!row) return;  // the orphan sweep will see it
  const bool unwanted = !*row || !may_have_a_tunnel(**row);
  if (!unwanted) return;
  // A failure is left to the clean-up of the row and to the orphan sweep: both find things by name.
  std::ignore = remove_tunnel_resources(parts_, tunnel_resources_of(work.row), work.context);
}

}  // namespace ee::cp
