#pragma once
#include <condition_variable>
#include <deque>
#include <mutex>
#include <set>

#include "agent/runtime/container_runtime.h"
#include "common/clock.h"

namespace ee::agent {

/// What a container of one image does when it is started.
struct FakeProgram {
  struct Line {
    LogStream stream = LogStream::out;
    std::string text = {};
  };
  std::vector<Line> lines = {};                 ///< written at the start
  std::optional<std::int64_t> exits_with = {};  ///< ends at once; nothing: runs until it is stopped
  bool healthy = true;                          ///< what its health check says, if the image or the body has one
};

struct FakeImage {
  ImageInfo info = {};
  FakeProgram program = {};
};

/// A container engine in memory, which keeps the promises of `ContainerRuntime` and runs nothing. Tests script it:
/// which images there are, what their containers do, which calls fail or hang. In dev builds it is
/// `container_runtime=fake` (with `set_any_image(true)` and fake_runtime_server.h). Thread-safe.
class FakeRuntime final : public ContainerRuntime {
 public:
  enum class Call : std::uint8_t {
    probe,
    pull,
    image,
    prune_images,
    create_network,
    remove_network,
    list_networks,
    create_volume,
    remove_volume,
    list_volumes,
    create,
    start,
    wait,
    stop,
    remove,
    list,
    inspect,
    events,
    logs,
    stats
  };
  /// A container as the tests see it.
  struct Container {
    std::string id;
    std::string name;
    std::string image;  ///< the reference in the body
    std::string body;
    std::vector<FurtherNetwork> further_networks;
    ContainerState state;
  };
  struct Watch {
    std::function<void(const Container&)> started = {};
    std::function<void(const std::string& id)> ended = {};  ///< also when it is removed; may come more than once
  };

  /// `clock` must outlive it. `instance` is the value of the instance label.
  FakeRuntime(Clock& clock, std::string instance);
  ~FakeRuntime() override;

  // ---- script -----------------------------------------------------------------------------------------------------
  /// What the registry has, or `local` already.
  void add_image(const std::string& reference, FakeImage image, bool local = false);
  /// Every reference can be pulled, and its containers run until stopped.
  void set_any_image(bool on);
  /// The next `times` calls of that kind fail so; then they work again.
  void fail_next(Call call, const RuntimeError& error, int times = 1);
  /// Calls of that kind wait for their stop token, until `release`.
  void hang(Call call);
  void release(Call call);
  void set_reachable(bool on);
  /// The engine was killed and is there again: what ran has ended.
  void restart();
  void set_watch(Watch watch);

  /// A running container ends so.
  void exit_container(const std::string& id_or_name, std::int64_t exit_code, bool oom_killed = false);
  void set_health(const std::string& id_or_name, ContainerHealth health);
  void write_log(const std::string& id_or_name, LogStream stream, std::string text);
  void set_counters(const std::string& id_or_name, ContainerCounters counters);
  /// One that another agent, or somebody else, made: in nobody's list, but holding its name.
  void add_foreign_container(const std::string& name);

  // ---- what happened ------------------------------------------------------------------------------------------------
  std::vector<Container> containers() const;
  std::optional<Container> container(const std::string& id_or_name) const;
  std::vector<std::string> networks() const;  ///< names
  std::vector<std::string> volumes() const;
  std::vector<std::string> local_images() const;  ///< references
  /// Every call so far in order: `pull REF`, `create NAME`, `start NAME`, `stop NAME 10`, `remove NAME`, ...
  std::vector<std::string> calls() const;
  /// The credentials of the last pull: `server username`, or nothing when it had none.
  std::optional<std::string> last_pull_account() const;
  /// Blocks until a call of that kind hangs.
  void wait_until_hanging(Call call);

  // ---- ContainerRuntime ---------------------------------------------------------------------------------------------
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
  bool reachable() const override;
  std::int64_t interruptions() const override;

 private:
  struct LogRecord {
    LogStream stream;
    EngineTime at;
    std::string text;
  };
  struct Item {
    Container container;
    FakeProgram program;
    bool has_health_check = false;
    bool foreign = false;
    std::vector<std::string> networks = {};  // names
    std::vector<LogRecord> log = {};
    ContainerCounters counters = {};
  };
  using Lock = std::unique_lock<std::mutex>;

  RuntimeResult<void> enter(Lock& lock, Call call, std::string record, const std::stop_token& stop);
  Item* find(const std::string& id_or_name);
  EngineTime tick();
  void emit(ContainerEventKind kind, const Item& item);
  void end(Lock& lock, Item& item, std::int64_t exit_code, bool oom_killed);
  RuntimeResult<void> make_room(Lock& lock, const std::string& name);

  Clock& clock_;
  const std::string instance_;
  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  bool any_image_ = false;
  bool reachable_ = true;
  std::int64_t interruptions_ = 0;
  std::map<std::string, FakeImage> registry_ = {};
  std::map<std::string, FakeImage> local_ = {};
  std::map<std::string, NetworkInfo> networks_ = {};  // by name
  std::map<std::string, VolumeInfo> volumes_ = {};
  std::map<std::string, Item> items_ = {};  // by id
  std::deque<ContainerEvent> events_ = {};
  std::map<Call, std::deque<RuntimeError>> failures_ = {};
  std::set<Call> hanging_ = {};
  std::map<Call, int> waiting_ = {};
  std::vector<std::string> calls_ = {};
  std::optional<std::string> last_pull_account_ = {};
  Watch watch_ = {};
  std::int64_t next_ = 1;
  EngineTime last_tick_ = 0;
};

}  // namespace ee::agent
