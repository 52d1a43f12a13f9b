#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/raw_client.h"

namespace ee::testing {

/// A follower of an event stream on a real socket.
class EventReader {
 public:
  EventReader(std::uint16_t port, const std::string& path, const std::string& token, const std::string& fields = {},
              bool slow = false)
      : client_(port) {
    if (slow) client_.shrink_receive_buffer();
    client_.send("GET " + path + " HTTP/1.1\r\nHost: cp\r\nAuthorization: Bearer " + token +
                 "\r\nAccept: text/event-stream\r\n" + fields + "\r\n");
  }
  /// Reads until `text` has come; false when nothing came for five seconds or the stream ended before.
  bool wait_for(std::string_view text) {
    while (all_.find(text) == std::string::npos) {
      auto more = client_.read_some();
      if (!more || more->empty()) return false;
      all_ += *more;
    }
    return true;
  }
  /// Everything until the end.
  const std::string& rest() {
    all_ += client_.read_to_end();
    return all_;
  }
  const std::string& text() const { return all_; }
  std::size_t count(std::string_view what) const {
    std::size_t found = 0;
    for (std::size_t at = all_.find(what); at != std::string::npos; at = all_.find(what, at + what.size())) ++found;
    return found;
  }
  void close() { client_.close(); }
  RawClient& client() { return client_; }

 private:
  RawClient client_;
  std::string all_;
};

}  // namespace ee::testing
