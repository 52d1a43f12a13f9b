#pragma once
#include <boost/json/value.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "agent/runtime/container_runtime.h"

namespace ee::agent {

// What is read out of the engine's answers (Docker Engine API 1.41). Pure. A member that is missing or of another type
// reads as empty; `bad_answer` where the value would be useless without it.

/// An image reference by digest.
struct PinnedReference {
  std::string repository;  ///< as written: `registry.example:5000/team/app`
  std::string digest;      ///< `sha256:<64 hex>`
  std::string server;      ///< `registry.example:5000`; `docker.io` when the repository names none
  std::string full;        ///< with server and, on docker.io, `library/`: two spellings of one image are equal here
};
/// Nothing unless `text` is `<repository>@sha256:<64 lower-case hex>` in at most 512 bytes of the grammar's characters.
std::optional<PinnedReference> parse_pinned(std::string_view text);

RuntimeResult<RuntimeInfo> read_version(const boost::json::value& version);
/// Adds cgroup version, GPU runtime and root directory.
void read_info(const boost::json::value& info, RuntimeInfo& to);
/// Checks digest, system and architecture. Error: digest_mismatch, bad_answer.
RuntimeResult<ImageInfo> read_image(const boost::json::value& image, const PinnedReference& wanted);
RuntimeResult<NetworkInfo> read_network(const boost::json::value& network);
RuntimeResult<VolumeInfo> read_volume(const boost::json::value& volume);
RuntimeResult<ContainerSummary> read_summary(const boost::json::value& container);
RuntimeResult<ContainerState> read_state(const boost::json::value& container);
ContainerCounters read_counters(const boost::json::value& stats);
/// Nothing for what is no container event.
std::optional<ContainerEvent> read_event(const boost::json::value& event);

// Accessors for the rest of the runtime.
const boost::json::value* find_member(const boost::json::value& object, std::string_view name);
std::string text_at(const boost::json::value& object, std::string_view name);
std::optional<std::int64_t> number_at(const boost::json::value& object, std::string_view name);

/// Follows the lines of a pull.
class PullTracker {
 public:
  /// One line. False: not JSON.
  bool take(std::string_view line);
  /// The stream ended well: all layers are here, whether or not each was said to be (podman does not).
  void complete();
  const PullProgress& progress() const { return progress_; }
  /// What the stream said went wrong, if anything.
  const std::optional<RuntimeError>& error() const { return error_; }

 private:
  struct Layer {
    std::int64_t current = 0;
    std::int64_t total = 0;
    bool done = false;
  };
  void sum_up();
  std::map<std::string, Layer> layers_;
  PullProgress progress_;
  std::optional<RuntimeError> error_;
};

}  // namespace ee::agent
