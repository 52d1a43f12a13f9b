#include "cp/service/evidence_logs.h"

#include <algorithm>

#include "attestation/workload_log.h"
#include "common/json.h"
#include "cp/store/agent_store.h"

namespace ee::cp {
namespace {

namespace att = attestation;

constexpr std::size_t kEventLogMaxBytes = 131072;
constexpr std::size_t kChangedEvents = 5;
constexpr std::size_t kEventTextMax = 128;

/// What an event says about itself, if it is plain text; nothing vouches for it.
std::optional<std::string> text_of_event(const att::LogEvent& event) {
  std::string text(text_of(event.data));
  while (!text.empty() && text.back() == '\0') text.pop_back();
  const bool plain = std::ranges::all_of(text, [](char c) { return c >= ' ' && c <= '~'; });
  if (text.empty() || !plain) return std::nullopt;
  return text.substr(0, kEventTextMax);
}

struct ChangedEvent {
  std::int64_t rtmr = 0;
  std::int64_t type = 0;
  std::string digest;
  std::optional<std::string> text;
};
BOOST_DESCRIBE_STRUCT(ChangedEvent, (), (rtmr, type, digest, text))

Result<std::optional<AgentId>> owner_of(db::Transaction& tx, const WorkloadLogOwner& owner) {
  if (!owner.agent_id.empty()) return std::optional(AgentId(owner.agent_id));
  const auto row = AgentStore().find_by_vm_name(tx, owner.vm_name);
  if (!row) return std::unexpected(row.error());
  return *row ? std::optional((*row)->id) : std::nullopt;
}

}  // namespace

Result<std::optional<att::EventLog>> replay_sent_log(const std::optional<std::string>& base64, att::EventLogMode mode) {
  if (mode == att::EventLogMode::disabled) return std::optional<att::EventLog>{};
  if (!base64) {
    if (mode == att::EventLogMode::required) return fail(ErrorCode::event_log_missing);
    return std::optional<att::EventLog>{};
  }
  const auto log = from_base64(*base64);
  if (!log || log->size() > kEventLogMaxBytes)
    return fail(ErrorCode::event_log_malformed, "base64 of at most 131072 bytes");
  auto replayed = att::replay_ccel(*log);
  if (!replayed) return std::unexpected(std::move(replayed.error()));
  return std::optional(std::move(*replayed));
}

Result<std::optional<std::string>> changed_events_json(db::Transaction& tx, const att::EventLog& log,
                                                       const std::string& profile_id) {
  const auto known = TrustStore().event_digests(tx, profile_id);
  if (!known) return std::unexpected(known.error());
  if (known->empty()) return std::optional<std::string>{};
  std::vector<ChangedEvent> changed;
  for (const att::LogEvent* event : att::unknown_events(log, *known, kChangedEvents))
    changed.push_back({.rtmr = static_cast<std::int64_t>(event->register_),
                       .type = event->type,
                       .digest = to_hex(event->digest),
                       .text = text_of_event(*event)});
  if (changed.empty()) return std::optional<std::string>{};
  return std::optional(json::write(changed));
}

Result<void> check_workload_log(db::Database& database, const AgentAssignments& assignments,
                                const std::optional<std::vector<agent_api::WorkloadLogEntry>>& log,
                                const WorkloadLogOwner& owner, const att::Quote& quote) {
  if (!log) return {};
  std::vector<std::string_view> payloads;
  payloads.reserve(log->size());
  for (const agent_api::WorkloadLogEntry& entry : *log) payloads.emplace_back(entry.payload);
  if (!std::ranges::equal(att::replay_workload_log(payloads), quote.rtmr(3)))
    return fail(ErrorCode::workload_log_mismatch);
  if (log->empty()) return {};
  const auto assigned = database.read<bool>([&](db::Transaction& tx) -> Result<bool> {
    const auto agent = owner_of(tx, owner);
    if (!agent) return std::unexpected(agent.error());
    if (!*agent) return false;
    for (const agent_api::WorkloadLogEntry& entry : *log) {
      const auto event = att::read_workload_payload(entry.payload);
      if (!event || boost::describe::enum_to_string(event->op, "") != entry.op) return false;
      auto known = assignments.was_assigned(tx, **agent, event->deployment_id, event->compose_sha256);
      if (!known || !*known) return known;
    }
    return true;
  });
  if (!assigned) return std::unexpected(assigned.error());
  if (!*assigned) return fail(ErrorCode::workload_unknown);
  return {};
}

Result<void> check_unchanged(const att::Quote& quote, Bytes binding, bool has_workload_log,
                             const MeasuredBefore& before) {
  const auto changed = [](std::string what) { return fail(ErrorCode::measurement_changed, std::move(what)); };
  if (to_hex(quote.mrtd()) != before.mrtd) return changed("MRTD");
  for (std::size_t i = 0; i < 3; ++i)
    if (to_hex(quote.rtmr(i)) != before.rtmrs[i]) return changed("RTMR" + std::to_string(i));
  if (!has_workload_log && to_hex(quote.rtmr(3)) != before.rtmrs[3]) return changed("RTMR3");
  if (to_hex(binding) != before.binding) return changed("binding");
  return {};
}

}  // namespace ee::cp
