#pragma once
#include <boost/describe/class.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "agent/workload/held.h"
#include "common/agent_api.h"
#include "common/clock.h"
#include "common/error.h"

namespace ee::agent {

/// What the agent remembers over a restart. The instance keys are not here: they never leave memory, so a restarted
/// agent always registers again. `signing_keys` are for information; trust in a control plane is made anew each start.
struct AgentState {
  std::int64_t v = 1;
  std::optional<std::string> agent_id = {};
  std::optional<std::string> registration_id = {};
  std::optional<std::string> vm_name = {};
  std::optional<std::string> boot_id = {};  ///< of the boot that wrote `credential`
  std::optional<std::string> credential = {};
  std::optional<agent_api::SigningKeys> signing_keys = {};
  std::optional<HeldWorkload> held = {};  ///< the deployment that was taken, without its secrets
};
BOOST_DESCRIBE_STRUCT(AgentState, (), (v, agent_id, registration_id, vm_name, boot_id, credential, signing_keys, held))
constexpr auto json_rules(json::For<AgentState>) {
  return std::array{json::field("v").between(1, 1),        json::field("agent_id").uuid(),
                    json::field("registration_id").uuid(), json::field("vm_name").dns_label(),
                    json::field("boot_id").uuid(),         json::field("credential").length(1, 128)};
}

/// `data_dir/state.json`, mode 0600, at most 1 MiB. Every save replaces the file whole, so a crash leaves the old or
/// the new state. Thread-safe. The caller holds the lock of the directory.
class StateFile {
 public:
  static constexpr std::size_t kMaxBytes = 1024UL * 1024;
  static constexpr std::size_t kCorruptKept = 3;

  /// Reads the file; a missing one is an empty state. A damaged one is renamed to `state.json.corrupt-<time>` (the
  /// newest three are kept) and the state is empty. Error: internal_error when the directory cannot be used.
  static Result<std::unique_ptr<StateFile>> open(const std::string& data_dir, const Clock& clock);

  AgentState state() const;
  /// The name that a damaged file was given by `open`.
  const std::optional<std::string>& damaged() const { return damaged_; }
  /// Error: internal_error; the old state then still stands, on disk and here.
  Result<void> save(AgentState state);
  /// Changes a copy of the state and saves it.
  Result<void> update(const std::function<void(AgentState&)>& change);
  /// Forgets everything but the name.
  Result<void> wipe();

 private:
  explicit StateFile(std::string path) : path_(std::move(path)) {}
  Result<void> save_locked(AgentState state);

  std::string path_;
  mutable std::mutex mutex_;
  AgentState state_;
  std::optional<std::string> damaged_;
};

}  // namespace ee::agent
