#include "cp/domain/ledger.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/describe/enum_to_string.hpp>
#include <limits>
#include <tuple>

#include "common/crypto.h"

namespace ee::cp {

namespace {
constexpr std::size_t kKeyMax = 300;
constexpr std::size_t kReferenceMax = 200;
constexpr std::size_t kLinesMax = 200'000;  // a batch of charging has at most four lines for each of 10,000 segments
constexpr std::int64_t kMicrosMax = std::numeric_limits<std::int64_t>::max();

std::unexpected<Error> malformed(std::string_view what) {
  return fail(ErrorCode::internal_error, fmt::format("a ledger group is malformed: {}", what));
}
}  // namespace

std::string_view to_string(TransactionType type) { return boost::describe::enum_to_string(type, ""); }
std::string_view to_string(LedgerKind kind) { return boost::describe::enum_to_string(kind, ""); }

Result<void> check_posting(const LedgerPosting& posting) {
  if (posting.lines.size() < 2 || posting.lines.size() > kLinesMax) return malformed("number of lines");
  if (posting.idempotency_key.empty() || posting.idempotency_key.size() > kKeyMax) return malformed("key");
  if (posting.actor.empty()) return malformed("no actor");
  if (posting.description.size() > kDescriptionMax) return malformed("long description");
  if (posting.reference_type.size() > kReferenceMax || posting.reference_id.size() > kReferenceMax)
    return malformed("long reference");
  if (posting.group_id && !is_uuid(*posting.group_id)) return malformed("group id");
  // Each half on its own, so that no sum on the way, in whatever order, leaves 64 bits.
  std::int64_t comes = 0;
  std::int64_t goes = 0;
  for (const LedgerLine& line : posting.lines) {
    if (line.account.empty()) return malformed("a line without an account");
    if (line.amount_micros == 0) return malformed("a line of zero");
    if (line.amount_micros > kLineMicrosMax || line.amount_micros < -kLineMicrosMax)
      return fail(ErrorCode::amount_out_of_range, "a ledger line above the largest amount");
    std::int64_t& half = line.amount_micros > 0 ? comes : goes;
    const std::int64_t size = line.amount_micros > 0 ? line.amount_micros : -line.amount_micros;
    if (size > kMicrosMax - half) return fail(ErrorCode::amount_out_of_range, "a ledger group above 64 bits");
    half += size;
  }
  if (comes != goes) return malformed("it does not balance");
  return {};
}

std::vector<LedgerLine> sorted_lines(std::vector<LedgerLine> lines) {
  std::ranges::sort(lines, {}, [](const LedgerLine& line) {
    return std::tuple<std::string_view, TransactionType, std::int64_t>(line.account.str(), line.type,
                                                                       line.amount_micros);
  });
  return lines;
}

std::string content_sha256(const std::vector<LedgerLine>& lines) {
  std::string text;
  for (const LedgerLine& line : sorted_lines(lines))
    text += fmt::format("{}|{}|{}\n", line.account.str(), line.amount_micros, to_string(line.type));
  return to_hex(sha256(bytes_of(text)));
}

std::map<AccountId, std::int64_t> balance_changes(const std::vector<LedgerLine>& lines) {
  std::map<AccountId, std::int64_t> changes;
  for (const LedgerLine& line : lines) changes[line.account] += line.amount_micros;
  return changes;
}

std::string fitting_description(std::string text) {
  if (text.size() <= kDescriptionMax) return text;
  std::size_t end = kDescriptionMax;
  // Never in the middle of a UTF-8 character.
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;
  text.resize(end);
  return text;
}

}  // namespace ee::cp
