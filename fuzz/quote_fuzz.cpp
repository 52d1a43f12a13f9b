// Quotes: parsing never reads outside its input, and what it accepts is the same when it is read again.
#include "attestation/quote/quote.h"

#include "common/require.h"

namespace {

using namespace ee;
using namespace ee::attestation;

/// Touches every byte that a view spans.
std::uint64_t sum_of(Bytes bytes) {
  std::uint64_t sum = 0;
  for (const std::uint8_t byte : bytes) sum += byte;
  return sum;
}

std::uint64_t touch(const Quote& quote) {
  std::uint64_t sum = quote.td_attributes() + quote.xfam() + quote.seam_attributes();
  for (std::size_t i = 0; i < 4; ++i) sum += sum_of(quote.rtmr(i));
  for (const Bytes view :
       {Bytes(quote.tee_tcb_svn()), Bytes(quote.mrseam()), Bytes(quote.mrsignerseam()), Bytes(quote.mrtd()),
        Bytes(quote.mrconfigid()), Bytes(quote.mrowner()), Bytes(quote.mrownerconfig()), Bytes(quote.report_data()),
        quote.signed_bytes(), Bytes(quote.signature()), Bytes(quote.attestation_key()), Bytes(quote.qe_report()),
        Bytes(quote.qe_report_signature()), quote.qe_auth_data(), bytes_of(quote.pck_chain_pem())})
    sum += sum_of(view);
  if (const auto svn = quote.tee_tcb_svn2()) sum += sum_of(*svn);
  if (const auto service_td = quote.mrservicetd()) sum += sum_of(*service_td);
  return sum;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Bytes raw(data, size);
  const auto ignored = parse_quote(raw, TrailingPolicy::ignore);
  const auto quote = parse_quote(raw, TrailingPolicy::zeros);
  require(!quote || ignored);
  if (ignored) {
    require(ignored->bytes().size() <= size);
    const auto again = parse_quote(ignored->bytes(), TrailingPolicy::zeros);
    require(again && again->bytes().size() == ignored->bytes().size());
    require(touch(*again) == touch(*ignored));
  }
  const auto decoded = parse_quote_base64(text_of(raw), TrailingPolicy::zeros);
  require(!decoded || decoded->bytes().size() <= kQuoteMaxBytes);
  return 0;
}
