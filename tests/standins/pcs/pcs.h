#pragma once
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "common/clock.h"
#include "common/random.h"
#include "net/http.h"
#include "tests/standins/pcs/pcs_content.h"

namespace ee::net {
class Server;
}

namespace ee::standins {

enum class PcsCrlForm : std::uint8_t { der, pem, hex };

/// An answer that comes instead of the right one.
struct PcsFault {
  int status = 503;
  std::optional<int> retry_after_seconds = {};
  bool drop = false;  ///< closes the connection without a byte
};

struct PcsRequest {
  std::string path;
  std::string query;
};

/// Stand-in for Intel's PCS and for a PCCS: a real HTTP server on 127.0.0.1. Thread-safe.
class Pcs {
 public:
  explicit Pcs(PcsContent content);
  ~Pcs();
  Pcs(const Pcs&) = delete;
  Pcs& operator=(const Pcs&) = delete;

  /// Listens on `port`, 0: any free one. Throws when it cannot.
  void start(std::uint16_t port = 0);
  std::string url() const;
  /// `dcap.root_crl_url` of this server, as Intel has one apart from the PCS.
  std::string root_crl_url() const { return url() + "/IntelSGXRootCA.der"; }

  void set_content(PcsContent content);
  void set_crl_form(PcsCrlForm form);
  /// One digit of every signature over a document is wrong.
  void set_bad_signatures(bool on);
  /// The next requests get these, one each.
  void fail_next(std::vector<PcsFault> faults);
  /// Every request waits until `release`, as at a hung server.
  void hold();
  void release();
  /// Blocks until that many requests have come in all.
  void wait_for_requests(std::size_t count);
  std::vector<PcsRequest> requests() const;

  /// What the server answers; needs no server.
  net::Response answer(const net::Request& request);

 private:
  class App;
  net::Response find(const std::string& path, const std::string& query) const;
  net::Response document(const PcsContent::Item& item, const char* chain_header) const;
  net::Response crl(const PcsContent::Item& item, const char* chain_header) const;

  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  PcsContent content_;
  PcsCrlForm crl_form_ = PcsCrlForm::der;
  bool bad_signatures_ = false;
  bool held_ = false;
  std::deque<PcsFault> faults_;
  std::vector<PcsRequest> requests_;
  SystemClock clock_;
  SystemRandom random_;
  std::unique_ptr<App> app_;
  std::unique_ptr<net::Server> server_;
};

}  // namespace ee::standins
