#pragma once
#include <boost/json/fwd.hpp>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/clock.h"
#include "common/jose.h"
#include "common/random.h"
#include "net/http.h"

namespace ee::net {
class Server;
}

namespace ee::standins {

/// An answer that comes instead of the right one.
struct IntelTaFault {
  int status = 503;
  std::optional<int> retry_after_seconds = {};
  bool drop = false;      ///< closes the connection without a byte
  std::string body = {};  ///< with `status` 200: this instead of a token or key set
};

/// How tokens differ from what they should be. Times in seconds, added to the right ones.
struct IntelTaToken {
  std::string issuer = "https://issuer.example";
  std::optional<std::string> audience = {};
  std::int64_t iat_offset = 0;
  std::int64_t nbf_offset = 0;
  std::int64_t exp_offset = 0;
  std::string tcb_status = "UpToDate";
  std::optional<jose::Algorithm> algorithm = {};  ///< else what the request asks for
  std::optional<std::string> header_alg = {};     ///< `alg` of the header, whatever signs
  std::optional<std::string> kid = {};
  bool foreign_signature = false;                         ///< by a key that is not published
  std::map<std::string, std::string> overrides = {};      ///< claims at the top: name -> JSON text, empty: removed
  std::map<std::string, std::string> tdx_overrides = {};  ///< claims about the TD, wherever the version has them
  std::set<std::string> unmatched_policies = {};
};

struct IntelTaRequest {
  std::string method;
  std::string path;
  std::string api_key;
  std::string request_id;
  std::string body;
};

/// Stand-in for Intel Trust Authority: a real HTTP server on 127.0.0.1. `POST /appraisal/v1|v2/attest` checks API key,
/// quote and runtime data as ITA does (but not the quote's signatures) and signs a token; `GET /certs` publishes the
/// keys. Thread-safe.
class IntelTa {
 public:
  /// `clock` is what tokens are dated by.
  explicit IntelTa(Clock& clock, std::string api_key = "test-api-key");
  ~IntelTa();
  IntelTa(const IntelTa&) = delete;
  IntelTa& operator=(const IntelTa&) = delete;

  /// Listens on `port`, 0: any free one. Throws when it cannot.
  void start(std::uint16_t port = 0);
  std::string url() const;  ///< `intel_ta.api_url`
  std::string jwks_url() const { return url() + "/certs"; }
  const std::string& api_key() const { return api_key_; }

  void set_token(IntelTaToken token);
  /// A new key under a new kid; the old ones stay published only with `keep_old`. Returns the new kid.
  std::string rotate_key(bool keep_old = true);
  /// The next attest calls, or key fetches, get these, one each.
  void fail_next_attest(std::vector<IntelTaFault> faults);
  void fail_next_keys(std::vector<IntelTaFault> faults);
  /// Every request waits so long on the stand-in's clock.
  void set_delay(Milliseconds delay);
  /// Every request waits until `release`, as at a hung server.
  void hold();
  void release();
  /// Blocks until that many requests have come in all.
  void wait_for_requests(std::size_t count);
  std::vector<IntelTaRequest> requests() const;
  std::size_t count(std::string_view path) const;

  /// What the server answers; needs no server.
  net::Response answer(const net::Request& request);

 private:
  class App;
  struct Key {
    std::string kid;
    jose::PrivateKey key;
  };
  std::optional<net::Response> faulty(std::deque<IntelTaFault>& faults);
  net::Response attest(const net::Request& request, int version) const;
  net::Response keys() const;
  std::string sign(const boost::json::object& claims, const std::string& algorithm) const;

  Clock& clock_;
  const std::string api_key_;
  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  IntelTaToken token_;
  std::vector<Key> keys_;  ///< the last one signs
  std::size_t keys_made_ = 0;
  std::deque<IntelTaFault> attest_faults_;
  std::deque<IntelTaFault> key_faults_;
  Milliseconds delay_{0};
  bool held_ = false;
  std::vector<IntelTaRequest> requests_;
  SystemClock server_clock_;
  SystemRandom random_;
  std::unique_ptr<App> app_;
  std::unique_ptr<net::Server> server_;
};

}  // namespace ee::standins
