#pragma once
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <set>
#include <thread>

#include "agent/runtime/fake_runtime.h"
#include "agent/workload/reconciler.h"
#include "common/compose/compose.h"
#include "common/crypto.h"
#include "common/fake_clock.h"
#include "common/fake_random.h"
#include "common/json.h"
#include "common/signatures.h"
#include "tests/support/temp_dir.h"

namespace ee::agent::testing {

/// Answers as the test says and counts.
class FakeProbe final : public HealthProbe {
 public:
  bool http(const std::string& address, std::uint16_t port, const std::string& path, const std::stop_token&) override {
    last = "http " + address + ":" + std::to_string(port) + path;
    ++calls;
    return healthy;
  }
  bool tcp(const std::string& address, std::uint16_t port, const std::stop_token&) override {
    last = "tcp " + address + ":" + std::to_string(port);
    ++calls;
    return healthy;
  }
  std::atomic<bool> healthy = true;
  std::atomic<int> calls = 0;
  std::string last;
};

inline constexpr const char* kDeploymentD = "0190a000-0000-7000-8000-0000000000d1";
inline constexpr const char* kDeploymentE = "0190a000-0000-7000-8000-0000000000e1";

/// A document before it is signed.
struct Wanted {
  std::string deployment_id = kDeploymentD;
  std::int64_t epoch = 1;
  std::int64_t revision = 1;
  std::string image = "web";  ///< of the one service, when `compose` is empty
  std::string compose = {};   ///< as a user writes it
  std::map<std::string, std::string> env = {};
  std::vector<agent_api::SealedSecret> secrets = {};
  std::string health_path = "/health";
  std::vector<agent_api::IngressRule> ingress = {{.path_prefix = "/", .port = 8080}};
  std::int64_t deploy_timeout_seconds = 300;
  agent_api::WorkloadAccess access = agent_api::WorkloadAccess::public_;
};

/// A reconciler over a fake engine, with a session and documents signed for it. `restart` is a kill -9: the reconciler
/// is dropped where it stands and another one begins over the same engine and directories.
class ReconcilerFixture : public ::testing::Test {
 protected:
  static constexpr const char* kInstance = "0190a000-0000-4000-8000-0000000000aa";
  static constexpr const char* kBoot = "1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed";
  static constexpr const char* kAgentId = "0190a000-0000-7000-8000-000000000001";

  ReconcilerFixture() {
    clock_.set_auto_advance(true);
    for (const char* image : {"web", "web2", "db", "job"}) add_image(image);
    new_registration();
    start();
  }
  ~ReconcilerFixture() override { stop_worker(); }

  static std::string reference(const std::string& name) {
    return "registry.example.com/" + name + "@sha256:" + to_hex(sha256(bytes_of(name)));
  }
  void add_image(const std::string& name, FakeProgram program = {}) {
    FakeImage image;
    image.info.id = "sha256:" + to_hex(sha256(bytes_of("config of " + name)));
    image.info.config = "{}";
    image.program = std::move(program);
    runtime_.add_image(reference(name), image);
  }

  void new_registration() {
    registration_id_ = *new_uuid_v7(clock_.now() + Milliseconds(++registrations_), random_);
    board_.begin_session(
        Session{.identity = {.agent_id = kAgentId, .registration_id = registration_id_, .credential = {}},
                .signers = SignerSet({cp_key_.public_key()})});
  }

  void start() {
    state_ = StateFile::open(dir_.path(), clock_).value();
    reconciler_ = std::make_unique<Reconciler>(
        Reconciler::Options{.place = {.instance = kInstance,
                                      .run_dir = run_dir(),
                                      .workload_address = "127.0.0.1",
                                      .ceiling = {.vcpus = 4, .memory_mib = 8192, .gpu_count = 0}},
                            .boot_id = boot_id_,
                            .content_key = {7},
                            .mask = &mask_},
        runtime_, probe_, *state_, board_, keys_,
        Reconciler::Hooks{.changed = [this] { note_report(); },
                          .fetch = [this] { ++fetches_; },
                          .swaps = [this] { return swaps_; },
                          .measure =
                              [this](bool deploy, const agent_api::DeploymentDocument& document) {
                                measured_.push_back((deploy ? "deploy r" : "undeploy r") +
                                                    std::to_string(document.revision));
                                return Result<void>();
                              },
                          .guard =
                              [this](const std::vector<std::string>& subnets, const std::stop_token&) {
                                guarded_.push_back(subnets);
                                return Result<void>();
                              },
                          .disk_is_tight = [this] { return disk_is_tight_; }},
        clock_);
  }
  /// The process ends without a last word and starts again; then it registers anew.
  void restart(bool same_registration = false) {
    stop_worker();
    reconciler_.reset();
    state_.reset();
    if (!same_registration) new_registration();
    start();
  }

