#pragma once
#include <functional>
#include <string>

#include "attestation/verify/collateral_store.h"
#include "common/clock.h"
#include "common/http_client.h"
#include "common/random.h"

namespace ee::attestation {

/// Where collateral is published: Intel's PCS, or a PCCS in one's own network.
struct PcsEndpoints {
  std::string pcs_url = "https://api.trustedservices.intel.com";  ///< `dcap.pcs_url`
  /// `dcap.root_crl_url`; empty: the PCCS path under `pcs_url`.
  std::string root_crl_url = "https://certificates.trustedservices.intel.com/IntelSGXRootCA.der";
};

/// Calls of the Provisioning Certification Service, version 4. Every call has a connect time-out of 5 s and 15 s in
/// all, an answer of at most 1 MiB, no redirects. 401, 429, 5xx and network failures are tried again twice, after up to
/// 0.5 s and 2 s with full jitter, or after `Retry-After` when that is at most 5 s. Thread-safe.
/// Source: 01 section 10.3; Intel SGX and TDX Provisioning Certification Service API v4.
class PcsClient final : public CollateralFetcher {
 public:
  /// `http`, `clock` and `random` outlive the client; `endpoints` is asked on every fetch.
  PcsClient(HttpClient& http, Clock& clock, Random& random, std::function<PcsEndpoints()> endpoints);

  /// errors: fmspc_unknown when TCB info is answered with 404; else collateral_unavailable
  Result<CollateralItem> fetch(const CollateralKey& key, std::stop_token stop) override;

 private:
  Result<HttpClientResponse> get(const std::string& url, const std::stop_token& stop);
  bool pause(int attempt, const HttpClientResponse* answer, const std::stop_token& stop);

  HttpClient& http_;
  Clock& clock_;
  Random& random_;
  std::function<PcsEndpoints()> endpoints_;
};

}  // namespace ee::attestation
