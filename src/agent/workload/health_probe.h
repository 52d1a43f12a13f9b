#pragma once
#include <cstdint>
#include <stop_token>
#include <string>

#include "common/http_client.h"

namespace ee::agent {

/// Asks a workload whether it is well. Thread-safe; each call takes at most 5 s.
class HealthProbe {
 public:
  virtual ~HealthProbe() = default;
  /// Whether GET answers 2xx or 3xx.
  virtual bool http(const std::string& address, std::uint16_t port, const std::string& path,
                    const std::stop_token& stop) = 0;
  /// Whether a TCP connection is taken.
  virtual bool tcp(const std::string& address, std::uint16_t port, const std::stop_token& stop) = 0;
};

class NetworkHealthProbe final : public HealthProbe {
 public:
  /// `http` outlives the probe.
  explicit NetworkHealthProbe(HttpClient& http) : http_(http) {}
  bool http(const std::string& address, std::uint16_t port, const std::string& path,
            const std::stop_token& stop) override;
  /// IPv4 addresses only: workloads are published on 127.0.0.0/8.
  bool tcp(const std::string& address, std::uint16_t port, const std::stop_token& stop) override;

 private:
  HttpClient& http_;
};

}  // namespace ee::agent
