#include "cp/service/trust_service.h"

#include <algorithm>
#include <boost/json/value.hpp>

#include "common/id.h"

namespace ee::cp {
namespace {

namespace att = attestation;

std::string lower(std::string text) {
  std::ranges::transform(text, text.begin(),
                         [](char c) { return c >= 'A' && c <= 'F' ? static_cast<char>(c + 32) : c; });
  return text;
}
std::optional<std::string> lower(const std::optional<std::string>& text) {
  return text ? std::optional(lower(*text)) : std::nullopt;
}

Error bad_field(std::string field, std::string code, std::string detail) {
  return {.code = ErrorCode::invalid_request,
          .fields = {{.field = std::move(field), .code = std::move(code), .detail = std::move(detail)}}};
}

RtmrProfileView view_of(const RtmrProfileRow& row) {
  return {.id = row.id,
          .name = row.name,
          .node_size = row.node_size,
          .rtmr0 = row.rtmr0,
          .rtmr1 = row.rtmr1,
          .rtmr2 = row.rtmr2,
          .rtmr3 = row.rtmr3};
}

RtmrProfileView view_of(const att::RtmrProfile& profile) {
  const auto text = [&](std::size_t i) {
    return profile.rtmrs[i] ? std::optional(to_hex(*profile.rtmrs[i])) : std::nullopt;
  };
  return {.id = profile.id,
          .name = profile.name,
          .node_size = profile.node_size,
          .rtmr0 = text(0),
          .rtmr1 = text(1),
          .rtmr2 = text(2),
          .rtmr3 = text(3)};
}

PublicMrtdView public_view(const AdminMrtdView& view) {
  return {.mrtd = view.mrtd,
          .kind = view.kind,
          .note = view.note,
          .source = view.source,
          .profiles = view.profiles,
          .created_at = view.created_at};
}

}  // namespace

Result<TrustService::Effective> TrustService::effective() const {
  return database_.read<Effective>([&](db::Transaction& tx) { return effective(tx); });
}

Result<TrustService::Effective> TrustService::effective(db::Transaction& tx) const {
  auto loaded = rows_.load(tx);
  if (!loaded) return std::unexpected(loaded.error());
  return Effective{.trust = att::merge_trust(std::move(loaded->trust), environment_), .version = loaded->version};
}

Result<AdminMrtdPage> TrustService::list(std::optional<att::MrtdKind> kind, const PageRequest& page,
                                         const CursorCodec& cursors) const {
  return database_.read<AdminMrtdPage>([&](db::Transaction& tx) -> Result<AdminMrtdPage> {
    auto rows = rows_.list(tx, {.kind = kind}, page);
    if (!rows) return std::unexpected(rows.error());
    AdminMrtdPage out;
    if (!page.after) {
      for (const att::TrustedMrtd& entry : environment_.mrtds) {
        if (kind && entry.kind != *kind) continue;
        const auto row = rows_.get(tx, to_hex(entry.mrtd));
        if (!row) return std::unexpected(row.error());
        if (!*row) out.items.push_back(*environment_view(to_hex(entry.mrtd)));
      }
    }
    for (const TrustedMrtdRow& row : rows->items) {
      auto view = view_of(tx, row);
      if (!view) return std::unexpected(view.error());
      out.items.push_back(std::move(*view));
    }
    out.next_cursor = cursors.encode("trusted_mrtds", rows->next);
    return out;
  });
}

Result<PublicMrtdPage> TrustService::list_public(std::optional<att::MrtdKind> kind, const PageRequest& page,
                                                 const CursorCodec& cursors) const {
  auto all = list(kind, page, cursors);
  if (!all) return std::unexpected(all.error());
  PublicMrtdPage out{.items = {}, .next_cursor = all->next_cursor};
  const UtcTime now = clock_.now();
  for (const AdminMrtdView& view : all->items)
    if (view.enabled && (!view.expires_at || now < *view.expires_at)) out.items.push_back(public_view(view));
  return out;
}

Result<AdminMrtdView> TrustService::get(const std::string& mrtd) const {
  return database_.read<AdminMrtdView>([&](db::Transaction& tx) { return view(tx, lower(mrtd)); });
}

Result<AdminMrtdView> TrustService::add(const TrustedMrtdInput& input, const Actor& actor) {
  const std::string mrtd = lower(input.mrtd);
  if (mrtd.find_first_not_of('0') == std::string::npos) return fail(bad_field("mrtd", "bad_format", "not all zero"));
  const UtcTime now = clock_.now();
  auto added = database_.write<AdminMrtdView>([&](db::Transaction& tx) -> Result<AdminMrtdView> {
    const TrustedMrtdRow row{.mrtd = mrtd,
                             .kind = input.kind,
                             .note = input.note.value_or(""),
                             .enabled = input.enabled.value_or(true),
                             .expires_at = input.expires_at,
                             .created_by = actor.name,
                             .created_at = now,
                             .updated_at = now};
    if (auto done = rows_.add(tx, row); !done) return std::unexpected(done.error());
    for (const RtmrProfileInput& profile : input.profiles.value_or(std::vector<RtmrProfileInput>{}))
      if (auto done = insert_profile(tx, mrtd, profile, actor.name, now); !done) return std::unexpected(done.error());
    if (auto done = audit(tx, AttestationEvent::trust_entry_added, "trust_entry_added", mrtd, actor, now); !done)
      return std::unexpected(done.error());
    return view(tx, mrtd);
  });
  if (added && changed_) changed_();
  return added;
}

Result<AdminMrtdView> TrustService::change(const std::string& text, const TrustedMrtdPatch& patch,
                                           std::optional<std::int64_t> if_version, const Actor& actor) {
  const std::string mrtd = lower(text);
  const UtcTime now = clock_.now();
  auto changed = database_.write<AdminMrtdView>([&](db::Transaction& tx) -> Result<AdminMrtdView> {
    const TrustedMrtdChange change{.enabled = patch.enabled, .note = patch.note, .expires_at = patch.expires_at};
    auto row = rows_.change(tx, mrtd, change, if_version, now);
    if (!row) return std::unexpected(row.error());
    if (auto done = audit(tx, AttestationEvent::trust_entry_changed, "trust_entry_changed", mrtd, actor, now); !done)
      return std::unexpected(done.error());
    return view_of(tx, *row);
  });
  if (changed && changed_) changed_();
  return changed;
}

Result<MrtdRemoved> TrustService::remove(const std::string& text, const Actor& actor) {
  const std::string mrtd = lower(text);
  const UtcTime now = clock_.now();
  auto removed = database_.write<MrtdRemoved>([&](db::Transaction& tx) -> Result<MrtdRemoved> {
    const auto row = rows_.get(tx, mrtd);
    if (!row) return std::unexpected(row.error());
    if (!*row)
      return fail(environment_entry(mrtd) != nullptr ? ErrorCode::mrtd_from_environment : ErrorCode::mrtd_not_found);
    const auto agents = rows_.agents_with(tx, mrtd);
    if (!agents) return std::unexpected(agents.error());
    if (auto done = rows_.remove(tx, mrtd); !done) return std::unexpected(done.error());
    if (auto done = audit(tx, AttestationEvent::trust_entry_removed, "trust_entry_removed", mrtd, actor, now); !done)
      return std::unexpected(done.error());
    return MrtdRemoved{.affected_agents = *agents};
  });
  if (removed && changed_) changed_();
  return removed;
}

Result<att::TrustStore> TrustService::without(const std::string& text) const {
  const std::string mrtd = lower(text);
  return database_.read<att::TrustStore>([&](db::Transaction& tx) -> Result<att::TrustStore> {
    const auto row = rows_.get(tx, mrtd);
    if (!row) return std::unexpected(row.error());
    if (!*row)
      return fail(environment_entry(mrtd) != nullptr ? ErrorCode::mrtd_from_environment : ErrorCode::mrtd_not_found);
    auto loaded = rows_.load(tx);
    if (!loaded) return std::unexpected(loaded.error());
    std::erase_if(loaded->trust.mrtds, [&](const att::TrustedMrtd& entry) { return to_hex(entry.mrtd) == mrtd; });
    std::erase_if(loaded->trust.profiles, [&](const att::RtmrProfile& entry) { return to_hex(entry.mrtd) == mrtd; });
    return att::merge_trust(std::move(loaded->trust), environment_);
  });
}

Result<att::TrustStore> TrustService::changed(const std::string& text, const TrustedMrtdPatch& patch,
                                              std::optional<std::int64_t> if_version) const {
  const std::string mrtd = lower(text);
  return database_.read<att::TrustStore>([&](db::Transaction& tx) -> Result<att::TrustStore> {
    const auto row = rows_.get(tx, mrtd);
    if (!row) return std::unexpected(row.error());
    if (!*row) return fail(ErrorCode::mrtd_not_found);
    if (if_version && *if_version != (*row)->version) return fail(ErrorCode::version_mismatch);
    auto loaded = rows_.load(tx);
    if (!loaded) return std::unexpected(loaded.error());
    for (att::TrustedMrtd& entry : loaded->trust.mrtds) {
      if (to_hex(entry.mrtd) != mrtd) continue;
      entry.enabled = patch.enabled.value_or(entry.enabled);
      entry.expires_at = patch.expires_at.value_or(entry.expires_at);
    }
    return att::merge_trust(std::move(loaded->trust), environment_);
  });
}

Result<AdminMrtdView> TrustService::add_profile(const std::string& text, const RtmrProfileInput& input,
                                                const Actor& actor) {
  const std::string mrtd = lower(text);
  const UtcTime now = clock_.now();
  auto added = database_.write<AdminMrtdView>([&](db::Transaction& tx) -> Result<AdminMrtdView> {
    const auto row = rows_.get(tx, mrtd);
    if (!row) return std::unexpected(row.error());
    const att::TrustedMrtd* entry = environment_entry(mrtd);
    if (!*row && entry != nullptr) {
      const TrustedMrtdRow own{.mrtd = mrtd,
                               .kind = entry->kind,
                               .note = "from the environment",
                               .created_by = actor.name,
                               .created_at = now,
                               .updated_at = now};
      if (auto done = rows_.add(tx, own); !done) return std::unexpected(done.error());
    }
    if (auto done = insert_profile(tx, mrtd, input, actor.name, now); !done) return std::unexpected(done.error());
    if (auto done = audit(tx, AttestationEvent::trust_entry_changed, "rtmr_profile_added", mrtd, actor, now); !done)
      return std::unexpected(done.error());
    return view(tx, mrtd);
  });
  if (added && changed_) changed_();
  return added;
}

Result<AdminMrtdView> TrustService::remove_profile(const std::string& text, const std::string& profile_id,
                                                   const Actor& actor) {
  const std::string mrtd = lower(text);
  const UtcTime now = clock_.now();
  auto removed = database_.write<AdminMrtdView>([&](db::Transaction& tx) -> Result<AdminMrtdView> {
    if (auto done = rows_.remove_profile(tx, mrtd, profile_id); !done) return std::unexpected(done.error());
    if (auto done = audit(tx, AttestationEvent::trust_entry_changed, "rtmr_profile_removed", mrtd, actor, now); !done)
      return std::unexpected(done.error());
    return view(tx, mrtd);
  });
  if (removed && changed_) changed_();
  return removed;
}

Result<AdminMrtdView> TrustService::view(db::Transaction& tx, const std::string& mrtd) const {
  const auto row = rows_.get(tx, mrtd);
  if (!row) return std::unexpected(row.error());
  if (*row) return view_of(tx, **row);
  auto entry = environment_view(mrtd);
  if (!entry) return fail(ErrorCode::mrtd_not_found);
  return std::move(*entry);
}

Result<AdminMrtdView> TrustService::view_of(db::Transaction& tx, const TrustedMrtdRow& row) const {
  const auto profiles = rows_.profiles(tx, row.mrtd);
  if (!profiles) return std::unexpected(profiles.error());
  AdminMrtdView view{.mrtd = row.mrtd,
                     .kind = row.kind,
                     .note = row.note,
                     .enabled = row.enabled,
                     .expires_at = row.expires_at,
                     .source = att::TrustSource::database,
                     .version = row.version,
                     .created_by = row.created_by,
                     .created_at = row.created_at,
                     .updated_at = row.updated_at,
                     .profiles = {}};
  for (const RtmrProfileRow& profile : *profiles) view.profiles.push_back(cp::view_of(profile));
  return view;
}

const att::TrustedMrtd* TrustService::environment_entry(const std::string& mrtd) const {
  const auto found =
      std::ranges::find_if(environment_.mrtds, [&](const att::TrustedMrtd& e) { return to_hex(e.mrtd) == mrtd; });
  return found == environment_.mrtds.end() ? nullptr : &*found;
}

std::optional<AdminMrtdView> TrustService::environment_view(const std::string& mrtd) const {
  const att::TrustedMrtd* entry = environment_entry(mrtd);
  if (entry == nullptr) return std::nullopt;
  AdminMrtdView view;
  view.mrtd = mrtd;
  view.kind = entry->kind;
  view.note = entry->note;
  view.source = att::TrustSource::environment;
  for (const att::RtmrProfile& profile : environment_.profiles)
    if (profile.mrtd == entry->mrtd) view.profiles.push_back(cp::view_of(profile));
  return view;
}

Result<void> TrustService::insert_profile(db::Transaction& tx, const std::string& mrtd, const RtmrProfileInput& input,
                                          const std::string& by, UtcTime now) const {
  if (!input.rtmr0 && !input.rtmr1 && !input.rtmr2 && !input.rtmr3)
    return fail(bad_field("rtmr0", "required", "at least one register"));
  std::optional<std::string> digests;
  if (input.event_digests) {
    for (const std::string& digest : *input.event_digests)
      if (!from_hex_exact<48>(digest))
        return fail(bad_field("event_digests", "bad_format", "96 hexadecimal digits each"));
    digests = json::write(*input.event_digests);
  }
  const auto id = new_uuid_v7(now, random_);
  if (!id) return fail(ErrorCode::internal_error, "the CSPRNG failed");
  return rows_.add_profile(tx, {.id = *id,
                                .mrtd = mrtd,
                                .name = input.name,
                                .node_size = input.node_size,
                                .rtmr0 = lower(input.rtmr0),
                                .rtmr1 = lower(input.rtmr1),
                                .rtmr2 = lower(input.rtmr2),
                                .rtmr3 = lower(input.rtmr3),
                                .event_digests = std::move(digests),
                                .created_by = by,
                                .created_at = now});
}

Result<void> TrustService::audit(db::Transaction& tx, AttestationEvent event, std::string_view action,
                                 const std::string& mrtd, const Actor& actor, UtcTime now) const {
  const auto id = new_uuid_v7(now, random_);
  if (!id) return fail(ErrorCode::audit_unavailable, "the CSPRNG failed");
  const AttestationAuditRow row{.id = *id,
                                .at = now,
                                .event = event,
                                .request_id = actor.request_id,
                                .actor = actor.name,
                                .source_ip = actor.client_address,
                                .mrtd = mrtd,
                                .details = R"({"action":)" + json::quote(action) + "}"};
  if (auto done = attestation_audit_.append(tx, row); !done)
    return fail(ErrorCode::audit_unavailable, done.error().detail);
  return {};
}

}  // namespace ee::cp
