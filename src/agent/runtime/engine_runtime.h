#pragma once
#include <atomic>
#include <functional>
#include <memory>
#include <mutex>

#include "agent/runtime/container_runtime.h"
#include "agent/runtime/engine_client.h"
#include "agent/secret_mask.h"

namespace ee::agent {

struct EngineOptions {
  std::string socket;
  std::string instance;  ///< value of the instance label
  EngineTimeouts timeouts = {};
  Milliseconds reopen_pause{1'000};  ///< before a stream of logs or events is opened again
  /// Free bytes of the file system of a path; nothing when unknown. Default: statvfs.
  std::function<std::optional<std::int64_t>(const std::string& path)> free_bytes = {};
  /// Taken out of the engine's messages, which may quote what it was sent; null: nothing. Must outlive the runtime.
  const SecretMask* mask = nullptr;
};

/// Docker Engine API 1.41 over a unix socket; docker.io 20.10 and podman 4.3 both speak it, and what podman does
/// otherwise stays in here. Agent contract, section 16.1.
class EngineRuntime final : public ContainerRuntime {
 public:
  /// `clock` must outlive it. Calls nothing.
  EngineRuntime(EngineOptions options, Clock& clock);
  ~EngineRuntime() override;

  /// Must have succeeded once before anything else is called: it tells docker from podman.
  RuntimeResult<RuntimeInfo> probe(const std::stop_token& stop) override;
  RuntimeResult<void> pull(const std::string& reference, const RegistryCredentials* credentials,
                           const OnPullProgress& on_progress, const std::stop_token& stop) override;
  RuntimeResult<ImageInfo> image(const std::string& reference, const std::stop_token& stop) override;
  RuntimeResult<std::int64_t> prune_images(const std::vector<std::string>& ids, const std::stop_token& stop) override;
  RuntimeResult<NetworkInfo> create_network(const NetworkSpec& spec, const std::stop_token& stop) override;
  RuntimeResult<void> remove_network(const std::string& id, const std::stop_token& stop) override;
  RuntimeResult<std::vector<NetworkInfo>> list_networks(const std::stop_token& stop) override;
  RuntimeResult<void> create_volume(const VolumeInfo& spec, const std::stop_token& stop) override;
  RuntimeResult<void> remove_volume(const std::string& name, const std::stop_token& stop) override;
  RuntimeResult<std::vector<VolumeInfo>> list_volumes(const std::stop_token& stop) override;
  RuntimeResult<std::string> create(const ContainerSpec& spec, const std::stop_token& stop) override;
  RuntimeResult<void> start(const std::string& id, const std::stop_token& stop) override;
  RuntimeResult<WaitResult> wait(const std::string& id, const std::stop_token& stop) override;
  RuntimeResult<void> stop(const std::string& id, Seconds grace, const std::stop_token& stop) override;
  RuntimeResult<void> remove(const std::string& id, const std::stop_token& stop) override;
  RuntimeResult<std::vector<ContainerSummary>> list(const std::stop_token& stop) override;
  RuntimeResult<ContainerState> inspect(const std::string& id, const std::stop_token& stop) override;
  RuntimeResult<void> events(EngineTime since, const OnContainerEvent& on_event, const std::stop_token& stop) override;
  RuntimeResult<LogsEnd> logs(const std::string& id, EngineTime since, const OnContainerLogLine& on_line,
                              const std::stop_token& stop) override;
  RuntimeResult<ContainerCounters> stats(const std::string& id, const std::stop_token& stop) override;
  std::int64_t interruptions() const override { return interruptions_; }
  bool reachable() const override { return client_.reachable(); }

 private:
  RuntimeResult<EngineAnswer> send(const EngineCall& call, const std::stop_token& stop) const;
  RuntimeResult<boost::json::value> get_object(const std::string& target, const std::stop_token& stop) const;
  RuntimeResult<boost::json::value> get_list(const std::string& target, const std::stop_token& stop) const;
  RuntimeResult<NetworkInfo> inspect_network(const std::string& id, const std::stop_token& stop) const;
  RuntimeResult<std::string> create_once(const ContainerSpec& spec, const std::string& body, bool may_make_room,
                                         const std::stop_token& stop);
  RuntimeResult<void> connect(const std::string& id, const FurtherNetwork& further, const std::stop_token& stop);
  RuntimeResult<std::string> adapted_body(const ContainerSpec& spec) const;
  /// For an answer that refused: not found, refused, or the disk is full.
  std::unexpected<RuntimeError> refusal(const EngineAnswer& answer) const;
  std::string masked(std::string text) const;
  bool disk_is_full() const;
  std::string instance_filter() const;
  bool is_ours(const Labels& labels) const;
  RuntimeInfo known() const;
  /// How far a container's log has been handed out: podman's times have whole seconds, so that a time alone would lose
  /// or repeat lines. `lines` counts those at the very moment `at`.
  struct LogMark {
    EngineTime at = 0;
    std::int64_t lines = 0;
  };
  LogMark log_mark(const std::string& id, EngineTime since) const;
  void forget_log_mark(const std::string& id);

  const EngineOptions options_;
  EngineClient client_;
  std::atomic<std::int64_t> interruptions_ = 0;
  mutable std::mutex mutex_;
  RuntimeInfo info_;                          ///< of the last probe
  std::map<std::string, LogMark> log_marks_;  ///< by container, until it is removed
};

}  // namespace ee::agent
