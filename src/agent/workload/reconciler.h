#pragma once
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <vector>

#include "agent/board.h"
#include "agent/evidence.h"
#include "agent/secret_mask.h"
#include "agent/state_file.h"
#include "agent/waker.h"
#include "agent/workload/decision.h"
#include "agent/workload/document.h"
#include "agent/workload/held.h"
#include "agent/workload/plan.h"
#include "agent/workload/secret_files.h"
#include "agent/workload/steps.h"
#include "agent/workloads.h"

namespace ee::agent {

/// What traffic, evidence and the local API see of the workload. Immutable.
struct ServedWorkload {
  std::string deployment_id;
  std::int64_t assignment_epoch = 0;
  std::int64_t revision = 0;  ///< whose containers exist
  std::string service;
  std::optional<std::string> app;
  std::string compose_sha256;
  agent_api::WorkloadAccess access = agent_api::WorkloadAccess::account;
  std::vector<agent_api::IngressRule> ingress;
  std::map<std::string, std::string> images;      ///< service -> pinned reference
  std::map<std::string, std::string> containers;  ///< service -> name at the engine
  bool running = false;                           ///< came up, and was not stopped since
};

/// Brings what runs to what is wanted: 02 section 14. One worker (`run`, or `step` in tests) does all work with the
/// engine; every other call is quick and thread-safe. The newest verified document, by pull or push, waits in a slot of
/// one; it cancels the work under way at the next step boundary and aborts the engine call in flight.
///
/// What is held is in the state file before the engine is asked for anything, so a process that is killed at any point
/// finds its containers by their labels and goes on: what ran is adopted, what was half made is removed and fetched
/// again.
class Reconciler final : public Workloads {
 public:
  struct Options {
    PlanPlace place;
    std::string boot_id;
    ByteArray<32> content_key{};  ///< of content_hash
    Seconds orphan_grace{600};
    SecretMask* mask = nullptr;  ///< learns the secrets of what is started; null: nobody wants to know
    bool allow_swap = false;
  };
  struct Hooks {
    std::function<void()> changed = [] {};  ///< the report has changed: tell the control plane
    std::function<void()> fetch = [] {};    ///< get the wanted document by pull
    std::function<std::string()> swaps = [] { return std::string(); };  ///< text of /proc/swaps
    /// Measures a workload before its start (`deploy`) and after its stop (`undeploy`).
    std::function<Result<void>(bool deploy, const agent_api::DeploymentDocument&)> measure =
        [](bool, const agent_api::DeploymentDocument&) { return Result<void>(); };
    /// A container was started, or was found running: its log is wanted.
    std::function<void(const std::string& deployment_id, const std::string& service, const std::string& container)>
        started = [](const std::string&, const std::string&, const std::string&) {};
    /// These are stopped and will be removed: the rest of their logs is wanted now.
    std::function<void(const std::string& deployment_id, const std::vector<std::string>& containers)> ended =
        [](const std::string&, const std::vector<std::string>&) {};
    /// Containers with addresses in these subnets are about to start: what they may not reach is to be closed first.
    std::function<Result<void>(const std::vector<std::string>& subnets, const std::stop_token& stop)> guard =
        [](const std::vector<std::string>&, const std::stop_token&) { return Result<void>(); };
    std::function<bool()> disk_is_tight = [] { return false; };  ///< more than 80 % used
  };

  /// All references outlive the object. Takes up what the state file holds.
  Reconciler(Options options, ContainerRuntime& runtime, HealthProbe& probe, StateFile& state, Board& board,
             const InstanceKeys& keys, Hooks hooks, Clock& clock);

  // ---- inputs (any thread)
  std::optional<agent_api::WorkloadReport> report() const override;
  void apply(const agent_api::Desired& desired) override;
  void stop_all() override;

  enum class Taken : std::uint8_t { accepted, already, older, held_by_other };
  struct TakeResult {
    Taken taken = Taken::accepted;
    std::string held_deployment_id = {};  ///< of `held_by_other`
  };
  /// A document as it came; it is verified here. Errors: agent_not_active, body_too_large, signature_invalid,
  /// invalid_request; by push also compose_failed.
  Result<TakeResult> take(std::string_view body, std::string_view kid, std::string_view signature, DocumentPath path);

  enum class Undeploy : std::uint8_t { stopping, nothing, held_by_other };
  Undeploy undeploy(std::string_view deployment_id, std::int64_t assignment_epoch);

  /// Null when nothing is held.
  std::shared_ptr<const ServedWorkload> served() const;
  /// Epoch and revision to tell when a document is fetched; nothing when none is held.
  std::optional<std::pair<std::int64_t, std::int64_t>> held_order() const;
  /// A report that ends a deployment (`stopped`), once; for the reporter.
  std::optional<agent_api::WorkloadReport> take_closing_report();
  /// Of /deployed; nothing unless a workload runs whose report says so.
  std::optional<agent_api::DeployedRequest> deployed_report() const;
  bool idle() const;  ///< nothing is held, waits or is being done

  // ---- work (one thread)
  void run(const std::stop_token& stop);
  /// One turn: the input that waits, else a look at what runs. When to come again.
  SteadyTime step(const std::stop_token& stop);
  /// Something happened at the engine: look now. Any thread.
  void look() { waker_.wake(); }

 private:
  struct Incoming {
    DocumentKey key;
    agent_api::DeploymentDocument document;
    OpenedSecrets opened;
    std::optional<Error> seal_error;
    DocumentPath path = DocumentPath::pull;
  };
  struct Input {
    std::shared_ptr<Incoming> document;  ///< null: stop what is held
  };
  struct Watched {
    std::deque<SteadyTime> exits;
    std::optional<SteadyTime> start_at;
  };