  std::string document(const Wanted& wanted) {
    agent_api::DeploymentDocument out;
    out.deployment_id = wanted.deployment_id;
    out.assignment_epoch = wanted.epoch;
    out.revision = wanted.revision;
    out.service = "hello";
    const std::string text = wanted.compose.empty() ? R"({"services":{"web":{"image":")" + reference(wanted.image) +
                                                          R"(","ports":["8080:80"]}}})"
                                                    : wanted.compose;
    compose::CheckOptions options{.ceiling = {.vcpus = 4, .memory_mib = 8192, .gpu_count = 0}};
    const auto checked = compose::check(text, options);
    if (checked) {
      const auto resolved = compose::resolve(*checked, *compose::own_digests(*checked)).value();
      out.compose = resolved.compose;
    } else {
      out.compose = text;  // for documents that no control plane would make
    }
    out.compose_sha256 = to_hex(sha256(bytes_of(out.compose)));
    out.env = wanted.env;
    if (!wanted.secrets.empty()) {
      std::string list = "[";
      for (const auto& secret : wanted.secrets) list += (list.size() > 1 ? "," : "") + json::write(secret);
      const auto context =
          agent_api::secrets_seal_context(kAgentId, wanted.deployment_id, wanted.epoch, wanted.revision);
      out.secrets = agent_api::Sealed{.ciphertext = to_base64(*seal(context, list + "]", keys_.sealing.public_key()))};
    }
    out.ingress = wanted.ingress;
    out.health_path = wanted.health_path;
    out.access = wanted.access;
    out.deploy_timeout_seconds = wanted.deploy_timeout_seconds;
    out.stop_grace_seconds = 10;
    out.issued_at = clock_.now();
    return json::write(out);
  }
  std::string signature(const std::string& body) const {
    return to_base64(cp_key_.sign(signed_body_input("deployment", kAgentId, registration_id_, bytes_of(body))));
  }
  Result<Reconciler::TakeResult> take_body(const std::string& body, DocumentPath path) {
    return reconciler_->take(body, key_id(cp_key_.public_key()), signature(body), path);
  }
  Reconciler::Taken take(const Wanted& wanted, DocumentPath path = DocumentPath::pull) {
    return take_body(document(wanted), path).value().taken;
  }
  /// What the control plane wants, as heartbeats tell it.
  void want(const Wanted& wanted) {
    reconciler_->apply({.action = agent_api::DesiredAction::run,
                        .deployment_id = wanted.deployment_id,
                        .assignment_epoch = wanted.epoch,
                        .revision = wanted.revision,
                        .grace_seconds = 0});
  }
  void want_none(std::int64_t grace = 0) {
    reconciler_->apply({.action = agent_api::DesiredAction::none, .grace_seconds = grace});
  }
  void step() { reconciler_->step(stop_.get_token()); }
  void deploy(const Wanted& wanted = {}) {
    want(wanted);
    ASSERT_EQ(take(wanted), Reconciler::Taken::accepted);
    step();
    ASSERT_EQ(phase(), agent_api::WorkloadPhase::running) << failure();
  }

  /// Lets the worker do its turn on a thread, for tests that hang it.
  void start_worker() {
    worker_stop_ = std::stop_source();
    worker_ = std::jthread([this] { reconciler_->step(worker_stop_.get_token()); });
  }
  /// Ends the turn under way as the end of the process does.
  void stop_worker() {
    worker_stop_.request_stop();
    if (worker_.joinable()) worker_.join();
  }
  void join_worker() {
    if (worker_.joinable()) worker_.join();
  }

  agent_api::WorkloadPhase phase() const {
    const auto report = reconciler_->report();
    return report ? report->phase : agent_api::WorkloadPhase::exited;
  }
  bool holds_nothing() const { return !reconciler_->report(); }
  std::string failure() const {
    const auto report = reconciler_->report();
    return report && report->failure ? report->failure->code + ": " + report->failure->detail : "";
  }
  std::string failure_code() const { return failure().substr(0, failure().find(':')); }
  std::set<std::string> running() const {
    std::set<std::string> out;
    for (const auto& container : runtime_.containers())
      if (container.state.running) out.insert(container.name);
    return out;
  }
  std::set<std::string> containers() const {
    std::set<std::string> out;
    for (const auto& container : runtime_.containers()) out.insert(container.name);
    return out;
  }
  std::size_t count_calls(const std::string& prefix) const {
    std::size_t count = 0;
    for (const std::string& call : runtime_.calls()) count += call.starts_with(prefix) ? 1U : 0U;
    return count;
  }
  std::string run_dir() const { return dir_.path().string() + "/run"; }
  void note_report() {
    if (!reconciler_) return;
    const auto report = reconciler_->report();
    if (report &&
        (reports_.empty() || reports_.back().phase != report->phase || reports_.back().revision != report->revision))
      reports_.push_back(*report);
  }
  std::vector<agent_api::WorkloadPhase> phases() const {
    std::vector<agent_api::WorkloadPhase> out;
    for (const auto& report : reports_) out.push_back(report.phase);
    return out;
  }

  ee::testing::TempDir dir_;
  FakeClock clock_;
  FakeRandom random_;
  Ed25519PrivateKey cp_key_ = *Ed25519PrivateKey::from_seed(ByteVector(32, 0x11));
  InstanceKeys keys_ = InstanceKeys::generate(random_).value();
  FakeRuntime runtime_{clock_, kInstance};
  FakeProbe probe_;
  Board board_{clock_};
  std::string boot_id_ = kBoot;
  std::string registration_id_;
  std::int64_t registrations_ = 0;
  std::string swaps_ = "Filename\tType\tSize\tUsed\tPriority\n";
  bool disk_is_tight_ = false;
  int fetches_ = 0;
  std::vector<agent_api::WorkloadReport> reports_;
  std::vector<std::string> measured_;
  std::vector<std::vector<std::string>> guarded_;  ///< subnets of each look at the firewall
  SecretMask mask_;
  std::stop_source stop_;
  std::unique_ptr<StateFile> state_;
  std::unique_ptr<Reconciler> reconciler_;
  std::stop_source worker_stop_;
  std::jthread worker_;
};

}  // namespace ee::agent::testing
