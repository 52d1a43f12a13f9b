#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "common/random.h"
#include "tests/support/emulated_agent.h"

namespace ee::bench {

/// Addresses of a fleet: rate limits count by address, so a load from one machine says whom it speaks for (the bench's
/// control plane trusts its loopback).
std::string forwarded_for(std::uint64_t n);

/// One agent's way to 201: challenge, evidence, registration; and the same for evidence that is refreshed. Made for one
/// request in flight: `next` writes a request, `answered` takes its answer.
class Registrant {
 public:
  Registrant(std::string prefix, std::string audience) : prefix_(std::move(prefix)), audience_(std::move(audience)) {}

  /// The challenge of a new agent `<prefix>-<number>`, or the registration that answers the last challenge.
  void next(std::uint64_t number, std::string& out);
  /// True when a registration was answered, with 201.
  bool answered(int status, std::string_view body);

  /// After a registration: id and credential of the agent.
  const std::string& id() const { return id_; }
  const std::string& credential() const { return credential_; }

  /// The challenge of a refresh of the registered agent, or the refresh that answers it.
  void next_refresh(std::string& out);
  /// True when a refresh was answered, with 200.
  bool refreshed(int status, std::string_view body);

 private:
  void request(const std::string& path, const std::string& body, const std::string& signature, std::string& out) const;
  void take_secrets(std::string_view body);

  std::string prefix_;
  std::string audience_;
  SystemRandom random_;
  std::unique_ptr<testing::EmulatedAgent> agent_;
  std::string address_;
  std::string challenge_;     ///< the answer that is to be used next
  std::string challenge_id_;  ///< of the last one used
  std::string id_;
  std::string credential_;
  bool answering_ = false;  ///< the request in flight answers a challenge
};

}  // namespace ee::bench
