#include "cp/service/stripe_admin.h"

#include <boost/describe.hpp>
#include <utility>

#include "cp/service/settings_api.h"
#include "cp/service/stripe_webhook.h"

namespace ee::cp {
namespace {

std::string source_text(SettingSource source) {
  switch (source) {
    case SettingSource::database: return "database";
    case SettingSource::environment: return "environment";
    case SettingSource::default_: break;
  }
  return "default";
}

}  // namespace

Result<StripeSecretView> StripeAdmin::secret(std::string_view key) const {
  auto view = parts_.settings.get(key);
  if (!view) return std::unexpected(view.error());
  return StripeSecretView{
      .is_set = view->is_set, .source = source_text(view->source), .fingerprint = std::move(view->fingerprint)};
}

Result<StripeStatus> StripeAdmin::status(bool validate, const stripe::CallContext& context) const {
  const StripeSettings values = parts_.values();
  auto key = secret("stripe.secret_key");
  if (!key) return std::unexpected(key.error());
  auto webhook = secret("stripe.webhook_secret");
  if (!webhook) return std::unexpected(webhook.error());
  const auto last =
      parts_.database.read<std::optional<UtcTime>>([&](db::Transaction& tx) { return events_.last_received_at(tx); });
  if (!last) return std::unexpected(last.error());
  StripeStatus out{.enabled = !values.secret_key.empty(),
                   .secret_key = std::move(*key),
                   .webhook_secret = std::move(*webhook),
                   .webhook_path = std::string(StripeWebhook::kPath),
                   .last_webhook_at = *last};
  if (!out.enabled) return out;
  out.mode = values.is_live() ? StripeMode::live : StripeMode::test;
  if (!validate) return out;
  out.validation.attempted = true;
  const auto checked = parts_.stripe.check_key(context);
  out.validation.ok = checked.has_value();
  if (!checked) out.validation.code = checked.error().code;
  return out;
}

Result<StripeEventPage> StripeAdmin::events(const StripeEventFilter& filter, const PageRequest& page,
                                            const CursorCodec& cursors) const {
  auto rows =
      parts_.database.read<Page<StripeEventRow>>([&](db::Transaction& tx) { return events_.list(tx, filter, page); });
  if (!rows) return std::unexpected(rows.error());
  return StripeEventPage{.items = std::move(rows->items), .next_cursor = cursors.encode("stripe_events", rows->next)};
}

}  // namespace ee::cp
