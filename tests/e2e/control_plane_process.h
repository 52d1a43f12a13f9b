#pragma once
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "net/curl_http_client.h"
#include "tests/support/child_process.h"
#include "tests/support/temp_dir.h"

namespace ee::testing {

/// A port of 127.0.0.1 that nobody listens on right now.
std::uint16_t free_port();

/// The real ee-cp program on SQLite in a directory of its own, in dev with emulated TDX. Survives being killed: `start`
/// again goes on with the same database and port.
class ControlPlaneProcess {
 public:
  explicit ControlPlaneProcess(std::map<std::string, std::string> environment = {});

  /// Starts the program and waits until it is ready; throws when it does not get there.
  void start();
  void kill_hard();
  /// SIGTERM; the exit code.
  std::optional<int> stop();

  const std::string& url() const { return url_; }
  const TempDir& dir() const { return dir_; }
  std::filesystem::path database() const { return dir_ / "easyenclave.db"; }
  std::filesystem::path log() const { return dir_ / "ee-cp.log"; }
  ChildProcess* process() { return process_.get(); }
  static const std::string& admin_password();

  /// One call; status 0 when no answer came.
  HttpClientResponse call(const std::string& method, const std::string& path, const std::string& body = "",
                          std::vector<HttpHeader> headers = {});
  /// A session token of the administrator.
  std::string sign_in();
  /// All agents, each as its JSON text, over all pages.
  std::string agents(const std::string& token, const std::string& query = "");

 private:
  std::map<std::string, std::string> environment_;
  TempDir dir_;
  std::uint16_t port_;
  std::string url_;
  net::CurlHttpClient http_;
  std::unique_ptr<ChildProcess> process_;
};

}  // namespace ee::testing
