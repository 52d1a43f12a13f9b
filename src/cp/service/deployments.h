#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "cp/domain/principal.h"
#include "cp/service/actor.h"
#include "cp/service/deploy_plan.h"
#include "cp/service/deployment_machine.h"
#include "cp/service/deployment_view.h"
#include "cp/service/directory.h"
#include "cp/service/idempotency.h"

namespace ee::cp {

/// A call about deployments: who makes it (already let in by the route's access rule).
struct DeploymentCall {
  const Principal& principal;
  Actor actor;
  /// What the call's `Idempotency-Key` stands for when it acts for this account. Errors: `invalid_idempotency_key`.
  std::function<Result<std::optional<IdempotentRequest>>(const AccountId&)> idempotent = {};
  std::optional<std::int64_t> if_match = {};
};

/// Deploying and everything a user does with a deployment (03 sections 3, 5.1, 6.6). Thread-safe; calls block on the
/// database. Agents are told by the reconciler; registries are asked for tags of raw files only, outside transactions.
class Deployments {
 public:
  struct Parts {
    db::Database& database;
    const DeploymentMachine& machine;
    const Placer& placer;
    const Revisions& revisions;
    const Billing& billing;
    const SecretBox& box;
    Directory& directory;
    const Clock& clock;
    Random& random;
    DeploymentSettingsSource settings;
    const DeploymentCounters& counters;
    std::function<void()> wake;  ///< the reconciler has something to do
    /// What tags of a raw compose file mean at the moment, for policy `allow`; waits for registries, at most 30 s.
    std::function<Result<PinnedImages>(const std::string& compose, const AccountId& account)> pin_images = {};
  };
  explicit Deployments(Parts parts)
      : parts_(std::move(parts)), idempotency_(parts_.database, parts_.clock), views_(parts_.settings) {}

  /// 201 and a DeployAnswer. Errors: those of 03 section 3.3, in the order of its checks.
  Result<IdempotentAnswer> deploy(const DeploymentCall& call, const DeployRequest& request);
  /// Changes nothing. Errors: only for a request that is not well-formed or whose workload cannot be had.
  Result<PreflightAnswer> preflight(const DeploymentCall& call, const DeployRequest& request);

  Result<Page<DeploymentObject>> list(const Principal& principal, DeploymentFilter filter, const PageRequest& page);
  /// Also for the operator of its agent, reduced. Errors: `deployment_not_found`.
  struct Seen {
    std::optional<DeploymentObject> full = {};
    std::optional<ReducedDeployment> reduced = {};
  };
  Result<Seen> get(const Principal& principal, const DeploymentId& id);
  /// Own ones and those on own agents, with the relation of each.
  struct Mine {
    std::string relation;  ///< `deployer` or `agent_owner`
    Seen seen;
  };
  Result<Page<Mine>> mine(const Principal& principal, const std::optional<std::string>& relation,
                          const PageRequest& page);
  /// The row, for what looks at more than its object. Errors: `deployment_not_found`.
  Result<DeploymentRow> row(const Principal& principal, const DeploymentId& id);
  /// The newest rows that match, of own deployments; administrators: of all. At most PageRequest::kMaxLimit.
  Result<std::vector<DeploymentRow>> rows(const Principal& principal, DeploymentFilter filter);
  Result<std::vector<RevisionObject>> revisions(const Principal& principal, const DeploymentId& id);
  Result<std::vector<DeploymentEventRow>> events(const Principal& principal, const DeploymentId& id,
                                                 std::int64_t after_seq, std::int64_t limit);

  /// Errors: `deployment_not_found`, `deployment_final`, `version_mismatch`, `oidc_not_allowed`.
  Result<DeploymentObject> patch(const DeploymentCall& call, const DeploymentId& id, const DeploymentPatch& patch);
  /// 202, or 200 for one that is stopping or final already.
  Result<IdempotentAnswer> stop(const DeploymentCall& call, const DeploymentId& id, const StopRequest& request);
  /// 202. Errors: `not_running`, `update_in_progress`, `upgrade_changes_app`, `version_mismatch`, those of a deploy.
  Result<IdempotentAnswer> upgrade(const DeploymentCall& call, const DeploymentId& id, const UpgradeRequest& request);
  Result<IdempotentAnswer> rollback(const DeploymentCall& call, const DeploymentId& id, const RollbackRequest& request);
  Result<IdempotentAnswer> redeploy(const DeploymentCall& call, const DeploymentId& id);

