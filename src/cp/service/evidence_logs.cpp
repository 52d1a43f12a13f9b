#include "cp/service/evidence_logs.h"

#include <algorithm>

#include "attestation/workload_log.h"
#include "common/crypto.h"
#include "common/id.h"
#include "common/json.h"
#include "cp/store/agent_store.h"

namespace ee::cp {
namespace {

namespace att = attestation;

constexpr std::size_t kEventLogMaxBytes = 131072;
constexpr std::size_t kChangedEvents = 5;
constexpr std::size_t kEventTextMax = 128;
/// A name may have had so many agents in the thirty days that tombstones are kept; more are not looked at.
constexpr std::int64_t kMaxAgentsOfAName = 16;

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

/// How many entries at the front lead to this register; 0 when none do.
std::size_t leading_to(const std::vector<std::string_view>& payloads, const std::string& rtmr3) {
  att::Measurement value{};
  for (std::size_t count = 1; count <= payloads.size(); ++count) {
    ByteVector extended(value.begin(), value.end());
    append(extended, att::workload_digest(payloads[count - 1]));
    value = sha384(extended);
    if (to_hex(value) == rtmr3) return count;
  }
  return 0;
}

/// Judges entries one by one; counts those that the database may have forgotten.
class WorkloadLogJudge {
 public:
  WorkloadLogJudge(db::Transaction& tx, const AgentAssignments& assignments, const WorkloadLogContext& context)
      : tx_(tx), assignments_(assignments), context_(context) {}

  Result<void> find_agents() {
    auto found = AgentStore().ids_by_vm_name(tx_, context_.vm_name, kMaxAgentsOfAName);
    if (!found) return std::unexpected(std::move(found.error()));
    agents_ = std::move(*found);
    return {};
  }

  Result<void> judge(const agent_api::WorkloadLogEntry& entry) {
    const auto event = att::read_workload_payload(entry.payload);
    if (!event || boost::describe::enum_to_string(event->op, "") != entry.op) return fail(ErrorCode::workload_unknown);
    for (const AgentId& agent : agents_) {
      const auto known = assignments_.was_assigned(tx_, agent, event->deployment_id, event->compose_sha256);
      if (!known) return std::unexpected(known.error());
      if (*known) return {};
    }
    const auto made_at = uuid_v7_time(event->deployment_id);
    if (!made_at || !context_.forgotten_before || *made_at >= *context_.forgotten_before)
      return fail(ErrorCode::workload_unknown);
    ++forgotten_;
    return {};
  }

  std::size_t forgotten() const { return forgotten_; }

 private:
  db::Transaction& tx_;
  const AgentAssignments& assignments_;
  const WorkloadLogContext& context_;
  std::vector<AgentId> agents_;
  std::size_t forgotten_ = 0;
};

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

Result<std::size_t> check_workload_log(db::Database& database, const AgentAssignments& assignments,
                                       const std::optional<std::vector<agent_api::WorkloadLogEntry>>& log,
                                       const WorkloadLogContext& context, const att::Quote& quote) {
  if (!log) return 0;
  std::vector<std::string_view> payloads;
  payloads.reserve(log->size());
  for (const agent_api::WorkloadLogEntry& entry : *log) payloads.emplace_back(entry.payload);
  if (!std::ranges::equal(att::replay_workload_log(payloads), quote.rtmr(3)))
    return fail(ErrorCode::workload_log_mismatch);
  const std::size_t judged = context.accepted_rtmr3 ? leading_to(payloads, *context.accepted_rtmr3) : 0;
  if (judged == log->size()) return 0;
  return database.read<std::size_t>([&](db::Transaction& tx) -> Result<std::size_t> {
    WorkloadLogJudge judge(tx, assignments, context);
    if (auto found = judge.find_agents(); !found) return std::unexpected(std::move(found.error()));
    for (const agent_api::WorkloadLogEntry& entry : std::span(*log).subspan(judged))
      if (auto good = judge.judge(entry); !good) return std::unexpected(std::move(good.error()));
    return judge.forgotten();
  });
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
