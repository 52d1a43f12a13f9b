#include "tests/e2e/control_plane_process.h"

#include <arpa/inet.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <stdexcept>

#include "common/argon2.h"

namespace ee::testing {

std::uint16_t free_port() {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (fd < 0 || ::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0)
    throw std::runtime_error("no free port");
  ::close(fd);
  return ntohs(address.sin_port);
}

const std::string& ControlPlaneProcess::admin_password() {
  static const std::string password = "correct horse battery staple";
  return password;
}

ControlPlaneProcess::ControlPlaneProcess(std::map<std::string, std::string> environment)
    : environment_(std::move(environment)), port_(free_port()), url_("http://127.0.0.1:" + std::to_string(port_)) {
  static const std::string hash = hash_password(Secret(admin_password())).value();
  std::map<std::string, std::string> defaults = {{"EE_ENV", "dev"},
                                                 {"EE_CLUSTER_ID", "dev"},
                                                 {"EE_ALLOW_EMULATED_TDX", "1"},
                                                 {"EE_BIND", "127.0.0.1:" + std::to_string(port_)},
                                                 {"EE_PUBLIC_URL", url_},
                                                 {"EE_DATABASE_URL", "sqlite:" + database().string()},
                                                 {"EE_TRUSTED_PROXIES", "127.0.0.0/8"},
                                                 {"ADMIN_PASSWORD_HASH", hash}};
  environment_.merge(defaults);
}

void ControlPlaneProcess::start() {
  process_ = std::make_unique<ChildProcess>(std::vector<std::string>{program("ee-cp"), "serve"}, environment_, log());
  const bool ready = eventually([&] { return !process_->running() || call("GET", "/ready").status == 200; }, 60000);
  if (!ready || !process_->running()) throw std::runtime_error("ee-cp did not get ready:\n" + process_->output());
}

void ControlPlaneProcess::kill_hard() {
  process_->signal(SIGKILL);
  process_->wait(10000);
}

std::optional<int> ControlPlaneProcess::stop() {
  process_->signal(SIGTERM);
  return process_->wait(60000);
}

HttpClientResponse ControlPlaneProcess::call(const std::string& method, const std::string& path,
                                             const std::string& body, std::vector<HttpHeader> headers) {
  HttpClientRequest request{.method = method, .url = url_ + path, .headers = std::move(headers), .body = body};
  if (!body.empty()) request.headers.push_back({"Content-Type", "application/json"});
  auto answer = http_.send(request);
  return answer ? *answer : HttpClientResponse{};
}

std::string ControlPlaneProcess::sign_in() {
  const auto answer = call("POST", "/admin/login", R"({"password":")" + admin_password() + R"(","mode":"token"})");
  const std::size_t at = answer.body.find(R"("token":")");
  if (answer.status != 200 || at == std::string::npos) throw std::runtime_error("sign-in failed: " + answer.body);
  return answer.body.substr(at + 9, answer.body.find('"', at + 9) - at - 9);
}

std::string ControlPlaneProcess::agents(const std::string& token, const std::string& query) {
  std::string all;
  std::string cursor;
  do {
    const auto answer = call("GET", "/api/v1/agents?limit=200" + query + (cursor.empty() ? "" : "&cursor=" + cursor),
                             "", {{"Authorization", "Bearer " + token}});
    if (answer.status != 200) throw std::runtime_error("list failed: " + answer.body);
    all += answer.body;
    const std::size_t at = answer.body.rfind(R"("next_cursor":")");
    cursor = at == std::string::npos ? "" : answer.body.substr(at + 15, answer.body.find('"', at + 15) - at - 15);
  } while (!cursor.empty());
  return all;
}

}  // namespace ee::testing
