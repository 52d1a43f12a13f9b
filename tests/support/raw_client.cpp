#include "tests/support/raw_client.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <utility>

namespace ee::testing {
namespace {

std::atomic<std::uint64_t> total_sent = 0;

int connect_to(const sockaddr* address, socklen_t size) {
  const int descriptor = ::socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  constexpr timeval kPatience{.tv_sec = 5, .tv_usec = 0};
  ::setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &kPatience, sizeof kPatience);
  ::setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &kPatience, sizeof kPatience);
  if (::connect(descriptor, address, size) != 0) {
    ::close(descriptor);
    throw std::runtime_error(std::string("connect: ") + std::strerror(errno));  // NOLINT(concurrency-mt-unsafe)
  }
  return descriptor;
}

bool same_name(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; };
  return std::ranges::equal(a, b, {}, lower, lower);
}

template <class Function>
void for_each_field(const std::string& head, Function&& function) {
  std::size_t at = head.find("\r\n") + 2;
  while (at < head.size()) {
    const std::size_t end = head.find("\r\n", at);
    const std::size_t colon = head.find(": ", at);
    if (colon < end) function(std::string_view(head).substr(at, colon - at), head.substr(colon + 2, end - colon - 2));
    at = end + 2;
  }
}

}  // namespace

std::optional<std::string> RawResponse::header(std::string_view name) const {
  std::optional<std::string> found;
  for_each_field(head, [&](std::string_view field, std::string value) {
    if (!found && same_name(field, name)) found = std::move(value);
  });
  return found;
}

std::size_t RawResponse::header_count(std::string_view name) const {
  std::size_t count = 0;
  for_each_field(head, [&](std::string_view field, const std::string&) {
    if (same_name(field, name)) ++count;
  });
  return count;
}

RawClient::RawClient(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  descriptor_ = connect_to(reinterpret_cast<const sockaddr*>(&address), sizeof address);
}

RawClient::RawClient(const std::string& unix_path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (unix_path.size() >= sizeof address.sun_path) throw std::runtime_error("unix path too long");
  std::memcpy(address.sun_path, unix_path.c_str(), unix_path.size() + 1);
  descriptor_ = connect_to(reinterpret_cast<const sockaddr*>(&address), sizeof address);
}

RawClient::RawClient(RawClient&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)), buffer_(std::move(other.buffer_)) {}

RawClient::~RawClient() { close(); }

void RawClient::close() {
  if (descriptor_ >= 0) ::close(descriptor_);
  descriptor_ = -1;
}

void RawClient::half_close() { ::shutdown(descriptor_, SHUT_WR); }

void RawClient::reset() {
  const linger now{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(descriptor_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  close();
}

void RawClient::shrink_receive_buffer() {
  const int bytes = 1;  // the kernel rounds up to its minimum
  ::setsockopt(descriptor_, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
}

std::uint64_t RawClient::bytes_sent() { return total_sent; }

bool RawClient::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (count <= 0) return false;
    total_sent += static_cast<std::uint64_t>(count);
    bytes.remove_prefix(static_cast<std::size_t>(count));
  }
  return true;
}

bool RawClient::fill() {
  std::array<char, 65536> bytes;
  const ssize_t count = ::recv(descriptor_, bytes.data(), bytes.size(), 0);
  if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) throw std::runtime_error("the peer stays silent");
  if (count <= 0) return false;
  buffer_.append(bytes.data(), static_cast<std::size_t>(count));
  return true;
}

std::optional<RawResponse> RawClient::read_response(bool to_head) {
  std::size_t end = 0;
  while ((end = buffer_.find("\r\n\r\n")) == std::string::npos)
    if (!fill()) return std::nullopt;
  RawResponse response;
  response.head = buffer_.substr(0, end + 2);
  buffer_.erase(0, end + 4);
  if (response.head.size() > 12) response.status = std::atoi(response.head.c_str() + 9);
  if (!to_head && response.header("transfer-encoding") == "chunked") {
    if (!read_chunks(response)) return std::nullopt;
    return response;
  }
  const auto length = response.header("content-length");
  const std::size_t size = to_head || !length ? 0 : std::strtoull(length->c_str(), nullptr, 10);
  while (buffer_.size() < size)
    if (!fill()) return std::nullopt;
  response.body = buffer_.substr(0, size);
  buffer_.erase(0, size);
  return response;
}

std::optional<std::string> RawClient::read_line() {
  std::size_t end = 0;
  while ((end = buffer_.find("\r\n")) == std::string::npos)
    if (!fill()) return std::nullopt;
  std::string line = buffer_.substr(0, end);
  buffer_.erase(0, end + 2);
  return line;
}

bool RawClient::read_chunks(RawResponse& response) {
  while (true) {
    const auto size_line = read_line();
    if (!size_line) return false;
    const std::size_t size = std::strtoull(size_line->c_str(), nullptr, 16);
    if (size == 0) break;
    while (buffer_.size() < size + 2)
      if (!fill()) return false;
    response.body.append(buffer_, 0, size);
    buffer_.erase(0, size + 2);
  }
  while (true) {
    const auto line = read_line();
    if (!line) return false;
    if (line->empty()) return true;
    response.trailers += *line + "\r\n";
  }
}

std::optional<std::string> RawClient::read_some(std::size_t at_least) {
  while (buffer_.size() < at_least)
    if (!fill()) return std::nullopt;
  return std::exchange(buffer_, {});
}

std::string RawClient::read_to_end() {
  while (fill()) {
  }
  return std::exchange(buffer_, {});
}

}  // namespace ee::testing
