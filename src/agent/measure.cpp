#include "agent/measure.h"

#include <fmt/format.h>

#include <boost/describe/class.hpp>
#include <boost/json/value.hpp>
#include <optional>

#include "agent/event_log.h"
#include "attestation/quote/quote.h"
#include "common/bytes.h"
#include "common/crypto.h"
#include "common/json.h"

namespace ee::agent {
namespace {

struct ImageInfo {
  std::string version;
  std::string flavour;
};
BOOST_DESCRIBE_STRUCT(ImageInfo, (), (version, flavour))

struct Measurements {
  std::string mrtd, rtmr0, rtmr1, rtmr2, rtmr3, mrconfigid;
  std::string td_attributes;  ///< 16 hexadecimal digits of the number, as `xfam`
  std::string xfam;
  std::optional<std::string> event_log_sha256;
  std::optional<std::string> event_log;
  std::string quote;
  std::optional<ImageInfo> image;
  bool emulated = false;
};
BOOST_DESCRIBE_STRUCT(Measurements, (),
                      (mrtd, rtmr0, rtmr1, rtmr2, rtmr3, mrconfigid, td_attributes, xfam, event_log_sha256, event_log,
                       quote, image, emulated))

struct QuoteAnswer {
  std::string nonce;
  std::string report_data;
  std::string quote;
  bool emulated = false;
};
BOOST_DESCRIBE_STRUCT(QuoteAnswer, (), (nonce, report_data, quote, emulated))

/// What the image says of itself: members `version` and `flavour` of /etc/easyenclave/image.json.
std::optional<ImageInfo> image_info(const Host& host) {
  const auto text = host.read("etc/easyenclave/image.json", 64UL * 1024);
  if (!text) return std::nullopt;
  const auto parsed = json::parse(*text);
  if (!parsed || !parsed->is_object()) return std::nullopt;
  const auto member = [&](const char* name) -> std::string {
    const auto* value = parsed->get_object().if_contains(name);
    if (value == nullptr || !value->is_string()) return {};
    return std::string(value->get_string().data(), std::min<std::size_t>(value->get_string().size(), 64));
  };
  return ImageInfo{.version = member("version"), .flavour = member("flavour")};
}

}  // namespace

Result<std::string> measure(attestation::QuoteSource& quotes, const Host& host, Random& random) {
  ByteVector preimage;
  append(preimage, "ee-measure-v1");
  preimage.push_back(0);
  ByteArray<32> fresh{};
  if (!random.fill(fresh)) return fail(ErrorCode::quote_generation_failed, "no random bytes");
  append(preimage, fresh);
  const auto raw = quotes.generate(sha512(preimage));
  if (!raw) return fail(raw.error());
  const auto quote = attestation::parse_quote(*raw, attestation::TrailingPolicy::zeros);
  if (!quote) return fail(quote.error());

  Measurements out;
  out.mrtd = to_hex(quote->mrtd());
  out.rtmr0 = to_hex(quote->rtmr(0));
  out.rtmr1 = to_hex(quote->rtmr(1));
  out.rtmr2 = to_hex(quote->rtmr(2));
  out.rtmr3 = to_hex(quote->rtmr(3));
  out.mrconfigid = to_hex(quote->mrconfigid());
  out.td_attributes = fmt::format("{:016x}", quote->td_attributes());
  out.xfam = fmt::format("{:016x}", quote->xfam());
  if (const auto log = read_event_log(host)) {
    out.event_log_sha256 = to_hex(sha256(*log));
    out.event_log = to_base64(*log);
  }
  out.quote = to_base64(quote->bytes());
  out.image = image_info(host);
  out.emulated = quotes.emulated();
  return json::write(out);
}

std::string measurements_line(std::string_view json) { return fmt::format("EASYENCLAVE_MEASUREMENTS={}\n", json); }

std::string measure_error_line(ErrorCode code) { return fmt::format("EASYENCLAVE_MEASURE_ERROR={}\n", slug(code)); }

Result<std::string> quote_for_nonce(attestation::QuoteSource& quotes, std::string_view nonce_hex) {
  const auto nonce = nonce_hex.size() <= 128 ? from_hex(nonce_hex) : std::nullopt;
  if (!nonce || nonce->empty()) return fail(ErrorCode::invalid_request, "the nonce must be 2 to 128 hex digits");
  ByteVector preimage;
  append(preimage, "ee-quote-v1");
  preimage.push_back(0);
  append(preimage, *nonce);
  const auto report_data = sha512(preimage);
  const auto quote = quotes.generate(report_data);
  if (!quote) return fail(quote.error());
  return json::write(QuoteAnswer{.nonce = to_hex(*nonce),
                                 .report_data = to_hex(report_data),
                                 .quote = to_base64(*quote),
                                 .emulated = quotes.emulated()});
}

}  // namespace ee::agent
