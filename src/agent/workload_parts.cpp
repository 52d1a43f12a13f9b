#include "agent/workload_parts.h"

#include <fmt/format.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "agent/files.h"
#include "agent/own_instance.h"
#include "agent/runtime/container_stats.h"
#include "agent/runtime/firewall.h"
#include "agent/runtime/log_collectors.h"
#include "agent/runtime/log_ring.h"
#include "agent/runtime/runtime_choice.h"
#include "agent/workload/channel.h"
#include "agent/workload/public_evidence.h"
#include "agent/workload/reconciler.h"
#include "agent/workload/workload_log.h"
#include "agent/workload_api.h"
#include "agent/workload_traffic.h"
#include "common/deadline_stop.h"
#include "common/log.h"

namespace ee::agent {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kLogTail = 16UL * 1024;
constexpr Milliseconds kDrainTime = 5s;
constexpr std::int64_t kMemoryOfTheVm = 512;  // MiB that no workload gets

Result<std::string> new_content_key(Random& random) {
  ByteArray<32> key{};
  if (!random.fill(key)) return fail(ErrorCode::internal_error, "no random bytes");
  return to_hex(key);
}

bool disk_is_tight(const std::string& path) {
  struct statvfs info{};
  if (::statvfs(path.c_str(), &info) != 0 || info.f_blocks == 0) return false;
  return static_cast<std::uint64_t>(info.f_blocks - info.f_bfree) * 100 / info.f_blocks > 80;
}

}  // namespace

struct WorkloadParts::Parts {
  explicit Parts(const Outer& from)
      : outer(from), own_log(from.world.clock), traffic_served([this] { return served(); }) {}

  std::shared_ptr<const ServedWorkload> served() const { return reconciler ? reconciler->served() : nullptr; }
  Reconciler::Options options(const ByteArray<32>& content_key);
  Reconciler::Hooks hooks();
  Result<void> guard(const std::vector<std::string>& subnets, const std::stop_token& stop);
  std::map<std::string, ContainerStats> container_stats();
  void drain_logs(const std::string& deployment_id, const std::vector<std::string>& containers);

  Outer outer;
  std::string instance;
  NoWorkloads nothing;
  std::optional<WorkloadLog> log;
  SecretMask mask;  // of what runs
  ChosenRuntime chosen;
  LogRing own_log;  // when the program keeps none of its own
  std::optional<LogRing> logs;
  std::optional<LogCollectors> collectors;
  std::optional<ContainerStatsSampler> sampler;
  std::optional<NetworkHealthProbe> probe;
  std::optional<NftFirewall> firewall;
  std::vector<std::string> guarded;  // of the reconciler's thread, as the next
  bool firewall_told = false;
  std::optional<Reconciler> reconciler;
  std::optional<WorkloadChannel> channel;
  std::atomic<bool> connected = false;  // the channel is there
  std::function<agent_api::HostStats()> host_stats = [] { return agent_api::HostStats{}; };
  WorkloadTraffic::Served traffic_served;
  std::optional<WorkloadTraffic> traffic;
  std::optional<WorkloadApi> api;
  std::optional<PublicEvidence> evidence;
};

Reconciler::Options WorkloadParts::Parts::options(const ByteArray<32>& content_key) {
  const AgentConfig& config = outer.config;
  const std::int64_t most = std::max<std::int64_t>(outer.capacity.memory_mib - kMemoryOfTheVm, 0);
  Reconciler::Options out{
      .place = {.instance = instance,
                .run_dir = config.run_dir,
                .workload_address = config.workload_address,
                .ceiling = {.vcpus = outer.capacity.vcpus,
                            .memory_mib = std::min(config.max_workload_memory_mib.value_or(most), most),
                            .gpu_count = outer.capacity.gpu_count}},
      .boot_id = outer.boot_id,
      .content_key = content_key,
      .orphan_grace = config.orphan_grace,
      .mask = &mask,
      .allow_swap = config.env == Environment::dev};
  for (const int offset : {0, 1})
    if (config.listen.port != 0)
      out.place.reserved_ports.push_back(static_cast<std::uint16_t>(config.listen.port + offset));
  return out;
}

