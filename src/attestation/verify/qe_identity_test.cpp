#include "attestation/verify/qe_identity.h"

#include <gtest/gtest.h>

#include <functional>

#include "attestation/quote/layout.h"
#include "attestation/tsm/emulator_collateral.h"
#include "attestation/verify/signed_json.h"
#include "tests/support/emulator.h"
#include "tests/support/recorded_collateral.h"

namespace ee::attestation {
namespace {

using testing::at;

std::string good() { return emulator::make_qe_identity({.issued_at = at("2026-01-01T00:00:00Z")}); }

std::string replaced(std::string text, std::string_view from, std::string_view to) {
  const std::size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return at == std::string::npos ? text : text.replace(at, from.size(), to);
}

std::string fault_of(const std::string& json) {
  const auto document = parse_qe_identity(json);
  const Error* error = !document ? &document.error() : !document->contents ? &document->contents.error() : nullptr;
  if (error == nullptr) return {};
  EXPECT_EQ(error->code, ErrorCode::qe_identity_mismatch);
  return error->detail.empty() ? "no detail" : error->detail;
}

TEST(QeIdentity, ReadsARealDocument) {
  EE_NEED_VECTORS();
  const auto recorded = testing::read_recorded_collateral("dcap-qvl/tdx_quote_collateral.json");
  const auto document = parse_qe_identity(recorded.qe_identity);
  ASSERT_TRUE(document && document->contents);
  const QeIdentity& identity = *document->contents;
  EXPECT_EQ(to_hex(identity.mrsigner), "dc9e2a7c6f948f17474e34a7fc43ed030f7c1563f1babddf6340c82e0e54a8c5");
  EXPECT_EQ(to_hex(identity.attributes_mask), "fbffffffffffffff0000000000000000");
  EXPECT_EQ(to_hex(identity.attributes), "11000000000000000000000000000000");
  EXPECT_EQ(identity.isvprodid, 2);
  ASSERT_EQ(identity.levels.size(), 1U);
  EXPECT_EQ(identity.levels[0].isvsvn, 4);
  EXPECT_EQ(document->dates.issue_date, at("2025-06-19T10:32:27Z"));
}

TEST(QeIdentity, ReadsTheRealBodyOf2023) {
  EE_NEED_VECTORS();
  const std::string body = testing::read_vector_text("go-tdx-guest/sample_qeIdentity_response");
  const auto parts = split_signed_json(body, "enclaveIdentity");
  ASSERT_TRUE(parts);
  EXPECT_EQ(fault_of(std::string(parts->document)), "");
}

TEST(QeIdentity, RefusesWrongMembers) {
  struct Row {
    const char* from;
    const char* to;
    const char* fault;
  };
  constexpr Row kRows[] = {
      {"\"id\":\"TD_QE\"", "\"id\":\"QE\"", "id"},
      {"\"version\":2", "\"version\":1", "version"},
      {"\"version\":2", "\"version\":4", "version"},
      {"\"issueDate\":\"2026", "\"issueDate\":\"x026", "issueDate"},
      {"\"nextUpdate\"", "\"nextupdate\"", "nextUpdate"},
      {"\"miscselect\":\"00000000\"", "\"miscselect\":\"0000000\"", "miscselect"},
      {"\"miscselectMask\"", "\"miscselectmask\"", "miscselectMask"},
      {"\"attributes\":\"11", "\"attributes\":\"1", "attributes"},
      {"\"attributesMask\":\"FB", "\"attributesMask\":\"F", "attributesMask"},
      {"\"mrsigner\":\"", "\"mrsigner\":\"0", "mrsigner"},
      {"\"isvprodid\":2", "\"isvprodid\":65536", "isvprodid"},
      {"\"isvsvn\":4", "\"isvsvn\":-1", "isvsvn"},
      {"\"tcbStatus\":\"UpToDate\"", "\"tcbStatus\":\"ConfigurationNeeded\"", "tcbStatus"},
      {"\"tcbEvaluationDataNumber\"", "\"tcbevaluationdatanumber\"", "tcbEvaluationDataNumber"},
  };
  ASSERT_EQ(fault_of(good()), "");
  EXPECT_EQ(fault_of(replaced(good(), "\"version\":2", "\"version\":3")), "");
  for (const Row& row : kRows) EXPECT_EQ(fault_of(replaced(good(), row.from, row.to)), row.fault) << row.to;
  EXPECT_NE(fault_of(good() + "}"), "");
  EXPECT_NE(fault_of(replaced(good(), "\"version\":2", "\"version\":2,\"version\":2")), "");
}

/// The emulator's QE report and identity, to be changed one field at a time.
class QeReport : public ::testing::Test {
 protected:
  QeReport() : report_(testing::emulator_pki()->qe().report), identity_(*parse_qe_identity(good())->contents) {}
  std::string outcome() const {
    const auto verdict = check_qe_report(identity_, report_);
    return std::string(verdict ? to_string(verdict->status) : slug(verdict.error().code));
  }
  template <class Field>
  std::uint8_t& byte(std::size_t index = 0) {
    return report_[Field::offset + index];
  }
  ByteArray<384> report_;
  QeIdentity identity_;
};
namespace qe = layout::qe_report;

// covers: S01_DCAP_012
TEST_F(QeReport, IsCheckedFieldByField) {
  EXPECT_EQ(outcome(), "UpToDate");
  byte<qe::MrSigner>(31) ^= 1;
  EXPECT_EQ(outcome(), "qe_identity_mismatch");
  byte<qe::MrSigner>(31) ^= 1;
  byte<qe::IsvProdId>(1) = 1;  // 258: the high byte counts
  EXPECT_EQ(outcome(), "qe_identity_mismatch");
  byte<qe::IsvProdId>(1) = 0;
  byte<qe::MiscSelect>(3) = 0x80;
  EXPECT_EQ(outcome(), "qe_identity_mismatch");
  byte<qe::MiscSelect>(3) = 0;
  byte<qe::MrEnclave>(0) ^= 1;  // each release of the QE has another
  EXPECT_EQ(outcome(), "UpToDate");
}

// covers: S01_DCAP_012
TEST_F(QeReport, IsComparedUnderItsMasks) {
  byte<qe::Attributes>(0) |= 0x04;  // outside the mask FB
  byte<qe::Attributes>(8) = 0xe7;   // XFRM, outside the mask
  EXPECT_EQ(outcome(), "UpToDate");
  byte<qe::Attributes>(7) = 0x80;
  EXPECT_EQ(outcome(), "qe_identity_mismatch");
  byte<qe::Attributes>(7) = 0;
  identity_.miscselect_mask = {};
  byte<qe::MiscSelect>(0) = 0xff;
  EXPECT_EQ(outcome(), "UpToDate");
  identity_.miscselect = {1};  // no report can equal it under that mask
  EXPECT_EQ(outcome(), "qe_identity_mismatch");
}

// covers: S01_DCAP_012
TEST_F(QeReport, OfADebugEnclaveIsRefusedWhateverTheMaskSays) {
  byte<qe::Attributes>(0) |= 0x02;
  EXPECT_EQ(outcome(), "qe_identity_mismatch");
  identity_.attributes_mask = {};
  identity_.attributes = {};
  EXPECT_EQ(outcome(), "qe_identity_mismatch");
  byte<qe::Attributes>(0) &= 0xfd;
  EXPECT_EQ(outcome(), "UpToDate");
}

// covers: S01_DCAP_012
TEST_F(QeReport, FindsItsLevel) {
  identity_.levels = {{.isvsvn = 8, .verdict = {.status = TcbStatus::UpToDate}},
                      {.isvsvn = 6, .verdict = {.status = TcbStatus::OutOfDate}},
                      {.isvsvn = 3, .verdict = {.status = TcbStatus::Revoked}}};
  const auto with = [&](std::uint16_t isvsvn) {
    byte<qe::IsvSvn>(0) = static_cast<std::uint8_t>(isvsvn);
    byte<qe::IsvSvn>(1) = static_cast<std::uint8_t>(isvsvn >> 8);
    return outcome();
  };
  EXPECT_EQ(with(0x100), "UpToDate");
  EXPECT_EQ(with(8), "UpToDate");
  EXPECT_EQ(with(7), "OutOfDate");
  EXPECT_EQ(with(6), "OutOfDate");
  EXPECT_EQ(with(5), "Revoked");
  EXPECT_EQ(with(3), "Revoked");
  EXPECT_EQ(with(2), "tcb_not_supported");
}

}  // namespace
}  // namespace ee::attestation
