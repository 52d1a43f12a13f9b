#pragma once
#include <boost/json/value.hpp>
#include <string>

#include "tests/e2e/control_plane_process.h"

namespace ee::testing {

/// What is at that JSON pointer, as text; empty when it is missing, null or no text.
std::string text_at(const boost::json::value& from, std::string_view pointer);

/// Somebody who deploys by API key: an account of type `deployer` with money, made by the administrator, who signs in
/// when there is no `session` yet. Throws when the control plane answers something else than it should.
class Deployer {
 public:
  explicit Deployer(ControlPlaneProcess& control_plane, const std::string& name = "dev", std::string session = "");
  /// The same account by another credential.
  Deployer with(std::string credential) const;

  const std::string& account() const { return account_; }
  const std::string& credential() const { return key_; }
  /// A call with the credential; `status` 0 when no answer came.
  HttpClientResponse call(const std::string& method, const std::string& path, const std::string& body = "",
                          std::vector<HttpHeader> more = {});
  /// The body of a call that must be answered so.
  boost::json::value need(int status, const std::string& method, const std::string& path, const std::string& body = "");
  /// A call that is made again, with the same Idempotency-Key, until an answer comes; at most for a minute and a half.
  HttpClientResponse insist(const std::string& method, const std::string& path, const std::string& body,
                            const std::string& key);

  /// `{"compose":..,"ingress":[{"path_prefix":"/","port":..}],"health_path":"/"}`, with `more` members before the end.
  static std::string request(const std::string& compose, std::uint16_t port, const std::string& more = "");
  /// Deploys for everybody to call; the deployment's id.
  std::string deploy(const std::string& service, const std::string& compose, std::uint16_t port);
  boost::json::value deployment(const std::string& id);
  std::string state(const std::string& id) { return text_at(deployment(id), "/state"); }
  /// Waits for that state; false when it does not come, or another one that is final does.
  bool reaches(const std::string& id, const std::string& state, int timeout_ms = 60000);
  /// GET of the service's root through the proxy.
  HttpClientResponse visit(const std::string& service);

 private:
  ControlPlaneProcess& control_plane_;
  std::string account_;
  std::string key_;
};

}  // namespace ee::testing
