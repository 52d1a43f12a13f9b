#include "tests/support/fake_workload.h"

#include <netinet/in.h>
#include <poll.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <stdexcept>

namespace ee::testing {
namespace {

bool send_all(int socket, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

bool fill(int socket, std::string& buffer) {
  char bytes[65536];
  const ssize_t count = ::recv(socket, bytes, sizeof bytes, 0);
  if (count <= 0) return false;
  buffer.append(bytes, static_cast<std::size_t>(count));
  return true;
}

std::string query(const std::string& target, const std::string& name) {
  const std::size_t at = target.find(name + "=");
  if (at == std::string::npos) return {};
  const std::size_t from = at + name.size() + 1;
  return target.substr(from, target.find('&', from) - from);
}

long number(const std::string& text) { return std::strtol(text.c_str(), nullptr, 10); }

std::string chunk(const std::string& text) {
  char size[20];
  std::snprintf(size, sizeof size, "%zx\r\n", text.size());
  return size + text + "\r\n";
}

std::string from_hex(const std::string& hex) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
    bytes += static_cast<char>(std::strtol(hex.substr(i, 2).c_str(), nullptr, 16));
  return bytes;
}

bool read_chunks(int socket, std::string& buffer, std::string& body) {
  while (true) {
    std::size_t end = 0;
    while ((end = buffer.find("\r\n")) == std::string::npos)
      if (!fill(socket, buffer)) return false;
    const auto size = static_cast<std::size_t>(std::strtoul(buffer.c_str(), nullptr, 16));
    buffer.erase(0, end + 2);
    if (size == 0) break;
    while (buffer.size() < size + 2)
      if (!fill(socket, buffer)) return false;
    body.append(buffer, 0, size);
    buffer.erase(0, size + 2);
  }
  while (true) {
    std::size_t end = 0;
    while ((end = buffer.find("\r\n")) == std::string::npos)
      if (!fill(socket, buffer)) return false;
    const std::string line = buffer.substr(0, end);
    buffer.erase(0, end + 2);
    if (line.empty()) return true;
    body += "[" + line + "]";
  }
}

/// Reads without keeping: the length only.
bool sink_body(int socket, std::string& buffer, std::size_t length) {
  std::size_t left = length;
  while (true) {
    const std::size_t here = std::min(left, buffer.size());
    buffer.erase(0, here);
    left -= here;
    if (left == 0) return true;
    if (!fill(socket, buffer)) return false;
  }
}

}  // namespace

std::string FakeWorkload::Seen::header(const std::string& name) const {
  std::size_t at = head.find("\r\n");
  while (at != std::string::npos && at + 2 < head.size()) {
    const std::size_t from = at + 2;
    at = head.find("\r\n", from);
    const std::string line = head.substr(from, at - from);
    if (line.size() > name.size() && line[name.size()] == ':' &&
        ::strncasecmp(line.c_str(), name.c_str(), name.size()) == 0)
      return line.substr(std::min(line.size(), name.size() + 2));
  }
  return {};
}

bool FakeWorkload::Seen::has(const std::string& name) const {
  std::string lower = "\r\n" + head.substr(head.find("\r\n"));
  std::string wanted = "\r\n" + name + ":";
  for (std::string* text : {&lower, &wanted})
    std::ranges::transform(*text, text->begin(), [](char c) { return static_cast<char>(::tolower(c)); });
  return lower.find(wanted) != std::string::npos;
}

FakeWorkload::FakeWorkload(std::string agent_id) : agent_id_(std::move(agent_id)) {
  listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 || ::listen(listener_, 512) != 0 ||
      ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0)
    throw std::runtime_error("the workload cannot listen");
  port_ = ntohs(address.sin_port);
  acceptor_ = std::thread([this] { accept_loop(); });
}

FakeWorkload::~FakeWorkload() {
  stopping_ = true;
  ::shutdown(listener_, SHUT_RDWR);
  acceptor_.join();
  ::close(listener_);
  drop_connections();
  for (std::thread& thread : threads_) thread.join();
}

void FakeWorkload::drop_connections() {
  const std::lock_guard lock(mutex_);
  for (const int socket : sockets_) ::shutdown(socket, SHUT_RDWR);
}

void FakeWorkload::answer(const std::string& path, std::string bytes) {
  const std::lock_guard lock(mutex_);
  answers_[path] = std::move(bytes);
}

std::vector<FakeWorkload::Seen> FakeWorkload::seen() const {
  const std::lock_guard lock(mutex_);
  return seen_;
}

std::size_t FakeWorkload::count(const std::string& path) const {
  const std::lock_guard lock(mutex_);
  return static_cast<std::size_t>(std::ranges::count_if(
      seen_, [&](const Seen& seen) { return seen.target.substr(0, seen.target.find('?')) == path; }));
}

void FakeWorkload::accept_loop() {
  while (!stopping_) {
    const int socket = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (socket < 0) return;
    ++connections_;
    ++open_;
    const std::lock_guard lock(mutex_);
    sockets_.push_back(socket);
    threads_.emplace_back([this, socket] { serve(socket); });
  }
}

void FakeWorkload::serve(int socket) {
  std::string buffer;
  while (!stopping_ && serve_one(socket, buffer)) {
  }
  --open_;
  const std::lock_guard lock(mutex_);
  std::erase(sockets_, socket);
  ::close(socket);
}

