// Upgrade, rollback and redeploy: new revisions of a running deployment (03 section 6.6).
#include <algorithm>
#include <boost/json.hpp>
#include <chrono>

#include "common/compose/compose.h"
#include "common/json.h"
#include "cp/service/deploy_order.h"
#include "cp/store/audit_log_store.h"

namespace ee::cp {
namespace {

std::optional<std::string> some(const std::string& text) { return text.empty() ? std::nullopt : std::optional(text); }

struct EnvMap {
  std::map<std::string, std::string> items;
};
BOOST_DESCRIBE_STRUCT(EnvMap, (), (items))
struct IngressList {
  std::vector<agent_api::IngressRule> items;
};
BOOST_DESCRIBE_STRUCT(IngressList, (), (items))

bool changes_nothing(const UpgradeRequest& request) {
  return !request.version && !request.compose && !request.env && !request.secrets && !request.ingress &&
         !request.health_path && !request.deploy_timeout_seconds;
}

}  // namespace

Result<void> Deployments::may_change(db::Transaction& tx, const DeploymentRow& row) const {
  if (row.state != DeploymentState::running)
    return fail(transition_refused(row.state, DeploymentEvent::change_requested));
  const auto successor = rows_.successor(tx, row.id);
  if (!successor) return std::unexpected(successor.error());
  if (*successor) return fail(ErrorCode::update_in_progress, "deployment " + (*successor)->str() + " is to replace it");
  return {};
}

/// Runs `make`, which adds the revision that is to run and answers its number, and moves the deployment to `updating`.
Result<IdempotentAnswer> Deployments::change(
    const DeploymentCall& call, const DeploymentId& id, std::string action,
    const std::function<Result<std::int64_t>(db::Transaction&, const DeploymentRow&)>& make) {
  const auto key = request_key(call, id);
  if (!key) return std::unexpected(key.error());
  std::optional<AgentId> agent;
  auto answer = idempotency_.run(*key, [&](db::Transaction& tx) -> Result<EffectAnswer> {
    const auto before = changeable(tx, call.principal, id);
    if (!before) return std::unexpected(before.error());
    if (auto good = may_change(tx, *before); !good) return std::unexpected(good.error());
    if (call.if_match && *call.if_match != before->row_version) return fail(ErrorCode::version_mismatch);
    agent = before->agent_id;
    const auto revision = make(tx, *before);
    if (!revision) return std::unexpected(revision.error());
    EventInputs inputs{.actor = call.actor.name, .request_id = some(call.actor.request_id)};
    inputs.target_revision = *revision;
    const auto done = parts_.machine.apply(tx, *before, DeploymentEvent::change_requested, inputs);
    if (!done) return std::unexpected(done.error());
    const auto audited = AuditLogStore().append(tx,
                                                {.actor = call.actor.name,
                                                 .action = action,
                                                 .object_type = "deployment",
                                                 .object_id = id.str(),
                                                 .request_id = some(call.actor.request_id),
                                                 .client_address = some(call.actor.client_address),
                                                 .detail = "{\"revision\":" + std::to_string(*revision) + "}"},
                                                parts_.clock.now(), parts_.random);
    if (!audited) return std::unexpected(audited.error());
    const auto object = views_.object(tx, done->row);
    if (!object) return std::unexpected(object.error());
    return EffectAnswer{.status = 202, .body = json::write(*object)};
  });
  if (answer && agent) published({*agent});
  if (answer && parts_.wake) parts_.wake();
  return answer;
}

/// The content of an upgrade: what the request names, and the present revision's for the rest.
Result<PlannedWorkload> Deployments::replan(db::Transaction& tx, const DeploymentRow& row, const RevisionRow& current,
                                            const UpgradeRequest& request,
                                            const std::optional<PinnedImages>& pinned) const {
  WorkloadWanted wanted;
  const auto env = json::read<EnvMap>("{\"items\":" + current.env + "}");
  const auto ingress = json::read<IngressList>("{\"items\":" + current.ingress + "}");
  if (!env || !ingress) return fail(ErrorCode::internal_error, "a stored revision is damaged");
  wanted.env = request.env.value_or(env->items);
  if (request.secrets) {
    auto secrets = secrets_of(request.secrets);
    if (!secrets) return std::unexpected(secrets.error());
    wanted.secrets = std::move(*secrets);
  } else {
    auto secrets = parts_.revisions.secrets(tx, row.id, current.revision);
    if (!secrets) return std::unexpected(secrets.error());
    wanted.secrets = std::move(*secrets);
  }
  if (auto good = check_env(wanted.env, wanted.secrets); !good) return std::unexpected(good.error());
  if (!wanted.secrets.empty() && !parts_.box.available()) return fail(ErrorCode::secrets_unavailable);
  wanted.ingress = request.ingress.value_or(ingress->items);
  if (auto good = check_ingress(*wanted.ingress); !good) return std::unexpected(good.error());
  wanted.health_path = request.health_path.value_or(current.health_path);
  wanted.deploy_timeout_seconds = request.deploy_timeout_seconds.value_or(current.deploy_timeout_seconds);
  const DeploymentSettings settings = parts_.settings();
  if (!current.app_name) {
    if (request.version) return fail(ErrorCode::upgrade_changes_app, "a raw deployment stays raw");
    // What stays as it is keeps its images: a tag that moved is no change that anybody asked for.
    const auto pin = [&](const std::string&) -> Result<PinnedImages> {
      if (pinned) return *pinned;
      const auto kept = json::read<EnvMap>("{\"items\":" + current.images + "}");
      if (request.compose || !kept) return fail(ErrorCode::compose_forbidden, "every image needs its digest");
      return kept->items;
    };
    return plan_raw(request.compose.value_or(current.compose.value_or("")), row.node_size, wanted, settings, pin);
  }
  if (request.compose) return fail(ErrorCode::upgrade_changes_app, "a deployment of an app stays with its app");
  const auto app = versions_.app(tx, *current.app_name, row.account_id);
  if (!app) return std::unexpected(app.error());
  if (!*app) return fail(ErrorCode::app_not_found);
  PlannedVersion version{.app = **app, .version = request.version.value_or(*current.app_version), .variants = {}};
  const auto variants = versions_.variants(tx, version.app.id, version.version);
  if (!variants) return std::unexpected(variants.error());
  auto attested = attested_of(*variants);
  if (!attested) return std::unexpected(attested.error());
  version.variants = std::move(*attested);
  auto variant = std::ranges::find(version.variants, row.node_size, &DeployableVariant::node_size);
  if (variant == version.variants.end())
    variant = std::ranges::find(version.variants, std::string(), &DeployableVariant::node_size);
  if (variant == version.variants.end()) return fail(ErrorCode::version_variant_not_found);
  if (variant->mrtd) {
    const auto agent = AgentStore().get(tx, *row.agent_id);
    if (!agent) return std::unexpected(agent.error());
    if (!*agent || (*agent)->mrtd != *variant->mrtd) return fail(not_eligible({PlacementReason::agent_mrtd_mismatch}));
  }
  return plan_version(version, *variant, row.node_size, wanted, settings);
}

/// Before the transaction: registries are asked for the tags of a new raw file. What is wrong with the file is told by
/// the plan.
Result<std::optional<PinnedImages>> Deployments::pin_upgrade(const DeploymentCall& call, const DeploymentId& id,
                                                             const UpgradeRequest& request) {
  if (!request.compose || parts_.settings().raw_compose_policy != "allow") return std::optional<PinnedImages>();
  compose::CheckOptions options;
  options.require_digests = false;
  const auto checked = compose::check(*request.compose, options);
  if (!checked || compose::own_digests(*checked)) return std::optional<PinnedImages>();
  const auto before = row(call.principal, id);
  if (!before) return std::unexpected(before.error());
  if (before->state != DeploymentState::running)
    return fail(transition_refused(before->state, DeploymentEvent::change_requested));
  auto pinned = parts_.pin_images(*request.compose, before->account_id);
  if (!pinned) return std::unexpected(pinned.error());
  return std::optional(std::move(*pinned));
}

Result<IdempotentAnswer> Deployments::upgrade(const DeploymentCall& call, const DeploymentId& id,
                                              const UpgradeRequest& request) {
  const std::string strategy = request.strategy.value_or("in_place");
  if (strategy != "in_place" && strategy != "replace")
    return fail(Error{.code = ErrorCode::invalid_request,
                      .fields = {{.field = "strategy", .code = "not_in_enum", .detail = "in_place or replace"}}});
  if (changes_nothing(request))
    return fail(Error{.code = ErrorCode::invalid_request,
                      .fields = {{.field = "", .code = "required", .detail = "at least one change"}}});
  if (strategy == "replace") return replace(call, id, request);
  const auto pinned = pin_upgrade(call, id, request);
  if (!pinned) return std::unexpected(pinned.error());
  if (request.dry_run.value_or(false)) {
    return parts_.database.read<IdempotentAnswer>([&](db::Transaction& tx) -> Result<IdempotentAnswer> {
      const auto row = owned(tx, call.principal, id);
      if (!row) return std::unexpected(row.error());
      if (auto good = may_change(tx, *row); !good) return std::unexpected(good.error());
      const auto current = revision_rows_.get(tx, id, row->current_revision);
      if (!current) return std::unexpected(current.error());
      if (auto planned = replan(tx, *row, **current, request, *pinned); !planned)
        return std::unexpected(planned.error());
      const auto object = views_.object(tx, *row);
      if (!object) return std::unexpected(object.error());
      return IdempotentAnswer{.status = 200, .body = json::write(*object)};
    });
  }
  return change(call, id, "deployment_upgraded",
                [&](db::Transaction& tx, const DeploymentRow& row) -> Result<std::int64_t> {
                  const auto current = revision_rows_.get(tx, id, row.current_revision);
                  if (!current) return std::unexpected(current.error());
                  const auto planned = replan(tx, row, **current, request, *pinned);
                  if (!planned) return std::unexpected(planned.error());
                  const auto last = revision_rows_.last(tx, id);
                  if (!last) return last;
                  RevisionRow revision = planned->revision;
                  revision.deployment_id = id;
                  revision.revision = *last + 1;
                  revision.created_by = call.actor.name;
                  revision.created_at = parts_.clock.now();
                  if (auto done = parts_.revisions.add(tx, revision, planned->secrets); !done)
                    return std::unexpected(done.error());
                  return revision.revision;
                });
}

/// In the transaction that places: since the plan was made, what it runs may have been yanked, its app archived or
/// hidden, or an administrator may have said which agents may run it.
Result<void> Deployments::check_version(db::Transaction& tx, const Order& order) const {
  if (!order.version) return {};
  const auto app = versions_.app(tx, order.version->app.name, order.account);
  if (!app) return std::unexpected(app.error());
  if (!*app) return fail(ErrorCode::app_not_found);
  for (const DeployableVariant& planned : order.version->variants) {
    const bool runs = std::ranges::any_of(
        order.workloads, [&](const auto& workload) { return workload.second.revision.version_id == planned.id; });
    if (!runs) continue;
    const auto variant = versions_.state(tx, planned.id);
    if (!variant) return std::unexpected(variant.error());
    if (!*variant || (*variant)->status != planned.status) return fail(ErrorCode::version_yanked);
    if ((*variant)->mrtd != planned.mrtd) return fail(ErrorCode::concurrent_update, "the version has an MRTD now");
  }
  return {};
}

Result<void> Deployments::check_replaced(db::Transaction& tx, const Order& order, const ServiceRow& service) const {
  if (!order.request.replaces) return {};
  const auto old = rows_.get(tx, DeploymentId(*order.request.replaces));
  if (!old) return std::unexpected(old.error());
  if (!*old || (*old)->account_id != order.account || (*old)->service_id != service.id)
    return fail(ErrorCode::deployment_not_found);
  if ((*old)->state != DeploymentState::running) return fail(ErrorCode::replace_not_running);
  return may_change(tx, **old);
}

/// A deploy with `replaces`: the old one goes on until the new one is healthy. That nothing else is about to replace it
/// is for the deploy's own transaction to see, behind the idempotency key: of two equal calls at once the second one is
/// a repetition.
Result<IdempotentAnswer> Deployments::replace(const DeploymentCall& call, const DeploymentId& id,
                                              const UpgradeRequest& request) {
  const auto key = request_key(call, id);
  if (!key) return std::unexpected(key.error());
  if (*key && !request.dry_run.value_or(false)) {  // by now the old one may have ended, as was asked for
    const auto known = parts_.database.read<std::optional<StoredAnswer>>(
        [&](db::Transaction& tx) { return IdempotencyStore().find(tx, **key, parts_.clock.now()); });
    if (!known) return std::unexpected(known.error());
    if (*known) return IdempotentAnswer{.status = 202, .body = (*known)->body, .replayed = true};
  }
  DeployRequest wanted;
  const auto read = parts_.database.read<bool>([&](db::Transaction& tx) -> Result<bool> {
    const auto row = owned(tx, call.principal, id);
    if (!row) return std::unexpected(row.error());
    if (row->state != DeploymentState::running)
      return fail(transition_refused(row->state, DeploymentEvent::change_requested));
    if (call.if_match && *call.if_match != row->row_version) return fail(ErrorCode::version_mismatch);
    const auto current = revision_rows_.get(tx, id, row->current_revision);
    if (!current) return std::unexpected(current.error());
    const RevisionRow& revision = **current;
    const auto env = json::read<EnvMap>("{\"items\":" + revision.env + "}");
    const auto ingress = json::read<IngressList>("{\"items\":" + revision.ingress + "}");
    const auto service = services_.get(tx, row->service_id);
    if (!service) return std::unexpected(service.error());
    if (!env || !ingress || !*service) return fail(ErrorCode::internal_error, "a stored revision is damaged");
    if (revision.app_name ? request.compose.has_value() : request.version.has_value())
      return fail(ErrorCode::upgrade_changes_app);
    wanted.app = revision.app_name;
    if (revision.app_name) wanted.version = request.version.value_or(revision.app_version.value_or(""));
    if (!revision.app_name) wanted.compose = request.compose ? request.compose : revision.compose;
    wanted.service = (*service)->name;
    wanted.node_size = row->node_size;
    const auto question = parts_.machine.question_of(*row);
    wanted.placement = PlacementRequest{.datacenters = question.wants.rules.datacenters,
                                        .excluded_datacenters = question.wants.rules.excluded_datacenters,
                                        .clouds = question.wants.rules.clouds,
                                        .excluded_clouds = question.wants.rules.excluded_clouds};
    wanted.env = request.env.value_or(env->items);
    wanted.ingress = request.ingress.value_or(ingress->items);
    wanted.health_path = request.health_path.value_or(revision.health_path);
    wanted.deploy_timeout_seconds = request.deploy_timeout_seconds.value_or(revision.deploy_timeout_seconds);
    wanted.sla_class = row->sla_class;
    wanted.on_agent_lost = row->on_agent_lost;
    if (row->expires_at) {  // what takes its place ends when it would have ended
      const auto left = std::chrono::ceil<Seconds>(*row->expires_at - parts_.clock.now());
      wanted.ttl_seconds = std::max<std::int64_t>(1, left.count());
    }
    wanted.replaces = id.str();
    wanted.dry_run = request.dry_run;
    if (call.principal.kind == PrincipalKind::session) wanted.account_id = row->account_id.str();
    wanted.secrets = request.secrets;
    if (!request.secrets) {
      auto secrets = parts_.revisions.secrets(tx, id, row->current_revision);
      if (!secrets) return std::unexpected(secrets.error());
      std::map<std::string, boost::json::value> values;
      for (const auto& [name, secret] : *secrets)
        values[name] = boost::json::object{{"value", secret.value.reveal()}, {"as", std::string(name_of(secret.as))}};
      if (!values.empty()) wanted.secrets = std::move(values);
    }
    return true;
  });
  if (!read) return std::unexpected(read.error());
  if (request.dry_run.value_or(false)) {
    const auto seen = preflight(call, wanted);
    if (!seen) return std::unexpected(seen.error());
    return IdempotentAnswer{.status = 200, .body = json::write(*seen)};
  }
  auto answer = deploy(call, wanted);
  if (answer && answer->status == 201) answer->status = 202;
  return answer;
}

Result<IdempotentAnswer> Deployments::rollback(const DeploymentCall& call, const DeploymentId& id,
                                               const RollbackRequest& request) {
  return change(
      call, id, "deployment_rolled_back", [&](db::Transaction& tx, const DeploymentRow& row) -> Result<std::int64_t> {
        const auto target =
            request.revision ? revision_rows_.get(tx, id, *request.revision) : revision_rows_.last_superseded(tx, id);
        if (!target) return std::unexpected(target.error());
        if (!*target || (*target)->revision == row.current_revision)
          return fail(Error{
              .code = ErrorCode::invalid_request,
              .fields = {{.field = "revision", .code = "not_found", .detail = "no other revision of that number"}}});
        if ((*target)->version_id) {
          const auto variant = versions_.state(tx, *(*target)->version_id);
          if (!variant) return std::unexpected(variant.error());
          if (*variant && (*variant)->status == "yanked") return fail(ErrorCode::version_yanked);
        }
        return parts_.revisions.copy(tx, id, (*target)->revision, call.actor.name, parts_.clock.now());
      });
}

Result<IdempotentAnswer> Deployments::redeploy(const DeploymentCall& call, const DeploymentId& id) {
  if (call.principal.kind == PrincipalKind::oidc) return fail(ErrorCode::oidc_not_allowed);
  return change(call, id, "deployment_upgraded",
                [&](db::Transaction& tx, const DeploymentRow& row) -> Result<std::int64_t> {
                  return parts_.revisions.copy(tx, id, row.current_revision, call.actor.name, parts_.clock.now());
                });
}

}  // namespace ee::cp
