#include "attestation/verify/tcb_info.h"

#include <algorithm>
#include <array>
#include <boost/json/value.hpp>
#include <limits>
#include <tuple>

#include "attestation/verify/tcb_levels_json.h"
#include "common/json.h"

namespace ee::attestation {
namespace {

constexpr std::size_t kMaxLevels = 256;
constexpr std::size_t kMaxModuleIdentities = 64;
constexpr std::size_t kComponents = 16;
constexpr json::Limits kLimits{.max_bytes = 1024UL * 1024, .max_depth = 16, .max_nodes = 100000};
constexpr std::array kPlatformStatuses = {
    TcbStatus::UpToDate,
    TcbStatus::SWHardeningNeeded,
    TcbStatus::ConfigurationNeeded,
    TcbStatus::ConfigurationAndSWHardeningNeeded,
    TcbStatus::OutOfDate,
    TcbStatus::OutOfDateConfigurationNeeded,
    TcbStatus::Revoked,
};

ByteArray<16> read_components(const Fields& tcb, std::string_view name) {
  ByteArray<16> svns{};
  std::size_t i = 0;
  for (const boost::json::value& value : tcb.array(name, kComponents, kComponents)) {
    const Fields component(value, name, tcb.problem());
    svns[i++] = static_cast<std::uint8_t>(component.integer("svn", 0, std::numeric_limits<std::uint8_t>::max()));
  }
  return svns;
}

std::vector<TcbLevel> read_levels(const Fields& document) {
  std::vector<TcbLevel> levels;
  for (const boost::json::value& value : document.array("tcbLevels", 1, kMaxLevels)) {
    const Fields level(value, "tcbLevels", document.problem());
    const Fields tcb = level.object("tcb");
    levels.push_back(
        {.sgx_components = read_components(tcb, "sgxtcbcomponents"),
         .pcesvn = static_cast<std::uint16_t>(tcb.integer("pcesvn", 0, std::numeric_limits<std::uint16_t>::max())),
         .tdx_components = read_components(tcb, "tdxtcbcomponents"),
         .verdict = read_verdict(level, kPlatformStatuses)});
  }
  // Of levels with the same needs the worst comes first.
  const auto order = [](const TcbLevel& level) {
    return std::tie(level.sgx_components, level.pcesvn, level.tdx_components, level.verdict.status);
  };
  std::ranges::sort(levels, std::ranges::greater{}, order);
  return levels;
}

TdxModule read_module(const Fields& object) {
  return {.mrsigner = object.hex<48>("mrsigner"),
          .attributes = object.hex<8>("attributes"),
          .attributes_mask = object.hex<8>("attributesMask")};
}

/// The number in `TDX_01`; notes a problem for another form.
std::uint8_t read_module_version(const Fields& object) {
  constexpr std::string_view kPrefix = "tdx_";
  std::string id(object.text("id"));
  std::ranges::transform(id, id.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  const auto version =
      id.starts_with(kPrefix) ? from_hex_exact<1>(std::string_view(id).substr(kPrefix.size())) : std::nullopt;
  if (!version) object.note("tdxModuleIdentities.id");
  return version ? version->front() : std::uint8_t{0};
}

std::vector<TdxModuleIdentity> read_module_identities(const Fields& document) {
  std::vector<TdxModuleIdentity> identities;
  if (!document.has("tdxModuleIdentities")) return identities;  // documents for TDX 1.0 platforms have none
  for (const boost::json::value& value : document.array("tdxModuleIdentities", 0, kMaxModuleIdentities)) {
    const Fields object(value, "tdxModuleIdentities", document.problem());
    TdxModuleIdentity identity{
        .version = read_module_version(object), .module = read_module(object), .levels = read_isv_levels(object)};
    if (std::ranges::find(identities, identity.version, &TdxModuleIdentity::version) != identities.end())
      document.note("tdxModuleIdentities.id");
    identities.push_back(std::move(identity));
  }
  return identities;
}

TcbInfo read_contents(const Fields& document, const DocumentDates& dates) {
  if (document.text("id") != "TDX") document.note("id");
  document.integer("version", 3, 3);
  document.integer("tcbType", 0, 0);
  return {.dates = dates,
          .fmspc = document.hex<6>("fmspc"),
          .pceid = document.hex<2>("pceId"),
          .module = read_module(document.object("tdxModule")),
          .module_identities = read_module_identities(document),
          .levels = read_levels(document)};
}

}  // namespace

Result<TcbInfoDocument> parse_tcb_info(std::string_view json) {
  const auto value = json::parse(json, kLimits);
  if (!value) return fail(ErrorCode::tcb_info_mismatch, value.error().detail);
  FieldProblem problem;
  const Fields document(*value, "tcbInfo", problem);
  const DocumentDates dates = read_dates(document);
  if (problem.any()) return fail(ErrorCode::tcb_info_mismatch, problem.field());
  TcbInfo contents = read_contents(document, dates);
  if (problem.any()) return TcbInfoDocument{dates, fail(ErrorCode::tcb_info_mismatch, problem.field())};
  return TcbInfoDocument{dates, std::move(contents)};
}

}  // namespace ee::attestation
