#include "attestation/verify/qe_identity.h"

#include <algorithm>
#include <boost/json/value.hpp>
#include <limits>

#include "attestation/quote/layout.h"
#include "attestation/verify/tcb_evaluation.h"
#include "attestation/verify/tcb_levels_json.h"
#include "common/json.h"

namespace ee::attestation {
namespace {

constexpr json::Limits kLimits{.max_bytes = 1024UL * 1024, .max_depth = 16, .max_nodes = 20000};
constexpr std::uint8_t kDebug = 0x02;  // in byte 0 of ATTRIBUTES

QeIdentity read_contents(const Fields& document, const DocumentDates& dates) {
  if (document.text("id") != "TD_QE") document.note("id");
  document.integer("version", 2, 3);
  return {.dates = dates,
          .miscselect = document.hex<4>("miscselect"),
          .miscselect_mask = document.hex<4>("miscselectMask"),
          .attributes = document.hex<16>("attributes"),
          .attributes_mask = document.hex<16>("attributesMask"),
          .mrsigner = document.hex<32>("mrsigner"),
          .isvprodid =
              static_cast<std::uint16_t>(document.integer("isvprodid", 0, std::numeric_limits<std::uint16_t>::max())),
          .levels = read_isv_levels(document)};
}

template <std::size_t N>
bool equal_under_mask(std::span<const std::uint8_t, N> actual, const ByteArray<N>& mask, const ByteArray<N>& wanted) {
  for (std::size_t i = 0; i < N; ++i)
    if ((actual[i] & mask[i]) != wanted[i]) return false;
  return true;
}

}  // namespace

Result<QeIdentityDocument> parse_qe_identity(std::string_view json) {
  const auto value = json::parse(json, kLimits);
  if (!value) return fail(ErrorCode::qe_identity_mismatch, value.error().detail);
  FieldProblem problem;
  const Fields document(*value, "enclaveIdentity", problem);
  const DocumentDates dates = read_dates(document);
  if (problem.any()) return fail(ErrorCode::qe_identity_mismatch, problem.field());
  QeIdentity contents = read_contents(document, dates);
  if (problem.any()) return QeIdentityDocument{dates, fail(ErrorCode::qe_identity_mismatch, problem.field())};
  return QeIdentityDocument{dates, std::move(contents)};
}

Result<TcbVerdict> check_qe_report(const QeIdentity& identity, std::span<const std::uint8_t, 384> qe_report) {
  using namespace layout::qe_report;  // NOLINT(google-build-using-namespace): field names of this one structure
  const auto mismatch = [](const char* what) { return fail(ErrorCode::qe_identity_mismatch, what); };
  if (!std::ranges::equal(MrSigner::of(qe_report), identity.mrsigner)) return mismatch("MRSIGNER");
  if (layout::little_endian(IsvProdId::of(qe_report)) != identity.isvprodid) return mismatch("ISVPRODID");
  if (!equal_under_mask(MiscSelect::of(qe_report), identity.miscselect_mask, identity.miscselect))
    return mismatch("MISCSELECT");
  const auto attributes = Attributes::of(qe_report);
  if (!equal_under_mask(attributes, identity.attributes_mask, identity.attributes)) return mismatch("ATTRIBUTES");
  if ((attributes.front() & kDebug) != 0) return mismatch("DEBUG");

  const auto isvsvn = static_cast<std::uint16_t>(layout::little_endian(IsvSvn::of(qe_report)));
  const IsvLevel* level = matching_level(identity.levels, isvsvn);
  if (level == nullptr) return fail(ErrorCode::tcb_not_supported, "no level for the QE's ISVSVN");
  return level->verdict;
}

}  // namespace ee::attestation
