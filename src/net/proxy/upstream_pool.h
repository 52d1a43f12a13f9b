#pragma once
// Inside of net/proxy: idle connections to backends, of one io thread.
#include <list>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "net/proxy/upstream.h"

namespace ee::net {

class UpstreamPool final : public LoopLocal {
 public:
  explicit UpstreamPool(const ForwardPoolLimits& limits);
  ~UpstreamPool() override;

  /// The one that became idle last and is still open, or nothing.
  std::shared_ptr<Upstream> take(const std::string& key, SteadyTime now);
  /// Keeps it for the next request, or closes it.
  void put(const std::string& key, std::shared_ptr<Upstream> upstream, SteadyTime now);
  void sweep(SteadyTime now) override;

 private:
  struct Idle;
  using Place = std::list<Idle>::iterator;
  using Places = std::vector<Place>;
  struct Idle {
    Places* of_key;
    std::shared_ptr<Upstream> upstream;
    SteadyTime since;
  };
  void drop(Place place);

  const ForwardPoolLimits limits_;
  const std::size_t per_target_;
  const std::size_t total_;
  std::list<Idle> by_age_;                          ///< the oldest first
  std::unordered_map<std::string, Places> by_key_;  ///< empty ones go at the next sweep: most come back at once
};

}  // namespace ee::net
