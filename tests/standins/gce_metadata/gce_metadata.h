#pragma once
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "common/clock.h"
#include "common/random.h"
#include "net/http.h"

namespace ee::net {
class Server;
}

namespace ee::standins {

/// Stand-in for the metadata server of a Google Compute Engine instance: a real HTTP server on 127.0.0.1 with a tree of
/// values, which answers as the real one does or as a test tells it to. Thread-safe.
class GceMetadata {
 public:
  /// What is answered to one request instead of the value; absent members as usual.
  struct Answer {
    std::optional<int> status = {};
    std::optional<std::string> body = {};
    std::optional<std::string> flavor = {};  ///< the header Metadata-Flavor; empty: left out
    std::optional<std::string> location = {};
    bool hang = false;  ///< nothing is answered until `release` or the end
  };

  GceMetadata();
  ~GceMetadata();
  GceMetadata(const GceMetadata&) = delete;
  GceMetadata& operator=(const GceMetadata&) = delete;

  /// `http://127.0.0.1:<port>`; listens from the beginning.
  std::string url() const;
  /// A value under `/computeMetadata/v1/instance/`, such as `zone` or `attributes/ee-config`.
  void set(const std::string& path, std::string value);
  /// The next `times` requests for that value are answered so.
  void answer_next(const std::string& path, const Answer& answer, int times = 1);
  /// Lets requests that hang go.
  void release();
  /// Paths that were asked for, without the common part, in order.
  std::vector<std::string> asked() const;

 private:
  class App;
  SystemClock clock_;
  SystemRandom random_;
  std::unique_ptr<App> app_;
  std::unique_ptr<net::Server> server_;
};

}  // namespace ee::standins
