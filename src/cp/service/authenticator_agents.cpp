// Credentials of agents.
#include "common/log.h"
#include "cp/domain/agent_deleted.h"
#include "cp/service/authenticator_parts.h"

namespace ee::cp {

Result<Principal> Authenticator::Impl::by_agent_credential(const Credential& credential,
                                                           const Credentials& credentials) {
  const auto at = now();
  if (const auto hit = cached(credential, at)) return agent_principal(*hit);
  if (auto allowed = check_throttle(credentials); !allowed) return std::unexpected(allowed.error());
  const std::uint64_t generation = cache.generation();
  const auto found = agent_credential(credential.lookup);
  if (!found) return std::unexpected(found.error());
  if (!*found) return refuse(credentials);
  const CredentialRow& row = (*found)->row;
  if (!is_usable(row, at.utc)) {
    if (auto gone = deleted_agent(row, credential)) return std::unexpected(std::move(*gone));
    return refuse(credentials);
  }
  if (auto fits = check_hash(row.secret_hash, credential); !fits)
    return fits.error().code == ErrorCode::invalid_credential ? refuse(credentials) : std::unexpected(fits.error());
  note_agent_use(**found);
  const UtcTime retires_at = row.state == CredentialState::retiring ? row.retire_at.value_or(at.utc) : row.expires_at;
  const VerifiedCredential verified{.subject = subject_of(row.agent_id),
                                    .expires_at = std::min(row.expires_at, retires_at),
                                    .kind = CredentialKind::agent};
  cache.insert(credential.text.reveal(), verified, generation, at, row.secret_hash);
  return agent_principal(verified);
}

Result<std::optional<AgentCredential>> Authenticator::Impl::agent_credential(std::string_view lookup) {
  return read<std::optional<AgentCredential>>([&](db::Transaction& tx) -> Result<std::optional<AgentCredential>> {
    auto row = agents.find(tx, lookup);
    if (!row) return std::unexpected(std::move(row.error()));
    if (!*row) return std::optional<AgentCredential>{};
    AgentCredential found{.row = std::move(**row)};
    if (found.row.state == CredentialState::active) {
      const auto retiring = agents.has_retiring(tx, found.row.agent_id);
      if (!retiring) return std::unexpected(retiring.error());
      found.replaces_another = *retiring;
    }
    return std::optional(std::move(found));
  });
}

/// The holder of a deleted agent's credential is told so, and why: it need not come back. Nothing for anybody else.
std::optional<Error> Authenticator::Impl::deleted_agent(const CredentialRow& row, const Credential& credential) {
  if (row.state != CredentialState::revoked || !check_hash(row.secret_hash, credential)) return std::nullopt;
  const auto agent = database.read<std::optional<DirectoryRow>>(
      [&](db::Transaction& tx) { return AgentStore().directory_row(tx, row.agent_id); });
  if (!agent || !*agent) return std::nullopt;
  const DirectoryRow& found = **agent;
  if (found.status != AgentStatus::deleting && found.status != AgentStatus::deleted) return std::nullopt;
  return agent_deleted_error(found.delete_reason);
}

/// The first use of an active credential ends the one that it replaced; and a use is noted once a day.
void Authenticator::Impl::note_agent_use(const AgentCredential& credential) {
  const CredentialRow& row = credential.row;
  const UtcTime at = clock.now();
  if (!credential.replaces_another) {
    const bool is_noted = row.last_used_at && at - *row.last_used_at < CredentialStore::kNoteUseEvery;
    if (!is_noted) agent_uses.note(row.lookup, {}, at);
    return;
  }
  using Lookups = std::vector<std::string>;
  const auto written = database.write<Lookups>([&](db::Transaction& tx) -> Result<Lookups> {
    const auto noted = agents.note_uses(tx, {{.key_id = row.lookup, .at = at, .client_address = {}}});
    if (!noted) return std::unexpected(noted.error());
    const auto current = agents.find(tx, row.lookup);  // a rotation may have come in between
    if (!current) return std::unexpected(current.error());
    if (!*current || (*current)->state != CredentialState::active) return Lookups{};
    return agents.revoke_retiring(tx, row.agent_id, at);
  });
  if (!written) {
    // The credential is good all the same, and the retiring one ends by itself.
    log::warn("auth", "the use of an agent credential could not be noted",
              {{"agent_id", row.agent_id}, {"code", written.error().code}});
  } else if (!written->empty()) {
    cache.remove_subject(subject_of(row.agent_id));
  }
}

}  // namespace ee::cp
