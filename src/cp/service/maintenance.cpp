#include "cp/service/maintenance.h"

#include <algorithm>

#include "cp/store/audit_log_store.h"
#include "cp/store/meta_store.h"

namespace ee::cp {
namespace {

constexpr std::string_view kKey = "maintenance";

Result<MaintenanceView> stored(db::Transaction& tx) {
  const auto text = MetaStore().get(tx, kKey);
  if (!text) return std::unexpected(text.error());
  if (!*text) return MaintenanceView{};
  return json::read<MaintenanceView>(**text);
}

}  // namespace

Result<void> Maintenance::load() {
  auto read = database_.read<MaintenanceView>(stored);
  if (!read) return std::unexpected(std::move(read.error()));
  take(std::move(*read));
  return {};
}

Result<MaintenanceView> Maintenance::set(const MaintenanceRequest& wanted, const Actor& actor) {
  if (std::ranges::any_of(wanted.message, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }))
    return fail(Error{.code = ErrorCode::invalid_request,
                      .fields = {{"message", "bad_format", "plain text without control characters"}}});
  MaintenanceView made{.read_only = wanted.read_only, .message = wanted.message};
  const auto written = database_.run_write([&](db::Transaction& tx) -> Result<void> {
    const auto before = stored(tx);
    if (!before) return std::unexpected(before.error());
    // Changes are told apart by their time, so it moves on even when the clock was put back.
    made.changed_at = std::max(clock_.now(), before->changed_at.value_or(UtcTime{}) + Milliseconds(1));
    if (auto set = MetaStore().set(tx, kKey, json::write(made)); !set) return set;
    const auto audited = AuditLogStore().append(tx,
                                                {.actor = actor.name,
                                                 .action = "maintenance_changed",
                                                 .object_type = "installation",
                                                 .request_id = actor.request_id,
                                                 .client_address = actor.client_address,
                                                 .detail = json::write(wanted)},
                                                clock_.now(), random_);
    if (!audited) return std::unexpected(audited.error());
    return {};
  });
  if (!written) return std::unexpected(written.error());
  take(made);
  return made;
}

void Maintenance::take(MaintenanceView view) {
  const std::lock_guard lock(mutex_);
  // A look at the database that was slower than a change of this process must not undo it.
  if (view_.changed_at && (!view.changed_at || *view.changed_at < *view_.changed_at)) return;
  view_ = std::move(view);
  read_only_ = view_.read_only;
}

MaintenanceView Maintenance::view() const {
  const std::lock_guard lock(mutex_);
  return view_;
}

std::optional<Error> Maintenance::refusal() const {
  if (!read_only_) return std::nullopt;
  return Error{.code = ErrorCode::maintenance, .detail = view().message, .retry_after = kRetryAfter};
}

}  // namespace ee::cp
