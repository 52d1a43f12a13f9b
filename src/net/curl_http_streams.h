#pragma once
#include <cstddef>
#include <memory>

#include "common/http_streams.h"

namespace ee::net {

/// The real HttpStreams: libcurl's multi interface on one thread of its own, with the rules of CurlHttpClient. Of one
/// stream at most `kMaxBytesPerSecond` are read, so that a peer that floods costs no more than that. `addresses` must
/// be `any`; another policy is refused.
class CurlHttpStreams final : public HttpStreams {
 public:
  static constexpr std::size_t kMaxStreams = 256;
  static constexpr long kMaxBytesPerSecond = 8L * 1024 * 1024;

  CurlHttpStreams();
  /// Ends what is open; no handler runs any more when it returns.
  ~CurlHttpStreams() override;
  CurlHttpStreams(const CurlHttpStreams&) = delete;
  CurlHttpStreams& operator=(const CurlHttpStreams&) = delete;

  std::unique_ptr<Stream> open(HttpClientRequest request, Milliseconds head_timeout, Handlers handlers) override;

 private:
  struct Core;
  std::shared_ptr<Core> core_;
};

}  // namespace ee::net
