#include "attestation/verify/tcb_info.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "attestation/tsm/emulator_collateral.h"
#include "attestation/verify/signed_json.h"
#include "tests/support/recorded_collateral.h"

namespace ee::attestation {
namespace {

using testing::at;

/// A good document, small and readable: the emulator's.
std::string good() { return emulator::make_tcb_info({.issued_at = at("2026-01-01T00:00:00Z")}); }

std::string replaced(std::string text, std::string_view from, std::string_view to) {
  const std::size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return at == std::string::npos ? text : text.replace(at, from.size(), to);
}

/// Which member is complained about; empty when the document is good.
std::string fault_of(const std::string& json) {
  const auto document = parse_tcb_info(json);
  const Error* error = !document ? &document.error() : !document->contents ? &document->contents.error() : nullptr;
  if (error == nullptr) return {};
  EXPECT_EQ(error->code, ErrorCode::tcb_info_mismatch);
  return error->detail.empty() ? "no detail" : error->detail;
}

TEST(TcbInfo, ReadsARealDocument) {
  EE_NEED_VECTORS();
  const auto recorded = testing::read_recorded_collateral("dcap-qvl/tdx_quote_collateral.json");
  const auto document = parse_tcb_info(recorded.tcb_info);
  ASSERT_TRUE(document && document->contents);
  const TcbInfo& info = *document->contents;
  EXPECT_EQ(to_hex(info.fmspc), "b0c06f000000");
  EXPECT_EQ(to_hex(info.pceid), "0000");
  EXPECT_EQ(info.dates.issue_date, at("2025-06-19T10:16:03Z"));
  EXPECT_EQ(info.dates.next_update, at("2025-07-19T10:16:03Z"));
  EXPECT_EQ(info.dates.tcb_evaluation_data_number, 17);
  ASSERT_EQ(info.module_identities.size(), 2U);
  EXPECT_EQ(info.module_identities[0].version, 3);
  EXPECT_EQ(info.module_identities[1].version, 1);
  ASSERT_EQ(info.module_identities[1].levels.size(), 2U);
  EXPECT_EQ(info.module_identities[1].levels[0].isvsvn, 4);
  EXPECT_EQ(info.module_identities[1].levels[1].verdict.status, TcbStatus::OutOfDate);
  EXPECT_EQ(to_hex(info.module.attributes_mask), "ffffffffffffffff");
  ASSERT_EQ(info.levels.size(), 2U);
  EXPECT_EQ(to_hex(info.levels[0].sgx_components), "02020202030100050000000000000000");
  EXPECT_EQ(to_hex(info.levels[0].tdx_components), "05000200000000000000000000000000");
  EXPECT_EQ(info.levels[0].pcesvn, 11);
  EXPECT_EQ(info.levels[0].verdict.status, TcbStatus::UpToDate);
  EXPECT_EQ(info.levels[1].pcesvn, 5);
  EXPECT_EQ(info.levels[1].verdict.advisories.size(), 14U);
}

TEST(TcbInfo, ReadsARealDocumentWithoutModuleIdentities) {
  EE_NEED_VECTORS();
  const std::string body = testing::read_vector_text("go-tdx-guest/sample_tcbInfo_response");
  const auto parts = split_signed_json(body, "tcbInfo");
  ASSERT_TRUE(parts);
  const auto document = parse_tcb_info(parts->document);
  ASSERT_TRUE(document && document->contents);
  EXPECT_TRUE(document->contents->module_identities.empty());
  EXPECT_EQ(to_hex(document->contents->fmspc), "50806f000000");
}

TEST(TcbInfo, RefusesEveryMalformedRecordedDocument) {
  EE_NEED_VECTORS();
  int seen = 0;
  for (const auto& file : std::filesystem::directory_iterator(*testing::vectors_dir() / "openenclave")) {
    const std::string name = "openenclave/" + file.path().filename().string();
    const std::string body = testing::read_vector_text(name);
    const auto parts = split_signed_json(body, "tcbInfo");
    EXPECT_TRUE(!parts || !fault_of(std::string(parts->document)).empty()) << name << " is taken";
    ++seen;
  }
  EXPECT_GE(seen, 18);
}

// Those documents are of version 1, which alone is a reason. Here the same faults are in a document of version 3.
TEST(TcbInfo, RefusesTheSameFaultsInThisVersion) {
  struct Row {
    const char* from;
    const char* to;
    const char* fault;
  };
  constexpr Row kRows[] = {
      {"\"version\":3", "\"version\":3.25", "version"},
      {"\"version\":3", "\"version\":3.0", "version"},
      {"\"version\":3", "\"version\":-3", "version"},
      {"\"version\":3", "\"version\":2", "version"},
      {"\"version\":3", "\"version\":4", "version"},
      {"\"version\":3", "\"version\":\"3\"", "version"},
      {"\"version\"", "\"VERSION\"", "version"},
      {"\"issueDate\":\"2026-01", "\"issueDate\":\"2026-16", "issueDate"},
      {"\"issueDate\":\"2026-01", "\"issueDate\":\"2026-\\n01", "issueDate"},
      {"\"nextUpdate\":\"2026-01", "\"nextUpdate\":\"2026-16", "nextUpdate"},
      {"\"nextUpdate\"", "\"nextupdate\"", "nextUpdate"},
      {"\"svn\":5", "\"svn\":256", "svn"},
      {"\"svn\":5", "\"svn\":-1", "svn"},
      {"\"svn\":5", "\"svn\":\"5\"", "svn"},
      {"\"svn\":5", "\"SVN\":5", "svn"},
      {"\"pcesvn\":11", "\"pcesvn\":65536", "pcesvn"},
      {"\"pcesvn\":11", "\"pcesvn\":-1", "pcesvn"},
      {"\"pcesvn\"", "\"PCESVN\"", "pcesvn"},
      {"\"tcb\":{\"sgx", "\"TCB\":{\"sgx", "tcb"},
      {"\"tcb\":{\"sgx", "\"tcb\":3,\"x\":{\"sgx", "tcb"},
      {"\"fmspc\":\"EE0000000001\"", "\"fmspc\":90610000", "fmspc"},
      {"\"fmspc\":\"EE0000000001\"", "\"fmspc\":\"EE00000001\"", "fmspc"},
      {"\"fmspc\":\"EE0000000001\"", "\"fmspc\":\"EE000000000g\"", "fmspc"},
  };
  ASSERT_EQ(fault_of(good()), "");
  for (const Row& row : kRows) EXPECT_EQ(fault_of(replaced(good(), row.from, row.to)), row.fault) << row.to;
  // What is no JSON at all, or JSON that programs read differently.
  for (const std::string& wrong :
       {replaced(good(), "\"version\":3", "\"version\":10000000000000000000000000000000000"),
        replaced(good(), "\"version\":3", "\"version\":1e400"),
        replaced(good(), "\"version\":3", "\"version\":3,\"version\":3"), replaced(good(), "{", "[{"), good() + " x",
        good().substr(0, good().size() - 1), std::string(), std::string("null"), std::string("[]")})
    EXPECT_NE(fault_of(wrong), "") << wrong.substr(0, 60);
}

TEST(TcbInfo, RefusesOtherKindsAndUnknownStatuses) {
  struct Row {
    const char* from;
    const char* to;
    const char* fault;
  };
  constexpr Row kRows[] = {
      {"\"id\":\"TDX\"", "\"id\":\"SGX\"", "id"},
      {"\"id\":\"TDX\"", "\"id\":\"tdx\"", "id"},
      {"\"tcbType\":0", "\"tcbType\":1", "tcbType"},
      {"\"tcbType\"", "\"tcbtype\"", "tcbType"},
      {"\"pceId\":\"0000\"", "\"pceId\":\"000\"", "pceId"},
      {"\"tcbEvaluationDataNumber\":1", "\"tcbEvaluationDataNumber\":-1", "tcbEvaluationDataNumber"},
      {"\"tcbEvaluationDataNumber\":1", "\"tcbEvaluationDataNumber\":\"1\"", "tcbEvaluationDataNumber"},
      {"\"tdxModule\"", "\"tdxmodule\"", "tdxModule"},
      {"\"attributesMask\":\"FFFFFFFFFFFFFFFF\"", "\"attributesMask\":\"FF\"", "attributesMask"},
      {"\"id\":\"TDX_01\"", "\"id\":\"TDX_1\"", "tdxModuleIdentities.id"},
      {"\"id\":\"TDX_01\"", "\"id\":\"SGX_01\"", "tdxModuleIdentities.id"},
      {"\"isvsvn\":5", "\"isvsvn\":65536", "isvsvn"},
      {"\"tcbStatus\":\"UpToDate\"", "\"tcbStatus\":\"SWHardeningNeeded\"", "tcbStatus"},  // of a module level
      {"\"tcbStatus\":\"UpToDate\"", "\"tcbStatus\":\"uptodate\"", "tcbStatus"},
      {"\"tcbStatus\":\"UpToDate\"", "\"tcbStatus\":\"\"", "tcbStatus"},
      {"\"tcbDate\":\"2025-01-01T00:00:00Z\"", "\"tcbDate\":\"yesterday\"", "tcbDate"},
      {"\"advisoryIDs\":[\"INTEL-SA-99999\"]", "\"advisoryIDs\":\"INTEL-SA-99999\"", "advisoryIDs"},
      {"\"advisoryIDs\":[\"INTEL-SA-99999\"]", "\"advisoryIDs\":[\"<script>\"]", "advisoryIDs"},
      {"\"advisoryIDs\":[\"INTEL-SA-99999\"]", "\"advisoryIDs\":[7]", "advisoryIDs"},
  };
  for (const Row& row : kRows) EXPECT_EQ(fault_of(replaced(good(), row.from, row.to)), row.fault) << row.to;

  // A platform level knows seven statuses; those of the relaunch rule and Unknown are results, never inputs.
  const auto with_platform_status = [](TcbStatus status) {
    EmulatorPkiOptions options{.issued_at = at("2026-01-01T00:00:00Z")};
    options.levels[0].status = status;
    return fault_of(emulator::make_tcb_info(options));
  };
  for (const TcbStatus status : {TcbStatus::UpToDate, TcbStatus::SWHardeningNeeded, TcbStatus::ConfigurationNeeded,
                                 TcbStatus::ConfigurationAndSWHardeningNeeded, TcbStatus::OutOfDate,
                                 TcbStatus::OutOfDateConfigurationNeeded, TcbStatus::Revoked})
    EXPECT_EQ(with_platform_status(status), "") << to_string(status);
  for (const TcbStatus status :
       {TcbStatus::TDRelaunchAdvised, TcbStatus::TDRelaunchAdvisedConfigurationNeeded, TcbStatus::Unknown})
    EXPECT_EQ(with_platform_status(status), "tcbStatus") << to_string(status);
}

// covers: S01_DCAP_008
TEST(TcbInfo, WantsExactlySixteenComponentsOfEachKind) {
  const std::string sixteen = R"({"svn":5},{"svn":5},{"svn":5},{"svn":5},{"svn":5},{"svn":5},{"svn":5},{"svn":5},)"
                              R"({"svn":5},{"svn":5},{"svn":5},{"svn":5},{"svn":5},{"svn":5},{"svn":5},{"svn":5}])";
  const std::string eight = R"({"svn":5},{"svn":5},{"svn":5},{"svn":5},{"svn":5},{"svn":5},{"svn":5},{"svn":5}])";
  EXPECT_EQ(fault_of(replaced(good(), sixteen, eight)), "sgxtcbcomponents");
  EXPECT_EQ(fault_of(replaced(good(), sixteen, R"({"svn":5},{"svn":5},{"svn":5},{"svn":5},)" + sixteen)),
            "sgxtcbcomponents");
  EXPECT_EQ(fault_of(replaced(good(), sixteen, "]")), "sgxtcbcomponents");
  EXPECT_EQ(fault_of(replaced(good(), R"("tdxtcbcomponents":[)", R"("tdxtcbcomponents":[{"svn":0},)")),
            "tdxtcbcomponents");
  EXPECT_EQ(fault_of(replaced(good(), R"("tdxtcbcomponents":[{"svn":5},)", R"("tdxtcbcomponents":[)")),
            "tdxtcbcomponents");
}

TEST(TcbInfo, RefusesDoubledModuleIdentitiesAndEmptyLevels) {
  const std::string identity =
      good().substr(good().find("{\"id\":\"TDX_01\""),
                    good().find("],\"tcbLevels\":[{\"tcb\":{\"sgx") - good().find("{\"id\":\"TDX_01\""));
  EXPECT_EQ(fault_of(replaced(good(), identity, identity + "," + identity)), "tdxModuleIdentities.id");
  EXPECT_EQ(fault_of(replaced(good(), identity, "")), "");
  EXPECT_EQ(fault_of(replaced(good(), "\"id\":\"TDX_01\"", "\"id\":\"tdx_01\"")), "");

  EmulatorPkiOptions options{.issued_at = at("2026-01-01T00:00:00Z")};
  options.levels.clear();
  EXPECT_EQ(fault_of(emulator::make_tcb_info(options)), "tcbLevels");
  options = {.issued_at = at("2026-01-01T00:00:00Z")};
  options.module_levels.clear();
  EXPECT_EQ(fault_of(emulator::make_tcb_info(options)), "tcbLevels");
  options = {.issued_at = at("2026-01-01T00:00:00Z")};
  options.levels.resize(257, options.levels[0]);
  EXPECT_EQ(fault_of(emulator::make_tcb_info(options)), "tcbLevels");
}

TEST(TcbInfo, TellsTheDatesOfADocumentThatSaysSomethingWrong) {
  const auto document = parse_tcb_info(replaced(good(), "\"id\":\"TDX\"", "\"id\":\"SGX\""));
  ASSERT_TRUE(document);
  EXPECT_FALSE(document->contents);
  EXPECT_EQ(document->dates.issue_date, at("2026-01-01T00:00:00Z"));
}

TEST(TcbInfo, IgnoresMembersThatIntelMayAdd) {
  EXPECT_EQ(fault_of(replaced(good(), "\"tcbType\":0", "\"tcbType\":0,\"somethingNew\":{\"a\":[1]}")), "");
}

// covers: S01_DCAP_008
TEST(TcbInfo, SortsLevelsWithTheHighestFirst) {
  EmulatorPkiOptions options{.issued_at = at("2026-01-01T00:00:00Z")};
  options.levels = {
      {.sgx_components = {1}, .pcesvn = 9, .tdx_components = {9}},
      {.sgx_components = {2}, .pcesvn = 1, .tdx_components = {1}},
      {.sgx_components = {1}, .pcesvn = 10, .tdx_components = {1}},
      {.sgx_components = {1}, .pcesvn = 10, .tdx_components = {2}},
      {.sgx_components = {1, 1}, .pcesvn = 1, .tdx_components = {1}},
  };
  options.module_levels = {{.isvsvn = 2}, {.isvsvn = 7}, {.isvsvn = 5}, {.isvsvn = 7, .status = TcbStatus::OutOfDate}};
  const auto document = parse_tcb_info(emulator::make_tcb_info(options));
  ASSERT_TRUE(document && document->contents);
  std::vector<std::string> order;
  for (const TcbLevel& level : document->contents->levels)
    order.push_back(std::to_string(level.sgx_components[0]) + "." + std::to_string(level.sgx_components[1]) + "/" +
                    std::to_string(level.pcesvn) + "/" + std::to_string(level.tdx_components[0]));
  EXPECT_EQ(order, (std::vector<std::string>{"2.0/1/1", "1.1/1/1", "1.0/10/2", "1.0/10/1", "1.0/9/9"}));
  std::vector<int> isvsvns;
  for (const IsvLevel& level : document->contents->module_identities[0].levels) isvsvns.push_back(level.isvsvn);
  EXPECT_EQ(isvsvns, (std::vector<int>{7, 7, 5, 2}));
  EXPECT_EQ(document->contents->module_identities[0].levels[0].verdict.status, TcbStatus::OutOfDate)
      << "of equals the worst";
}

}  // namespace
}  // namespace ee::attestation
