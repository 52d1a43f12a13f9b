#include "agent/bootstrap/boot_evidence.h"

#include <algorithm>
#include <boost/describe/class.hpp>

#include "attestation/quote/quote.h"
#include "common/bytes.h"
#include "common/crypto.h"
#include "common/json.h"

namespace ee::agent {
namespace {

struct BootEvidence {
  std::string nonce;
  std::string program;
  std::string report_data;
  std::string mrtd, rtmr0, rtmr1, rtmr2, rtmr3;
  std::string quote;
  bool emulated = false;
  UtcTime generated_at;
};
BOOST_DESCRIBE_STRUCT(BootEvidence, (),
                      (nonce, program, report_data, mrtd, rtmr0, rtmr1, rtmr2, rtmr3, quote, emulated, generated_at))

bool all_zero(std::span<const std::uint8_t> bytes) {
  return std::ranges::all_of(bytes, [](std::uint8_t byte) { return byte == 0; });
}

}  // namespace

Result<std::string> boot_evidence(attestation::QuoteSource& quotes, const std::string& program, const Clock& clock,
                                  Random& random) {
  ByteArray<32> nonce{};
  if (!random.fill(nonce)) return fail(ErrorCode::quote_generation_failed, "no random bytes");
  ByteVector preimage;
  append(preimage, "ee-cp-boot-v1");
  preimage.push_back(0);
  append(preimage, nonce);
  append(preimage, sha256(bytes_of(program)));
  const auto report_data = sha512(preimage);
  const auto raw = quotes.generate(report_data);
  if (!raw) return fail(raw.error());
  const auto quote = attestation::parse_quote(*raw, attestation::TrailingPolicy::zeros);
  if (!quote) return fail(quote.error());
  if (!std::ranges::equal(quote->report_data(), report_data))
    return fail(ErrorCode::tdx_unavailable, "the quote is over something else");
  if (all_zero(quote->mrtd()) || all_zero(quote->rtmr(1)))
    return fail(ErrorCode::tdx_unavailable, "the quote holds no measurements");
  return json::write(BootEvidence{.nonce = to_hex(nonce),
                                  .program = program,
                                  .report_data = to_hex(report_data),
                                  .mrtd = to_hex(quote->mrtd()),
                                  .rtmr0 = to_hex(quote->rtmr(0)),
                                  .rtmr1 = to_hex(quote->rtmr(1)),
                                  .rtmr2 = to_hex(quote->rtmr(2)),
                                  .rtmr3 = to_hex(quote->rtmr(3)),
                                  .quote = to_base64(quote->bytes()),
                                  .emulated = quotes.emulated(),
                                  .generated_at = clock.now()});
}

}  // namespace ee::agent