Reconciler::Hooks WorkloadParts::Parts::hooks() {
  return {.changed =
              [this] {
                if (connected) channel->changed();
              },
          .fetch =
              [this] {
                if (connected) channel->fetch();
              },
          .swaps = [this] { return outer.world.host.read("proc/swaps", 65536).value_or(""); },
          .measure = [this](bool deploy,
                            const agent_api::DeploymentDocument& document) { return log->measure(deploy, document); },
          .started =
              [this](const std::string& deployment_id, const std::string& service, const std::string& container) {
                collectors->attach({.deployment_id = deployment_id, .service = service}, container);
              },
          .ended = [this](const std::string& deployment_id,
                          const std::vector<std::string>& containers) { drain_logs(deployment_id, containers); },
          .guard = [this](const std::vector<std::string>& subnets,
                          const std::stop_token& stop) { return guard(subnets, stop); },
          .disk_is_tight = [this] { return disk_is_tight(outer.config.data_dir); }};
}

Result<void> WorkloadParts::Parts::guard(const std::vector<std::string>& subnets, const std::stop_token& stop) {
  if (chosen.answers) return {};  // nothing runs in containers
  if (subnets.empty()) {
    guarded.clear();
    outer.board.clear_check("firewall_missing");
    return firewall->remove(stop);
  }
  const bool as_before = subnets == guarded && firewall->in_place(stop);
  const auto set = as_before ? Result<void>() : firewall->set_subnets(subnets, stop);
  if (as_before || (set && firewall->in_place(stop))) {
    guarded = subnets;
    firewall_told = false;
    outer.board.clear_check("firewall_missing");
    return {};
  }
  guarded.clear();
  outer.board.fail_check("firewall_missing", "firewall_missing");
  if (!std::exchange(firewall_told, true)) log::warn("workload", "no firewall between containers and this host");
  if (outer.config.env == Environment::dev) return {};
  return fail(ErrorCode::internal_error, set ? "the rules are not in place" : set.error().detail);
}

void WorkloadParts::Parts::drain_logs(const std::string& deployment_id, const std::vector<std::string>& containers) {
  const DeadlineStop until(outer.world.clock, outer.world.clock.steady_now() + kDrainTime, {});
  for (const std::string& container : containers) {
    collectors->drain(container, until.token());
    collectors->detach(container);
    sampler->forget(container);
  }
  logs->mark_stopped(deployment_id);
}

std::map<std::string, ContainerStats> WorkloadParts::Parts::container_stats() {
  std::map<std::string, ContainerStats> out;
  const auto now = served();
  if (!now) return out;
  for (const auto& [service, container] : now->containers) {
    const auto state = chosen.runtime->inspect(container, {});
    if (state) out[service] = sampler->sample(container, state->pid, {});
  }
  return out;
}