  /// Ends it in a transaction of its own, for whatever asks in the name of the system.
  Result<void> request_stop(const DeploymentId& id, std::string_view reason, std::string_view actor);

 private:
  struct Order;
  struct Placed;
  Result<IdempotentAnswer> try_deploy(const DeploymentCall& call, const DeployRequest& request);
  void audit_refusal(const DeploymentCall& call, const DeployRequest& request, const Error& error);
  Result<AccountId> account_of(const Principal& principal, const std::optional<std::string>& named) const;
  /// Whether the account is one that may deploy now.
  static Result<void> check_account(db::Transaction& tx, const AccountId& account);
  Result<Order> order_of(const DeploymentCall& call, const DeployRequest& request);
  Result<void> plan(Order& order);
  Result<EffectAnswer> place_all(db::Transaction& tx, const DeploymentCall& call, Order& order);
  Result<ServiceRow> service_for(db::Transaction& tx, const Order& order, const Actor& actor) const;
  Result<void> check_version(db::Transaction& tx, const Order& order) const;
  Result<void> check_replaced(db::Transaction& tx, const Order& order, const ServiceRow& service) const;
  Result<void> claim_all(db::Transaction& tx, const Order& order, std::vector<Placed>& placed) const;
  Result<void> insert_one(db::Transaction& tx, const DeploymentCall& call, const Order& order,
                          const ServiceRow& service, Placed& placed) const;
  Result<UsdMicros> estimate(db::Transaction& tx, const Order& order) const;
  /// The refusal with its reasons, and when to come again.
  Error no_capacity(const Order& order, Error error);
  Result<PreflightAnswer> look(db::Transaction& tx, const Order& order, const std::vector<PreflightIssue>& issues,
                               std::int64_t named) const;
  Result<DeploymentRow> owned(db::Transaction& tx, const Principal& principal, const DeploymentId& id) const;
  /// The same for a change by it: its account is active. Errors: also `account_suspended`.
  Result<DeploymentRow> changeable(db::Transaction& tx, const Principal& principal, const DeploymentId& id) const;
  bool owns(const Principal& principal, const AccountId& account) const;
  void published(const std::vector<AgentId>& agents);

  /// Whether its revision may be changed, or another deployment made in its place: it runs, and nothing is about to
  /// replace it, with which the change would be lost. Errors: those of the transition, update_in_progress.
  Result<void> may_change(db::Transaction& tx, const DeploymentRow& row) const;
  /// The request's idempotency key, of the account whose deployment it is. Errors: deployment_not_found, of the key.
  Result<std::optional<IdempotentRequest>> request_key(const DeploymentCall& call, const DeploymentId& id);
  Result<IdempotentAnswer> change(
      const DeploymentCall& call, const DeploymentId& id, std::string action,
      const std::function<Result<std::int64_t>(db::Transaction&, const DeploymentRow&)>& make);
  /// `pinned`: the images of the request's compose file, when it has tags.
  Result<PlannedWorkload> replan(db::Transaction& tx, const DeploymentRow& row, const RevisionRow& current,
                                 const UpgradeRequest& request, const std::optional<PinnedImages>& pinned) const;
  Result<std::optional<PinnedImages>> pin_upgrade(const DeploymentCall& call, const DeploymentId& id,
                                                  const UpgradeRequest& request);
  Result<IdempotentAnswer> replace(const DeploymentCall& call, const DeploymentId& id, const UpgradeRequest& request);

  Parts parts_;
  Idempotency idempotency_;
  DeploymentViews views_;
  DeploymentStore rows_;
  RevisionStore revision_rows_;
  DeploymentEventStore events_;
  ServiceStore services_;
  DeployableStore versions_;
  PlacementStore agents_;
  ReservationStore reservations_;
};

}  // namespace ee::cp
