#pragma once
#include <functional>
#include <string>
#include <vector>

#include "cp/http/deployment_routes.h"
#include "cp/http/event_streams.h"

namespace ee::cp {

DeploymentEventObject event_object(const DeploymentEventRow& row);

/// What happens to a deployment as events (03 section 3.1): the id is the event's number, and the stream ends behind
/// the final one.
class DeploymentEventsSource final : public EventSource {
 public:
  static constexpr std::int64_t kBatch = 100;
  struct Read {
    bool is_final = false;  ///< there will be no events but those that are here
    std::vector<DeploymentEventRow> rows = {};
  };
  /// `read(after_seq, limit)`. An error that the deployment is not there ends the stream; another one is passed over.
  DeploymentEventsSource(std::function<Result<Read>(std::int64_t, std::int64_t)> read, std::int64_t after_seq,
                         const Clock& clock)
      : read_(std::move(read)), after_(after_seq), clock_(clock) {}

  State pull(std::string& out, std::size_t max_bytes) override;

 private:
  const std::function<Result<Read>(std::int64_t, std::int64_t)> read_;
  std::int64_t after_;
  const Clock& clock_;
  SteadyTime next_read_ = {};
};

}  // namespace ee::cp