WorkloadParts::WorkloadParts(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
WorkloadParts::~WorkloadParts() = default;

std::expected<std::unique_ptr<WorkloadParts>, StartFailure> WorkloadParts::make(const Outer& outer) {
  const auto failed = [](ExitCode code, std::string reason) {
    return std::unexpected(StartFailure{.exit_code = code, .reason = std::move(reason)});
  };
  const AgentConfig& config = outer.config;
  const World& world = outer.world;
  auto parts = std::make_unique<Parts>(outer);

  auto rtmr3 = kernel_register(world.host.root() + "/" + std::string(kKernelRegisterPath));
  auto emulated = emulated_register(outer.quotes);
  const bool is_emulated = emulated != nullptr;
  // The log lives as long as the register: till the next boot, or in development with the emulator's file.
  const std::string log_directory = is_emulated ? config.emulated_tdx_dir : config.run_dir;
  parts->log.emplace(is_emulated ? std::move(emulated) : std::move(rtmr3), log_directory + "/workload-log.json",
                     outer.board);

  const auto instance = own_instance(config.data_dir, world.random);
  if (!instance) return failed(ExitCode::internal, instance.error().detail);
  parts->instance = *instance;
  const auto key_text = kept_text(config.run_dir + "/content.key", 64, [&] { return new_content_key(world.random); });
  const auto content_key = key_text ? from_hex_exact<32>(*key_text) : std::nullopt;
  if (!content_key) return failed(ExitCode::internal, "the key file in run_dir cannot be used");

  auto chosen = choose_runtime(config, *instance, world.clock, world.random, {}, {}, {}, &parts->mask);
  if (!chosen) return failed(ExitCode::container_engine, chosen.error());
  parts->chosen = std::move(*chosen);
  Parts* const raw = parts.get();
  if (parts->chosen.runtime) {
    ContainerRuntime& runtime = *parts->chosen.runtime;
    parts->logs.emplace(world.clock);
    parts->collectors.emplace(runtime, *parts->logs, world.clock);
    parts->sampler.emplace(world.host, world.clock, runtime);
    parts->probe.emplace(world.http);
    parts->firewall.emplace(world.subprocesses, world.clock, *instance,
                            std::array{config.listen.port, static_cast<std::uint16_t>(config.listen.port + 1)});
    if (!parts->chosen.answers)
      if (const auto removed = parts->firewall->remove_stale(local_ipv4_addresses(), {}); !removed)
        log::warn("workload", "stale firewall rules are not looked for", {{"reason", removed.error().detail}});
    parts->reconciler.emplace(parts->options(*content_key), runtime, *parts->probe, outer.state, outer.board,
                              outer.keys, parts->hooks(), world.clock);
    parts->traffic.emplace(outer.board, parts->traffic_served, config.workload_address);
    LogRing& agent_log = world.agent_log != nullptr ? *world.agent_log : parts->own_log;
    parts->api.emplace(*parts->reconciler, *parts->logs, agent_log,
                       WorkloadApi::Hooks{.host_stats = [raw] { return raw->host_stats(); },
                                          .container_stats = [raw] { return raw->container_stats(); }},
                       world.clock);
    if (!has_cgroup_v2(world.host)) outer.board.fail_check("cgroup_v1", "cgroup_v1");
  }
  parts->evidence.emplace(config, outer.vm_name, outer.board, outer.keys, outer.quotes, world.host,
                          parts->traffic_served, &*parts->log, world.clock);
  return std::unique_ptr<WorkloadParts>(new WorkloadParts(std::move(parts)));
}

Workloads& WorkloadParts::workloads() {
  if (parts_->reconciler) return *parts_->reconciler;
  return parts_->nothing;
}

EvidenceMaker::WorkloadEntries WorkloadParts::log_entries() const {
  return [parts = parts_.get()] { return parts->log->entries(); };
}

void WorkloadParts::fill(LocalApi::Hooks& hooks) {
  Parts* const parts = parts_.get();
  hooks.workload = [this] { return workloads().report(); };
  hooks.evidence = &*parts->evidence;
  if (!parts->chosen.runtime) return;
  hooks.runtime = parts->chosen.info.name + " " + parts->chosen.info.version;
  hooks.workload_api = &*parts->api;
  hooks.traffic = [parts](const net::RequestHead& head, const ClassifiedPath& path) {
    return parts->traffic->open(head, path);
  };
}

void WorkloadParts::connect(ControlPlaneClient& client, std::function<void()> sync,
                            std::function<agent_api::HostStats()> host_stats) {
  Parts& parts = *parts_;
  if (!parts.reconciler) return;
  parts.host_stats = std::move(host_stats);
  Parts* const raw = &parts;
  parts.channel.emplace(parts.outer.board, client,
                        WorkloadChannel::Hooks{.log_tail =
                                                   [raw] {
                                                     const auto report = raw->reconciler->report();
                                                     return report
                                                                ? raw->logs->tail_text(report->deployment_id, kLogTail)
                                                                : std::string();
                                                   },
                                               .sync = std::move(sync)},
                        parts.outer.world.clock, parts.outer.world.random);
  parts.channel->serve(*parts.reconciler);
  parts.connected = true;
}

void WorkloadParts::run_threads(const std::stop_token& stop, std::vector<std::jthread>& threads) {
  if (!parts_->reconciler) return;
  Parts* const parts = parts_.get();
  threads.emplace_back([parts, stop] { parts->reconciler->run(stop); });
  threads.emplace_back([parts, stop] { parts->channel->runner().run(stop); });
  threads.emplace_back([parts, stop] {
    const EngineTime since = unix_ms(parts->outer.world.clock.now()) * 1'000'000;
    (void)parts->chosen.runtime->events(since, [parts](const ContainerEvent&) { parts->reconciler->look(); }, stop);
  });
}

void WorkloadParts::await_stopped(Milliseconds patience) {
  if (!parts_->reconciler) return;
  const auto until = std::chrono::steady_clock::now() + patience;
  while (!parts_->reconciler->idle() && std::chrono::steady_clock::now() < until) std::this_thread::sleep_for(50ms);
}

}  // namespace ee::agent
