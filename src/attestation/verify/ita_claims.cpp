#include "attestation/verify/ita_claims.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

namespace ee::attestation {
namespace {

using boost::json::object;

constexpr std::size_t kMaxAdvisories = 256;
constexpr std::size_t kMaxAdvisoryChars = 64;

std::unexpected<Error> invalid(std::string detail) { return fail(ErrorCode::ita_claims_invalid, std::move(detail)); }

/// Where the claims about the TD are. The other place must then be empty, so that no check reads one and no policy the
/// other.
Result<const object*> place_of_claims(const object& claims) {
  const auto version = jose::text_member(claims, "ver").value_or("");
  if (claims.contains("ver") && !version.starts_with("1.") && !version.starts_with("2.")) return invalid("ver");
  const auto* const tdx = claims.if_contains("tdx");
  if (tdx == nullptr) {
    if (!version.starts_with("1.")) return invalid("no tdx claims");
    return &claims;
  }
  if (!tdx->is_object()) return invalid("tdx");
  const bool both = std::ranges::any_of(claims, [](const auto& member) {
    const std::string_view name(member.key());
    return name.starts_with("tdx_") || name.starts_with("attester_");
  });
  if (both) return invalid("claims in both places");
  return &tdx->get_object();
}

/// Reads texts; remembers the first member that is there but is none.
class TextReader {
 public:
  explicit TextReader(const object& claims) : claims_(claims) {}
  void read(std::string_view name, std::optional<std::string>& to) {
    if (!claims_.contains(name)) return;
    const auto text = jose::text_member(claims_, name);
    if (text)
      to = std::string(*text);
    else if (wrong_.empty())
      wrong_ = name;
  }
  const std::string& wrong() const { return wrong_; }

 private:
  const object& claims_;
  std::string wrong_;
};

/// Absent is fine; there, and anything but `expected`, is not.
bool is_absent_or(const object& claims, std::string_view name, std::string_view expected) {
  return !claims.contains(name) || jose::text_member(claims, name) == expected;
}
bool is_absent_or_false(const object& claims, std::string_view name) {
  const auto* const value = claims.if_contains(name);
  return value == nullptr || (value->is_bool() && !value->get_bool());
}

Result<void> read_tcb(const object& claims, ItaClaims& out) {
  if (const auto status = jose::text_member(claims, "attester_tcb_status"))
    out.tcb_status = tcb_status_of(*status).value_or(TcbStatus::Unknown);
  if (const auto date = jose::text_member(claims, "attester_tcb_date")) {
    out.tcb_date = parse_rfc3339(*date);
    if (!out.tcb_date) return invalid("attester_tcb_date");
  }
  const auto* const advisories = claims.if_contains("attester_advisory_ids");
  if (advisories == nullptr || advisories->is_null()) return {};
  if (!advisories->is_array() || advisories->get_array().size() > kMaxAdvisories)
    return invalid("attester_advisory_ids");
  for (const boost::json::value& advisory : advisories->get_array()) {
    if (!advisory.is_string() || advisory.get_string().size() > kMaxAdvisoryChars)
      return invalid("attester_advisory_ids");
    out.advisory_ids.emplace_back(advisory.get_string());
  }
  return {};
}

bool equal_hex(const std::string& hex, Bytes expected) {
  const auto bytes = from_hex(hex);
  return bytes && constant_time_equal(*bytes, expected);
}
bool absent_or_equal(const std::optional<std::string>& hex, Bytes expected) {
  return !hex || equal_hex(*hex, expected);
}

ByteArray<8> little_endian(std::uint64_t value) {
  ByteArray<8> out;
  for (auto& byte : out) {
    byte = static_cast<std::uint8_t>(value);
    value >>= 8U;
  }
  return out;
}

}  // namespace

Result<ItaClaims> read_ita_claims(const object& claims) {
  const auto place = place_of_claims(claims);
  if (!place) return fail(place.error());
  const object& tdx = **place;
  if (!is_absent_or(claims, "intuse", "generic") || !is_absent_or(tdx, "intuse", "generic")) return invalid("intuse");
  ItaClaims out;
  TextReader texts(tdx);
  texts.read("attester_type", out.attester_type);
  texts.read("tdx_mrtd", out.mrtd);
  for (std::size_t i = 0; i < out.rtmrs.size(); ++i) texts.read("tdx_rtmr" + std::to_string(i), out.rtmrs[i]);
  texts.read("tdx_report_data", out.report_data);
  texts.read("attester_held_data", out.held_data);
  texts.read("tdx_mrseam", out.mrseam);
  texts.read("tdx_mrsignerseam", out.mrsignerseam);
  texts.read("tdx_td_attributes", out.td_attributes);
  texts.read("tdx_xfam", out.xfam);
  texts.read("tdx_mrconfigid", out.mrconfigid);
  texts.read("tdx_mrowner", out.mrowner);
  texts.read("tdx_mrownerconfig", out.mrownerconfig);
  if (!texts.wrong().empty()) return invalid(texts.wrong());
  out.debuggable = !is_absent_or_false(tdx, "tdx_is_debuggable") ||
                   !is_absent_or_false(tdx, "tdx_td_attributes_debug") || !is_absent_or(tdx, "dbgstat", "disabled") ||
                   !is_absent_or(claims, "dbgstat", "disabled");
  if (auto tcb = read_tcb(tdx, out); !tcb) return fail(std::move(tcb.error()));
  return out;
}

Result<void> check_ita_claims(const ItaClaims& claims, const Quote& quote, Bytes preimage) {
  const auto mismatch = [](std::string name) { return fail(ErrorCode::ita_quote_mismatch, std::move(name)); };
  if (!claims.attester_type) return invalid("attester_type");
  if (*claims.attester_type != "TDX") return mismatch("attester_type");
  if (!claims.mrtd) return fail(ErrorCode::mrtd_missing);
  if (!equal_hex(*claims.mrtd, quote.mrtd())) return mismatch("tdx_mrtd");
  for (std::size_t i = 0; i < claims.rtmrs.size(); ++i) {
    if (!claims.rtmrs[i]) return invalid("tdx_rtmr" + std::to_string(i));
    if (!equal_hex(*claims.rtmrs[i], quote.rtmr(i))) return mismatch("tdx_rtmr" + std::to_string(i));
  }
  if (!claims.report_data) return invalid("tdx_report_data");
  if (!equal_hex(*claims.report_data, quote.report_data())) return mismatch("tdx_report_data");
  if (claims.held_data) {
    const auto held = from_base64(*claims.held_data);
    if (!held || !constant_time_equal(*held, preimage)) return mismatch("attester_held_data");
  }
  if (!absent_or_equal(claims.mrseam, quote.mrseam())) return mismatch("tdx_mrseam");
  if (!absent_or_equal(claims.mrsignerseam, quote.mrsignerseam())) return mismatch("tdx_mrsignerseam");
  if (!absent_or_equal(claims.td_attributes, little_endian(quote.td_attributes())))
    return mismatch("tdx_td_attributes");
  if (!absent_or_equal(claims.xfam, little_endian(quote.xfam()))) return mismatch("tdx_xfam");
  if (!absent_or_equal(claims.mrconfigid, quote.mrconfigid())) return mismatch("tdx_mrconfigid");
  if (!absent_or_equal(claims.mrowner, quote.mrowner())) return mismatch("tdx_mrowner");
  if (!absent_or_equal(claims.mrownerconfig, quote.mrownerconfig())) return mismatch("tdx_mrownerconfig");
  if (claims.debuggable) return fail(ErrorCode::td_debug_enabled);
  return {};
}

}  // namespace ee::attestation
