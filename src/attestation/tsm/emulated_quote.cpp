#include "attestation/tsm/emulated_quote.h"

#ifdef EE_EMULATOR

#include <algorithm>

#include "attestation/quote/layout.h"
#include "attestation/tsm/emulator_keys.h"
#include "common/crypto.h"

namespace ee::attestation {

namespace {

void append_little_endian(ByteVector& to, std::uint64_t value, std::size_t size) {
  for (std::size_t i = 0; i < size; ++i) to.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
}

template <class F>
void put(ByteVector& body, F /*field*/, Bytes value) {
  std::ranges::copy(value, body.begin() + static_cast<std::ptrdiff_t>(F::offset));
}

template <class F>
void put(ByteVector& body, F field, std::uint64_t value) {
  ByteVector bytes;
  append_little_endian(bytes, value, F::size);
  put(body, field, Bytes(bytes));
}

ByteVector make_body(const EmulatedQuoteSpec& spec) {
  using namespace layout::body;
  const bool is_1_5 = spec.form == QuoteForm::v5_td_1_5;
  ByteVector body(is_1_5 ? kSize15 : kSize10);
  put(body, TeeTcbSvn{}, Bytes(spec.tee_tcb_svn));
  put(body, MrSeam{}, sha384(bytes_of("easyenclave emulated TDX module")));
  put(body, SeamAttributes{}, spec.seam_attributes);
  put(body, TdAttributes{}, spec.td_attributes);
  put(body, Xfam{}, spec.xfam);
  put(body, MrTd{}, spec.measurements.mrtd);
  put(body, MrConfigId{}, spec.measurements.mrconfigid);
  ByteVector rtmrs;
  for (const auto& rtmr : spec.measurements.rtmrs) append(rtmrs, rtmr);
  put(body, Rtmrs{}, Bytes(rtmrs));
  put(body, ReportData{}, spec.report_data);
  if (is_1_5) {
    put(body, TeeTcbSvn2{}, spec.tee_tcb_svn2);
    put(body, MrServiceTd{}, spec.mrservicetd);
  }
  return body;
}

ByteVector make_header(const EmulatedQuoteSpec& spec) {
  ByteVector header;
  append_little_endian(header, spec.form == QuoteForm::v4 ? 4 : 5, 2);
  append_little_endian(header, layout::kKeyTypeEcdsaP256, 2);
  append_little_endian(header, layout::kTeeTypeTdx, 4);
  append_little_endian(header, 0, 4);
  append(header, spec.qe_vendor_id);
  header.resize(layout::header::kSize);
  return header;
}

}  // namespace

struct EmulatedQuoteSigner::Key {
  emulator::P256Key attestation;
};

EmulatedMeasurements EmulatedMeasurements::defaults(EmulatedRole role) {
  const std::string prefix = role == EmulatedRole::control_plane ? "cp-" : "";
  EmulatedMeasurements out;
  out.mrtd = sha384(bytes_of(prefix + "mrtd"));
  for (std::size_t i = 0; i < 3; ++i) out.rtmrs[i] = sha384(bytes_of(prefix + "rtmr" + std::to_string(i)));
  return out;
}

EmulatedQuoteSigner::EmulatedQuoteSigner(std::shared_ptr<const EmulatorPki> pki, std::string_view key_label)
    : pki_(std::move(pki)),
      key_(std::make_unique<const Key>(Key{emulator::P256Key::from_label(attestation_key_label(key_label))})) {}
EmulatedQuoteSigner::~EmulatedQuoteSigner() = default;
EmulatedQuoteSigner::EmulatedQuoteSigner(EmulatedQuoteSigner&&) noexcept = default;
EmulatedQuoteSigner& EmulatedQuoteSigner::operator=(EmulatedQuoteSigner&&) noexcept = default;

ByteVector EmulatedQuoteSigner::sign(const EmulatedQuoteSpec& spec) const {
  const EmulatedQe& qe = pki_->qe();
  ByteVector quote = make_header(spec);
  const ByteVector body = make_body(spec);
  if (spec.form != QuoteForm::v4) {
    append_little_endian(quote, spec.form == QuoteForm::v5_td_1_5 ? 3 : 2, 2);
    append_little_endian(quote, body.size(), 4);
  }
  append(quote, body);

  auto signature = key_->attestation.sign(quote);
  auto report = qe.report;
  auto report_signature = qe.report_signature;
  auto auth_data = qe.auth_data;
  if (spec.fault == QuoteFault::broken_signature) signature[40] ^= 1;
  if (spec.fault == QuoteFault::broken_qe_signature) report_signature[40] ^= 1;
  if (spec.fault == QuoteFault::broken_qe_binding) auth_data.front() ^= 1;

  const std::size_t certification_size =
      layout::signature_data::kAroundVariableParts + auth_data.size() + qe.pck_chain.size();
  append_little_endian(quote, layout::signature_data::kBeforeCertification + certification_size, 4);
  append(quote, signature);
  append(quote, qe.attestation_key);
  append_little_endian(quote, layout::kCertificationQeReport, 2);
  append_little_endian(quote, certification_size, 4);
  append(quote, report);
  append(quote, report_signature);
  append_little_endian(quote, auth_data.size(), 2);
  append(quote, auth_data);
  append_little_endian(quote, layout::kCertificationPckChain, 2);
  append_little_endian(quote, qe.pck_chain.size(), 4);
  append(quote, qe.pck_chain);
  return quote;
}

}  // namespace ee::attestation

#endif
