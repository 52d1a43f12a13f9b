// Deploying: from a request to claimed agents and rows, in one transaction.
#include <algorithm>
#include <set>
#include <string_view>
#include <utility>

#include "common/json.h"
#include "common/node_size.h"
#include "cp/domain/funds.h"
#include "cp/service/deploy_order.h"
#include "cp/store/assignment_store.h"
#include "cp/store/audit_log_store.h"

namespace ee::cp {
namespace {

struct ClaimsKept {
  std::string subject;
  std::string repository;
  std::string repository_id;
  std::string repository_owner;
  std::int64_t repository_owner_id = 0;
  std::string ref;
  std::string event_name;
  std::string run_id;
  std::optional<std::string> sha;
  std::optional<std::string> job_workflow_ref;
  std::optional<std::string> actor;
};
BOOST_DESCRIBE_STRUCT(ClaimsKept, (),
                      (subject, repository, repository_id, repository_owner, repository_owner_id, ref, event_name,
                       run_id, sha, job_workflow_ref, actor))

std::string claims_json(const OidcClaims& claims) {
  return json::write(ClaimsKept{.subject = claims.subject,
                                .repository = claims.repository,
                                .repository_id = claims.repository_id,
                                .repository_owner = claims.repository_owner,
                                .repository_owner_id = claims.repository_owner_id,
                                .ref = claims.ref,
                                .event_name = claims.event_name,
                                .run_id = claims.run_id,
                                .sha = claims.sha,
                                .job_workflow_ref = claims.job_workflow_ref,
                                .actor = claims.actor});
}

std::string owners_json(const Principal& principal) {
  SessionOwners out;
  for (const GithubOwner& owner : principal.github_owners) out.github_owners.push_back(owner.id);
  std::ranges::sort(out.github_owners);
  if (out.github_owners.size() > 16) out.github_owners.resize(16);
  return json::write(out);
}

/// What an agent of this size costs at least: for admission before an agent is known.
PricedResources least_of(const NodeSize& size) { return {.vcpus = size.vcpus, .memory_mib = size.memory_mib()}; }

std::optional<std::string> some(const std::string& text) { return text.empty() ? std::nullopt : std::optional(text); }

}  // namespace

Result<Deployments::Order> Deployments::order_of(const DeploymentCall& call, const DeployRequest& request) {
  const auto account = account_of(call.principal, request.account_id);
  if (!account) return std::unexpected(account.error());
  if (auto good = check_fields(request); !good) return std::unexpected(good.error());
  Order order{.account = *account, .request = request};
  order.replicas = request.replicas.value_or(1);
  order.service = request.service.value_or(request.app.value_or(""));
  order.wanted.env = request.env.value_or(std::map<std::string, std::string>());
  auto secrets = secrets_of(request.secrets);
  if (!secrets) return std::unexpected(secrets.error());
  order.wanted.secrets = std::move(*secrets);
  if (auto good = check_env(order.wanted.env, order.wanted.secrets); !good) return std::unexpected(good.error());
  if (!order.wanted.secrets.empty() && !parts_.box.available()) return fail(ErrorCode::secrets_unavailable);
  order.wanted.ingress = request.ingress;
  order.wanted.health_path = request.health_path;
  order.wanted.deploy_timeout_seconds = request.deploy_timeout_seconds.value_or(900);
  if (call.principal.kind == PrincipalKind::oidc) {
    order.auth_method = DeployAuth::github_oidc;
    if (call.principal.oidc_claims) order.auth_context = claims_json(*call.principal.oidc_claims);
  } else if (call.principal.kind == PrincipalKind::session) {
    order.auth_method = DeployAuth::session;
    // An administrator acts in the account's place, with what the account may see.
    if (!call.principal.is_admin) order.auth_context = owners_json(call.principal);
  }
  order.question.wants.rules = rules_of(request.placement);
  order.question.agent_name = request.agent_name;
  order.question.min_agent_version = parts_.settings().min_agent_version;
  if (auto planned = plan(order); !planned) return std::unexpected(planned.error());
  return order;
}

/// The version's state, the compose rules, and which node sizes come into question.
Result<void> Deployments::plan(Order& order) {
  const DeploymentSettings settings = parts_.settings();
  struct Found {
    std::optional<PlannedVersion> version;
    PlacementCaller caller;
    std::vector<std::pair<std::int64_t, std::string>> prices;
  };
  const auto found = parts_.database.read<Found>([&](db::Transaction& tx) -> Result<Found> {
    Found out;
    if (auto may = check_account(tx, order.account); !may) return std::unexpected(may.error());
    auto caller = parts_.machine.caller_of(
        tx, {.account_id = order.account, .auth_method = order.auth_method, .auth_context = order.auth_context});
    if (!caller) return std::unexpected(caller.error());
    out.caller = std::move(*caller);
    for (const NodeSize& size : node_sizes()) {
      const auto price = parts_.billing.hourly_price(tx, least_of(size), SlaClass::adhoc);
      if (!price) return std::unexpected(price.error());
      out.prices.emplace_back(price->value, std::string(size.name));
    }
    if (!order.request.app) return out;
    const auto app = versions_.app(tx, *order.request.app, order.account);
    if (!app) return std::unexpected(app.error());
    if (!*app) return fail(ErrorCode::app_not_found);
    const auto variants = versions_.variants(tx, (*app)->id, *order.request.version);
    if (!variants) return std::unexpected(variants.error());
    auto attested = attested_of(*variants);
    if (!attested) return std::unexpected(attested.error());
    out.version = PlannedVersion{.app = **app, .version = *order.request.version, .variants = std::move(*attested)};
    return out;
  });
  if (!found) return std::unexpected(found.error());
  order.caller = found->caller;
  order.version = found->version;
  const auto add = [&](const std::string& size, Result<PlannedWorkload> planned) -> Result<void> {
    if (!planned) return std::unexpected(planned.error());
    order.sizes.push_back(size);
    auto& wants = order.question.wants;
    wants.nano_cpus = std::max(wants.nano_cpus, planned->nano_cpus);
    wants.memory_mib = std::max(wants.memory_mib, planned->memory_mib);
    wants.gpu_count = std::max(wants.gpu_count, planned->gpu_count);
    order.workloads.emplace(size, std::move(*planned));
    return {};
  };
  if (!order.version) {
    const std::string size = order.request.node_size.value_or(settings.default_node_size);
    const auto pin = [&](const std::string& compose) { return parts_.pin_images(compose, order.account); };
    return add(size, plan_raw(*order.request.compose, size, order.wanted, settings, pin));
  }
  auto& variants = order.question.wants.variants.emplace();
  for (const DeployableVariant& variant : order.version->variants)
    variants.emplace(variant.node_size, PlacementVariant{.mrtd = variant.mrtd});
  std::vector<std::pair<std::int64_t, std::string>> prices = found->prices;
  std::ranges::sort(prices);
  for (const auto& [price, size] : prices) {
    if (order.request.node_size && *order.request.node_size != size) continue;
    const auto variant_of = [&](const std::string& name) {
      return std::ranges::find(order.version->variants, name, &DeployableVariant::node_size);
    };
    auto variant = variant_of(size);
    if (variant == order.version->variants.end()) variant = variant_of("");
    if (variant == order.version->variants.end()) continue;
    auto planned = plan_version(*order.version, *variant, size, order.wanted, settings);
    // Another size may be large enough; of one that was asked for the reason is told.
    if (!planned && !order.request.node_size && planned.error().code == ErrorCode::compose_forbidden &&
        size != prices.back().second)
      continue;
    if (auto done = add(size, std::move(planned)); !done) return done;
  }
  if (order.sizes.empty()) return fail(ErrorCode::version_variant_not_found);
  return {};
}

Result<IdempotentAnswer> Deployments::try_deploy(const DeploymentCall& call, const DeployRequest& request) {
  const auto account = account_of(call.principal, request.account_id);
  if (!account) return std::unexpected(account.error());
  std::optional<IdempotentRequest> key;
  if (call.idempotent) {
    auto made = call.idempotent(*account);
    if (!made) return std::unexpected(made.error());
    key = std::move(*made);
  }
  if (key) {  // a repetition is answered even when the same request could not be made any more
    const auto known = parts_.database.read<std::optional<StoredAnswer>>(
        [&](db::Transaction& tx) { return IdempotencyStore().find(tx, *key, parts_.clock.now()); });
    if (!known) return std::unexpected(known.error());
    if (*known)
      return IdempotentAnswer{.status = static_cast<int>((*known)->status), .body = (*known)->body, .replayed = true};
  }
  auto order = order_of(call, request);
  if (!order) return std::unexpected(order.error());
  const SteadyTime begin = parts_.clock.steady_now();
  auto answer = idempotency_.run(key, [&](db::Transaction& tx) { return place_all(tx, call, *order); });
  const std::chrono::duration<double> took = parts_.clock.steady_now() - begin;
  parts_.counters.claim_seconds.observe(took.count());
  if (!answer && answer.error().code == ErrorCode::no_capacity && request.wait_for_capacity_seconds.value_or(0) > 0) {
    order->wait_only = true;
    answer = idempotency_.run(key, [&](db::Transaction& tx) { return place_all(tx, call, *order); });
  }
  if (!answer) {
    if (answer.error().code == ErrorCode::no_capacity) return fail(no_capacity(*order, answer.error()));
    return answer;
  }
  for (const AgentRow& agent : order->claimed) parts_.directory.put(agent);
  if (parts_.wake) parts_.wake();
  return answer;
}

Result<ServiceRow> Deployments::service_for(db::Transaction& tx, const Order& order, const Actor& actor) const {
  const UtcTime now = parts_.clock.now();
  auto known = services_.find(tx, order.service);
  if (!known) return std::unexpected(known.error());
  const auto wanted = order.request.access;
  if (!*known) {
    const auto id = new_uuid_v7(now, parts_.random);
    if (!id) return fail(ErrorCode::internal_error, "the CSPRNG failed");
    ServiceRow row{.id = *id,
                   .name = order.service,
                   .account_id = order.account,
                   .access = wanted.value_or(ServiceAccess::account),
                   .created_at = now,
                   .updated_at = now};
    if (auto done = services_.insert(tx, row); !done) return std::unexpected(done.error());
    // From now on its callers hear that it has no backend yet, not that there is no such service.
    if (auto done = services_.raise_route_epoch(tx); !done) return std::unexpected(done.error());
    return row;
  }
  ServiceRow row = std::move(**known);
  if (row.account_id != order.account) return fail(ErrorCode::service_name_taken);
  const ServiceAccess access = wanted.value_or(row.access);
  if (row.deleted_at) {
    if (auto done = services_.restore(tx, row.id, access, now); !done) return std::unexpected(done.error());
    if (auto done = services_.raise_route_epoch(tx); !done) return std::unexpected(done.error());
  } else if (access != row.access) {
    if (auto done = services_.set_access(tx, row.id, access, now); !done) return std::unexpected(done.error());
    if (auto done = rows_.change_documents(tx, row.id, now); !done) return std::unexpected(done.error());
    if (auto done = services_.raise_route_epoch(tx); !done) return std::unexpected(done.error());
    const auto audited = AuditLogStore().append(tx,
                                                {.actor = actor.name,
                                                 .action = "service_access_changed",
                                                 .object_type = "service",
                                                 .object_id = row.id,
                                                 .request_id = some(actor.request_id),
                                                 .client_address = some(actor.client_address),
                                                 .detail = "{\"access\":" + json::quote(name_of(access)) + "}"},
                                                now, parts_.random);
    if (!audited) return std::unexpected(audited.error());
  }
  row.access = access;
  return row;
}

Result<UsdMicros> Deployments::estimate(db::Transaction& tx, const Order& order) const {
  const NodeSize* size = find_node_size(order.sizes.front());
  return parts_.billing.hourly_price(tx, least_of(*size), order.request.sla_class.value_or(SlaClass::adhoc));
}

/// Fills in the agents, all or none of them.
Result<void> Deployments::claim_all(db::Transaction& tx, const Order& order, std::vector<Placed>& placed) const {
  const UtcTime now = parts_.clock.now();
  DatacenterUse used;
  for (Placed& one : placed) {
    if (order.question.agent_name) {
      PlacementQuestion question = order.question;
      question.node_size = order.request.node_size;
      auto agent = parts_.placer.claim_pinned(tx, question, order.caller, one.id, now);
      if (!agent) return std::unexpected(agent.error());
      one.agent = std::move(*agent);
    } else {
      auto agent = parts_.placer.claim_or_refuse(tx, order.question, order.caller, order.sizes, one.id, used, now);
      if (!agent) return std::unexpected(agent.error());
      one.agent = std::move(*agent);
    }
    ++used[one.agent->datacenter];
    one.size = one.agent->node_size;
    if (!order.workloads.contains(one.size)) return fail(not_eligible({PlacementReason::agent_node_size_mismatch}));
    const auto price =
        parts_.billing.hourly_price(tx, priced(*one.agent), order.request.sla_class.value_or(SlaClass::adhoc));
    if (!price) return std::unexpected(price.error());
    one.hourly = *price;
  }
  return {};
}

Result<EffectAnswer> Deployments::place_all(db::Transaction& tx, const DeploymentCall& call, Order& order) {
  const UtcTime now = parts_.clock.now();
  order.claimed.clear();
  // Registries may have been asked since the plan was made: the account may have been suspended or closed meanwhile.
  if (auto may = check_account(tx, order.account); !may) return std::unexpected(may.error());
  const auto service = service_for(tx, order, call.actor);
  if (!service) return std::unexpected(service.error());
  if (auto good = check_version(tx, order); !good) return std::unexpected(good.error());
  if (auto good = check_replaced(tx, order, *service); !good) return std::unexpected(good.error());
  const auto active = rows_.count_active(tx, order.account);
  if (!active) return std::unexpected(active.error());
  if (*active + order.replicas > parts_.settings().max_active) return fail(ErrorCode::deployment_limit);
  const auto least = estimate(tx, order);
  if (!least) return std::unexpected(least.error());
  if (auto funds = parts_.billing.admit(tx, order.account, *least, order.replicas); !funds)
    return std::unexpected(funds.error());

  std::vector<Placed> placed(static_cast<std::size_t>(order.replicas));
  for (Placed& one : placed) {
    const auto id = new_uuid_v7(now, parts_.random);
    if (!id) return fail(ErrorCode::internal_error, "the CSPRNG failed");
    one = {.id = DeploymentId(*id), .size = order.sizes.front(), .hourly = *least};
  }
  if (!order.wait_only) {
    if (auto claimed = claim_all(tx, order, placed); !claimed) return std::unexpected(claimed.error());
    std::int64_t total = 0;
    for (const Placed& one : placed) total += one.hourly.value;
    // The estimate was admitted above; agents may cost more.
    if (total > saturated_product(least->value, order.replicas))
      if (auto funds = parts_.billing.admit(tx, order.account, {total}, 1); !funds)
        return std::unexpected(funds.error());
  }
  DeployAnswer answer{.group_id = placed.front().id.str(),
                      .service = {.name = service->name, .url = views_.url_of(service->name)},
                      .deployments = {},
                      .warnings = {}};
  std::set<std::pair<std::string_view, std::string_view>> told;  // replicas mostly run the same
  for (const Placed& one : placed)
    for (const DeployWarning& warning : order.workloads.at(one.size).warnings)
      if (told.emplace(warning.code, warning.detail).second) answer.warnings.push_back(warning);
  for (Placed& one : placed) {
    one.row.group_id = answer.group_id;
    if (auto done = insert_one(tx, call, order, *service, one); !done) return std::unexpected(done.error());
    if (one.agent) order.claimed.push_back(*one.agent);
    answer.deployments.push_back({.id = one.id.str(),
                                  .state = one.row.state,
                                  .agent = agent_view(one.agent),
                                  .revision = 1,
                                  .hourly_price = one.row.hourly_micros.value_or(one.hourly),
                                  .expires_at = one.row.expires_at});
  }
  return EffectAnswer{.status = 201, .body = json::write(answer)};
}

Result<void> Deployments::insert_one(db::Transaction& tx, const DeploymentCall& call, const Order& order,
                                     const ServiceRow& service, Placed& placed) const {
  const UtcTime now = parts_.clock.now();
  DeploymentRow& row = placed.row;
  const DeployRequest& request = order.request;
  row.id = placed.id;
  row.account_id = order.account;
  row.service_id = service.id;
  row.agent_name = request.agent_name;
  row.auth_method = order.auth_method;
  row.auth_context = order.auth_context;
  row.node_size = placed.size;
  row.datacenter_policy = json::write(order.question.wants);
  row.sla_class = request.sla_class.value_or(SlaClass::adhoc);
  row.hourly_micros = placed.hourly;
  row.on_agent_lost = request.on_agent_lost.value_or(OnAgentLost::fail);
  if (request.replaces) row.replaces_deployment_id = DeploymentId(*request.replaces);
  if (request.ttl_seconds) row.expires_at = now + Seconds(*request.ttl_seconds);
  row.created_at = row.updated_at = now;
  const std::int64_t wait = request.wait_for_capacity_seconds.value_or(0);
  if (wait > 0) row.wait_ends_at = now + Seconds(wait);
  if (placed.agent) {
    if (auto done = parts_.machine.take_slot(tx, row, *placed.agent, now); !done) return done;
  } else {
    row.state = DeploymentState::pending;
    row.next_action_at = row.state_deadline_at = row.wait_ends_at;
  }
  if (auto done = rows_.insert(tx, row); !done) return done;
  const PlannedWorkload& workload = order.workloads.at(placed.size);
  RevisionRow revision = workload.revision;
  revision.deployment_id = row.id;
  revision.revision = 1;
  revision.created_by = call.actor.name;
  revision.created_at = now;
  if (auto done = parts_.revisions.add(tx, revision, workload.secrets); !done) return done;
  const EventInputs inputs{.actor = call.actor.name, .request_id = some(call.actor.request_id)};
  if (auto done = events_.append(tx, {.deployment_id = row.id,
                                      .at = now,
                                      .kind = "state",
                                      .to_state = row.state,
                                      .actor = inputs.actor,
                                      .detail = placed.agent ? AssignmentStore::event_detail(placed.agent->id) : "{}",
                                      .request_id = inputs.request_id});
      !done)
    return done;
  const auto audited = AuditLogStore().append(tx,
                                              {.actor = call.actor.name,
                                               .action = "deploy_accepted",
                                               .object_type = "deployment",
                                               .object_id = row.id.str(),
                                               .request_id = some(call.actor.request_id),
                                               .client_address = some(call.actor.client_address),
                                               .detail = "{\"service\":" + json::quote(service.name) + "}"},
                                              now, parts_.random);
  if (!audited) return std::unexpected(audited.error());
  return {};
}

}  // namespace ee::cp
