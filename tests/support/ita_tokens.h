#pragma once
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <optional>
#include <string>

#include "attestation/quote/quote.h"
#include "common/jose.h"
#include "common/time.h"
#include "tests/support/jose_keys.h"

namespace ee::testing {

/// 2048 bits, made once per test program.
inline const jose::PrivateKey& ita_signing_key() {
  static const jose::PrivateKey key = jose::PrivateKey::from_pem(make_rsa_key(2048).pem).value();
  return key;
}

/// What Intel Trust Authority says about a TD, as claims of version 1 (at the top) or 2 (inside `tdx`).
struct ItaTokenSpec {
  int version = 2;
  std::string issuer = "https://issuer.example";
  UtcTime now;
  Seconds lifetime{300};
  std::string tcb_status = "UpToDate";
  boost::json::array policy_ids_matched = {};
};

inline boost::json::object ita_claims_of(const attestation::Quote& quote, Bytes preimage, const ItaTokenSpec& spec) {
  const auto little_endian = [](std::uint64_t value) {
    ByteArray<8> out;
    for (auto& byte : out) {
      byte = static_cast<std::uint8_t>(value);
      value >>= 8U;
    }
    return to_hex(out);
  };
  boost::json::object tdx = {
      {"attester_type", "TDX"},
      {"attester_held_data", to_base64(preimage)},
      {"attester_tcb_status", spec.tcb_status},
      {"attester_tcb_date", "2025-03-01T00:00:00Z"},
      {"attester_advisory_ids", boost::json::array{"INTEL-SA-00837"}},
      {"dbgstat", "disabled"},
      {"tdx_is_debuggable", false},
      {"tdx_td_attributes_debug", false},
      {"tdx_mrtd", to_hex(quote.mrtd())},
      {"tdx_report_data", to_hex(quote.report_data())},
      {"tdx_mrseam", to_hex(quote.mrseam())},
      {"tdx_mrsignerseam", to_hex(quote.mrsignerseam())},
      {"tdx_td_attributes", little_endian(quote.td_attributes())},
      {"tdx_xfam", little_endian(quote.xfam())},
      {"tdx_mrconfigid", to_hex(quote.mrconfigid())},
      {"tdx_mrowner", to_hex(quote.mrowner())},
      {"tdx_mrownerconfig", to_hex(quote.mrownerconfig())},
      {"tdx_seamsvn", 5},
  };
  for (std::size_t i = 0; i < 4; ++i) tdx["tdx_rtmr" + std::to_string(i)] = to_hex(quote.rtmr(i));
  const std::int64_t seconds = std::chrono::floor<Seconds>(spec.now).time_since_epoch().count();
  boost::json::object claims = {{"iss", spec.issuer},
                                {"iat", seconds},
                                {"nbf", seconds},
                                {"exp", seconds + spec.lifetime.count()},
                                {"jti", "0b5d1d0e-7d3b-4d43-9d1f-3f0ee8ad6a45"},
                                {"eat_profile", "https://portal.trustauthority.intel.com/eat_profile.html"},
                                {"intuse", "generic"},
                                {"ver", spec.version == 1 ? "1.0.0" : "2.0.0"}};
  if (!spec.policy_ids_matched.empty()) claims["policy_ids_matched"] = spec.policy_ids_matched;
  if (spec.version == 1)
    for (const auto& member : tdx) claims.insert(member);
  else
    claims["tdx"] = std::move(tdx);
  return claims;
}

inline std::string ita_token(const boost::json::object& claims, jose::Algorithm algorithm = jose::Algorithm::ps384,
                             std::string_view kid = "ita-1") {
  return jose::sign_compact(ita_signing_key(), algorithm, kid, "JWT", boost::json::serialize(claims)).value();
}

/// A token with a header and claims that nobody would make, under a good signature.
inline std::string ita_token_of_texts(std::string_view header, std::string_view claims,
                                      jose::Algorithm algorithm = jose::Algorithm::ps384) {
  std::string token = to_base64url(bytes_of(header)) + '.' + to_base64url(bytes_of(claims));
  return token + '.' + to_base64url(ita_signing_key().sign(algorithm, bytes_of(token)).value());
}

inline std::string ita_jwks(std::string_view kid = "ita-1") {
  return R"({"keys":[)" + ita_signing_key().public_jwk(kid) + "]}";
}

}  // namespace ee::testing
