#include "attestation/verify/tcb_levels_json.h"

#include <algorithm>
#include <array>
#include <boost/json/value.hpp>
#include <limits>
#include <tuple>

namespace ee::attestation {
namespace {

constexpr std::size_t kMaxLevels = 256;
constexpr std::size_t kMaxAdvisories = 256;
constexpr std::size_t kMaxAdvisoryLength = 64;
constexpr std::array kIsvStatuses = {TcbStatus::UpToDate, TcbStatus::OutOfDate, TcbStatus::Revoked};

/// `INTEL-SA-00837` and the like. They go into logs and answers, so no other characters.
bool is_advisory(std::string_view text) {
  return !text.empty() && text.size() <= kMaxAdvisoryLength && std::ranges::all_of(text, [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  });
}

}  // namespace

DocumentDates read_dates(const Fields& document) {
  return {.issue_date = document.time("issueDate"),
          .next_update = document.time("nextUpdate"),
          .tcb_evaluation_data_number =
              document.integer("tcbEvaluationDataNumber", 0, std::numeric_limits<std::int32_t>::max())};
}

TcbVerdict read_verdict(const Fields& level, std::span<const TcbStatus> allowed) {
  TcbVerdict verdict;
  const auto status = tcb_status_of(level.text("tcbStatus"));
  if (!status || std::ranges::find(allowed, *status) == allowed.end()) level.note("tcbStatus");
  verdict.status = status.value_or(TcbStatus::Unknown);
  verdict.date = level.time("tcbDate");
  if (!level.has("advisoryIDs")) return verdict;
  for (const boost::json::value& advisory : level.array("advisoryIDs", 0, kMaxAdvisories)) {
    const boost::json::string* text = advisory.if_string();
    if (text == nullptr || !is_advisory({text->data(), text->size()})) {
      level.note("advisoryIDs");
      break;
    }
    verdict.advisories.emplace_back(text->data(), text->size());
  }
  return verdict;
}

std::vector<IsvLevel> read_isv_levels(const Fields& identity) {
  std::vector<IsvLevel> levels;
  for (const boost::json::value& value : identity.array("tcbLevels", 1, kMaxLevels)) {
    const Fields level(value, "tcbLevels", identity.problem());
    const std::int64_t isvsvn = level.object("tcb").integer("isvsvn", 0, std::numeric_limits<std::uint16_t>::max());
    levels.push_back({.isvsvn = static_cast<std::uint16_t>(isvsvn), .verdict = read_verdict(level, kIsvStatuses)});
  }
  // Of levels with the same number the worst comes first.
  const auto order = [](const IsvLevel& level) { return std::tie(level.isvsvn, level.verdict.status); };
  std::ranges::sort(levels, std::ranges::greater{}, order);
  return levels;
}

}  // namespace ee::attestation
