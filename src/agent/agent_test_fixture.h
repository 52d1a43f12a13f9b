#pragma once
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <stop_token>

#include "agent/control_loop.h"
#include "agent/cp_trust.h"
#include "agent/duties.h"
#include "agent/fake_control_plane.h"
#include "agent/host.h"
#include "agent/registrar.h"
#include "tests/support/temp_dir.h"

namespace ee::agent::testing {

/// Records what the control loop asks of the workloads.
class FakeWorkloads final : public Workloads {
 public:
  std::optional<agent_api::WorkloadReport> report() const override { return running; }
  void apply(const agent_api::Desired& desired) override { applied.push_back(desired); }
  void stop_all() override {
    ++stops;
    running.reset();
  }
  std::optional<agent_api::WorkloadReport> running;
  std::vector<agent_api::Desired> applied;
  int stops = 0;
};

/// An agent's parts around a fake control plane and a clock that sleeps at once. `start` builds them by `config`.
class AgentFixture : public ::testing::Test {
 protected:
  static constexpr const char* kBootId = "1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed";

  AgentFixture() : cp_(clock_) {
    clock_.set_auto_advance(true);
    config_.env = Environment::production;
    config_.control_plane_url = FakeControlPlane::kOrigin;
    config_.node_size = "tiny";
    config_.datacenter = "gcp:us-central1-a";
    config_.cp_signing_keys = {cp_.key.public_key()};
  }

  void start() {
    keys_ = InstanceKeys::generate(random_).value();
    state_ = StateFile::open(dir_.path(), clock_).value();
    client_.emplace(ControlPlaneClient::Options{.origin = config_.control_plane_url, .ca_file = ""}, cp_.http());
    judge_.emplace(config_.trusted_cp_mrtds, emulation_, collateral_);
    trust_.emplace(config_, *client_, *judge_, clock_, random_);
    evidence_.emplace(config_, "vm-1", *keys_, quotes_, host_, EvidenceMaker::WorkloadEntries(), mint_);
    registrar_.emplace(config_,
                       Registrar::Identity{.vm_name = "vm-1",
                                           .boot_id = boot_id_,
                                           .capacity = {.vcpus = 4, .memory_mib = 4096, .disk_mib = 1, .gpu_count = 0},
                                           .direct_url = {}},
                       *keys_, *client_, *trust_, *evidence_, *state_, random_);
    duties_.emplace(
        board_, *client_, *keys_, *evidence_, *state_,
        Duties::Hooks{.set_tunnel_token = [this](std::optional<Secret> token) { tokens_.push_back(std::move(token)); },
                      .keys_untrusted = [this] { ++untrusted_; }},
        clock_, random_);
    loop_.emplace(
        config_, boot_id_, *registrar_, *client_, board_, *state_, workloads_,
        ControlLoop::Hooks{
            .registered = [this](const Registration& r) { duties_->registered(r); },
            .unregistered = [this] { duties_->unregistered(); },
            .answered = [this](const Session& s, const agent_api::HeartbeatAnswer& a) { duties_->answered(s, a); }},
        clock_, random_);
  }

  /// Stops the loop when this many calls of a kind were made.
  void stop_after(const std::string& what, std::size_t count) {
    cp_.on_call([this, what, count](const FakeControlPlane::Call&) {
      if (cp_.calls(what).size() >= count) stop_.request_stop();
    });
  }
  /// Stops the loop when that much time has passed.
  void stop_at(SteadyTime end) {
    cp_.on_call([this, end](const FakeControlPlane::Call& call) {
      if (call.at >= end) stop_.request_stop();
    });
  }
  LoopEnd run() { return loop_->run(stop_.get_token()); }
  bool has_check(const std::string& name) const {
    for (const auto& check : board_.health().checks)
      if (check.name == name) return true;
    return false;
  }
  /// Times between calls of one kind.
  std::vector<Milliseconds> gaps(const std::string& what) const {
    std::vector<Milliseconds> out;
    const auto calls = cp_.calls(what);
    for (std::size_t i = 1; i < calls.size(); ++i)
      out.push_back(std::chrono::duration_cast<Milliseconds>(calls[i].at - calls[i - 1].at));
    return out;
  }

  ee::testing::TempDir dir_;
  FakeClock clock_;
  FakeRandom random_;
  AgentConfig config_;
  FakeControlPlane cp_;
  FakeQuoteSource quotes_;
  Host host_{"/nonexistent"};
  Board board_{clock_};
  FakeWorkloads workloads_;
  std::string boot_id_ = kBootId;
  std::optional<attestation::EmulationAllowed> emulation_;
  std::shared_ptr<attestation::CollateralSource> collateral_;
  EvidenceMaker::TokenMinter mint_;
  std::stop_source stop_;
  std::vector<std::optional<Secret>> tokens_;
  int untrusted_ = 0;

  std::optional<InstanceKeys> keys_;
  std::unique_ptr<StateFile> state_;
  std::optional<ControlPlaneClient> client_;
  std::optional<CpQuoteJudge> judge_;
  std::optional<ControlPlaneTrust> trust_;
  std::optional<EvidenceMaker> evidence_;
  std::optional<Registrar> registrar_;
  std::optional<Duties> duties_;
  std::optional<ControlLoop> loop_;
};

}  // namespace ee::agent::testing