bool FakeWorkload::serve_one(int socket, std::string& buffer) {
  std::size_t end = 0;
  while ((end = buffer.find("\r\n\r\n")) == std::string::npos)
    if (!fill(socket, buffer)) return false;
  Seen request{.method = {}, .target = {}, .head = buffer.substr(0, end + 2), .body = {}};
  buffer.erase(0, end + 4);
  const std::size_t space = request.head.find(' ');
  request.method = request.head.substr(0, space);
  request.target = request.head.substr(space + 1, request.head.find(' ', space + 1) - space - 1);
  const std::string path = request.target.substr(0, request.target.find('?'));
  const auto length = static_cast<std::size_t>(std::strtoull(request.header("content-length").c_str(), nullptr, 10));
  const auto note = [&] {
    const std::lock_guard lock(mutex_);
    seen_.push_back(request);
  };
  if (path == "/close" || path == "/hang" || path == "/stuck" || path == "/early") {
    note();
    return act(socket, buffer, request);
  }
  if (path == "/sink" && length > 0) {
    if (!sink_body(socket, buffer, length)) return false;
    request.body = std::to_string(length);
  } else if (request.header("transfer-encoding") == "chunked") {
    if (!read_chunks(socket, buffer, request.body)) return false;
  } else {
    while (buffer.size() < length)
      if (!fill(socket, buffer)) return false;
    request.body = buffer.substr(0, length);
    buffer.erase(0, length);
  }
  note();
  return act(socket, buffer, request);
}

std::string FakeWorkload::head(int status, const std::string& fields) const {
  std::string text = "HTTP/1.1 " + std::to_string(status) + " Fake\r\n";
  if (!agent_id_.empty()) text += "X-EE-Agent: " + agent_id_ + "\r\n";
  return text + fields;
}

/// False when the connection ends.
bool FakeWorkload::act(int socket, std::string& buffer, const Seen& request) {
  const std::string path = request.target.substr(0, request.target.find('?'));
  const auto sized = [&](int status, const std::string& fields, const std::string& body) {
    const bool bodiless = request.method == "HEAD" || status == 204 || status == 304;
    std::string all = head(status, fields);
    if (status != 204) all += "Content-Length: " + std::to_string(body.size()) + "\r\n";
    return send_all(socket, all + "\r\n" + (bodiless ? std::string() : body));
  };
  {
    std::unique_lock lock(mutex_);
    if (const auto found = answers_.find(path); found != answers_.end()) {
      const std::string bytes = found->second;
      lock.unlock();
      return send_all(socket, bytes);
    }
  }
  const auto tail = [&](const char* prefix) { return path.substr(std::string(prefix).size()); };
  if (path == "/close") return false;
  if (path == "/close-mid") {
    send_all(socket, head(200, "Content-Length: 100\r\n\r\n") + "half");
    return false;
  }
  if (path == "/hang") {
    while (fill(socket, buffer)) {
    }
    return false;
  }
  if (path == "/stuck") {
    pollfd gone{.fd = socket, .events = POLLRDHUP, .revents = 0};
    ::poll(&gone, 1, -1);
    return false;
  }
  if (path == "/early") {
    sized(200, "Connection: close\r\n", "early");
    return false;
  }
  if (path == "/ws") {
    echo_tunnel(socket, buffer);
    return false;
  }
  if (path == "/sse") return send_events(socket, request);
  if (path == "/slow") std::this_thread::sleep_for(std::chrono::milliseconds(number(query(request.target, "ms"))));
  if (path.starts_with("/bytes/")) {
    const auto size = static_cast<std::size_t>(number(tail("/bytes/")));
    if (!send_all(socket, head(200, "Content-Length: " + std::to_string(size) + "\r\n\r\n"))) return false;
    if (request.method == "HEAD") return true;
    const std::string block(65536, 'b');
    for (std::size_t left = size; left > 0; left -= std::min(left, block.size()))
      if (!send_all(socket, std::string_view(block).substr(0, std::min(left, block.size())))) return false;
    return true;
  }
  if (path.starts_with("/chunked/")) {
    std::string all = head(200, "Transfer-Encoding: chunked\r\n\r\n");
    for (long left = number(tail("/chunked/")); left > 0; left -= 1000)
      all += chunk(std::string(static_cast<std::size_t>(std::min(left, 1000L)), 'c'));
    return send_all(socket, all + "0\r\n\r\n");
  }
  if (path.starts_with("/status/")) return sized(static_cast<int>(number(tail("/status/"))), {}, "status");
  if (path == "/redirect") return sized(302, "Location: " + query(request.target, "to") + "\r\n", {});
  if (path == "/trailers")
    return send_all(socket, head(200, "Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n") + chunk("body") +
                                "0\r\nX-Sum: 4\r\n\r\n");
  if (path == "/dup-cl") return send_all(socket, head(200, "Content-Length: 4\r\nContent-Length: 5\r\n\r\nbody"));
  if (path == "/say") {
    send_all(socket, from_hex(query(request.target, "hex")));
    return false;
  }
  if (path == "/continue") {
    send_all(socket, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n");
    return sized(200, {}, "after");
  }
  return sized(200, "Content-Type: text/plain\r\n", request.head + "\r\n" + request.body);
}

bool FakeWorkload::send_events(int socket, const Seen& request) {
  if (!send_all(socket, head(200, "Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")))
    return false;
  const long count = number(query(request.target, "n"));
  const auto pause = std::chrono::milliseconds(number(query(request.target, "ms")));
  for (long i = 0; i < count; ++i) {
    if (!send_all(socket, chunk("data: " + std::to_string(i) + "\n\n"))) return false;
    std::this_thread::sleep_for(pause);
  }
  std::string ignored;
  while (fill(socket, ignored)) {
  }
  return false;
}

void FakeWorkload::echo_tunnel(int socket, std::string& buffer) {
  if (!send_all(socket, head(101, "Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n"))) return;
  do {
    if (!send_all(socket, buffer)) return;
    buffer.clear();
  } while (fill(socket, buffer));
  ::shutdown(socket, SHUT_WR);
  while (fill(socket, buffer)) {
  }
}

}  // namespace ee::testing
