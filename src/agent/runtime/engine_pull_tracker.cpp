#include <algorithm>
#include <boost/json/value.hpp>

#include "agent/runtime/engine_answers.h"
#include "agent/runtime/engine_client.h"
#include "common/json.h"

namespace ee::agent {
namespace {

constexpr std::size_t kMaxLayers = 1024;
constexpr std::int64_t kMaxLayerBytes = 1LL << 44;

/// A registry's definite no, where the engine passes its status on.
bool is_definite(std::int64_t status) { return status == 401 || status == 403 || status == 404; }

}  // namespace

bool PullTracker::take(std::string_view line) {
  if (line.find_first_not_of(" \r\t") == std::string_view::npos) return true;
  const auto value = json::parse(line);
  if (!value || !value->is_object()) return false;
  if (std::string message = text_at(*value, "error"); !message.empty() && !error_) {
    const auto* const detail = find_member(*value, "errorDetail");
    const bool definite = detail && is_definite(number_at(*detail, "code").value_or(0));
    error_ = RuntimeError{.failure = definite ? RuntimeFailure::pull_refused : RuntimeFailure::pull_failed,
                          .detail = error_text(message)};
  }
  const std::string id = text_at(*value, "id");
  const std::string status = text_at(*value, "status");
  const bool done = status == "Pull complete" || status == "Already exists" || status == "Download complete";
  const bool downloading = status == "Downloading";
  if (id.empty() || id.size() > 128 || (!done && !downloading && status != "Pulling fs layer")) return true;
  if (!layers_.contains(id) && layers_.size() == kMaxLayers) return true;
  Layer& layer = layers_[id];
  if (const auto* const detail = find_member(*value, "progressDetail"); detail && downloading) {
    layer.total = std::clamp<std::int64_t>(number_at(*detail, "total").value_or(layer.total), 0, kMaxLayerBytes);
    layer.current = std::clamp<std::int64_t>(number_at(*detail, "current").value_or(layer.current), 0, layer.total);
  }
  if (done) layer.current = layer.total;
  layer.done = layer.done || status == "Pull complete" || status == "Already exists";
  sum_up();
  return true;
}

void PullTracker::complete() {
  for (auto& [name, layer] : layers_) layer = {.current = layer.total, .total = layer.total, .done = true};
  sum_up();
}

void PullTracker::sum_up() {
  progress_ = {.layers = static_cast<std::int64_t>(layers_.size())};
  for (const auto& [name, each] : layers_) {
    progress_.current_bytes += each.current;
    progress_.total_bytes += each.total;
    progress_.layers_done += each.done ? 1 : 0;
  }
}

}  // namespace ee::agent
