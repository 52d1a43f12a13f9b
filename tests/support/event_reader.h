#pragma once
#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/raw_client.h"

namespace ee::testing {

/// A follower of an event stream on a real socket.
class EventReader {
 public:
  EventReader(std::uint16_t port, const std::string& path, const std::string& token, const std::string& fields = {})
      : client_(port) {
    client_.send("GET " + path + " HTTP/1.1\r\nHost: cp\r\nAuthorization: Bearer " + token +
                 "\r\nConnection: close\r\nAccept: text/event-stream\r\n" + fields + "\r\n");
  }
  /// Reads until `text` has come; false when nothing came for five seconds or the stream ended before.
  bool wait_for(std::string_view text) {
    for (std::size_t from = 0;;) {
      if (all_.find(text, from) != std::string::npos) return true;
      from = all_.size() - std::min(all_.size(), text.size());
      const auto more = client_.read_some();
      if (!more || more->empty()) return false;
      all_ += *more;
    }
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