  // reconciler.cpp
  Result<std::shared_ptr<Incoming>> verify(std::string_view body, std::string_view kid, std::string_view signature,
                                           DocumentPath path);
  std::optional<HeldKey> accepted_locked() const;
  void put_locked(Input input, bool cancel_work);
  bool is_known_locked(const agent_api::Desired& desired) const;
  std::optional<Input> next_input();
  void act(const Input& input, const std::stop_token& stop);
  void update_view_locked();
  void set_held(std::optional<HeldWorkload> held);
  void set_phase(agent_api::WorkloadPhase phase);
  void set_progress(std::optional<agent_api::WorkloadProgress> progress);
  void save_held();

  // reconciler_deploy.cpp
  void deploy(Incoming& incoming, const std::stop_token& stop);
  void upgrade(Incoming& incoming, const std::stop_token& stop);
  StepResult<WorkloadPlan> prepare(Incoming& incoming);
  StepResult<std::map<std::string, ImageInfo>> fetch_images(const WorkloadPlan& plan, const Incoming& incoming,
                                                            const std::stop_token& work);
  StepResult<void> bring_up(const WorkloadPlan& plan, const Incoming& incoming,
                            const std::map<std::string, ImageInfo>& images, SteadyTime until,
                            const std::stop_token& work);
  void came_up(WorkloadPlan plan, const Incoming& incoming, const std::map<std::string, ImageInfo>& images);
  void deploy_failed(const StepFailure& failure, const std::stop_token& stop);
  void upgrade_failed(const StepFailure& failure, const agent_api::DeploymentDocument& target, bool old_stopped,
                      const std::stop_token& stop);
  /// Does a step, and does it again from its beginning when the engine went away meanwhile: that is no failure of the
  /// workload, though its containers may have ended by it.
  template <class T, class Step>
  StepResult<T> despite_restarts(const Step& step, SteadyTime until, const std::stop_token& work) {
    while (true) {
      const auto before = runtime_.interruptions();
      StepResult<T> done = step();
      if (done || done.error().cancelled) return done;
      if (!done.error().engine_away && runtime_.interruptions() == before) return done;
      if (!await_engine(until, work)) return done;
    }
  }
  bool await_engine(SteadyTime until, const std::stop_token& stop);
  void measure_end(const agent_api::DeploymentDocument& document);
  void prune(const agent_api::DeploymentDocument& document, const std::stop_token& stop);
  bool start_old_again(const std::stop_token& stop);
  void stop_held(const std::stop_token& stop);
  StepResult<void> guard_networks(const std::stop_token& stop);
  void tell_started(const PlannedContainer& container);
  void tell_ended(const WorkloadPlan& plan);
  bool tear_down(const HeldWorkload& held, bool with_volumes, const std::stop_token& stop);
  void adopt_key(const Incoming& incoming);

  // reconciler_watch.cpp
  void recover(const std::stop_token& stop);
  bool adopt_containers(const HeldWorkload& held, const std::vector<ContainerSummary>& containers,
                        const std::stop_token& stop);
  SteadyTime watch(const std::stop_token& stop);
  std::optional<StepFailure> watch_containers(const std::stop_token& stop);
  void watch_health(const std::stop_token& stop);
  void running_failed(const StepFailure& failure, const std::stop_token& stop);
  void sweep_leftovers(bool at_once, const std::stop_token& stop);
  bool is_leftover(const Labels& labels, bool at_once) const;
  bool is_wanted(const Labels& labels) const;
  bool engine_ok(bool reachable);

  const Options options_;
  ContainerRuntime& runtime_;
  DeploySteps steps_;
  StateFile& state_;
  Board& board_;
  const InstanceKeys& keys_;
  Hooks hooks_;
  Clock& clock_;
  SecretFiles secret_files_;
  Waker waker_;

  mutable std::mutex mutex_;
  std::optional<Input> slot_;
  std::shared_ptr<Incoming> working_on_;     // the document being deployed
  bool stopping_ = false;                    // a stop is being done
  std::stop_source work_{std::nostopstate};  // cancels the work under way
  std::optional<HeldWorkload> held_;         // written by the worker only
  std::optional<agent_api::WorkloadReport> reported_;
  std::optional<agent_api::WorkloadReport> closing_;
  std::shared_ptr<const ServedWorkload> served_;
  std::vector<agent_api::RunningService> services_;
  std::optional<UtcTime> health_checked_at_;
  std::optional<SteadyTime> none_at_;     // when a `none` with grace takes effect
  std::optional<DocumentKey> tombstone_;  // what was stopped last
  std::set<std::string> named_;           // deployments named in this registration
  std::optional<std::string> wanted_;     // the one that was named last, unless nothing was wanted since
  std::string named_in_;
  SteadyTime registered_at_;

  // The worker's own.
  bool recovered_ = false;
  std::optional<WorkloadPlan> plan_;  // of what runs, without secrets
  bool up_ = false;                   // its containers were not stopped
  bool measured_ = false;             // the document being deployed
  std::map<std::string, Watched> watched_;
  std::int64_t restarts_ = 0;
  std::optional<agent_api::WorkloadHealth> health_;
  int good_in_a_row_ = 0;
  int bad_in_a_row_ = 0;
  SteadyTime next_health_{};
  SteadyTime next_sweep_{};
  SteadyTime last_progress_{};
};

}  // namespace ee::agent
