#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/bytes.h"
#include "common/error.h"
#include "common/time.h"

namespace ee::cp {

/// A place in a list that is sorted by time and id: the last item that was given.
struct PagePosition {
  UtcTime at = {};
  std::string id = {};
  bool operator==(const PagePosition&) const = default;
};

/// What a caller asks of a list.
struct PageRequest {
  static constexpr std::int64_t kDefaultLimit = 50;
  static constexpr std::int64_t kMaxLimit = 200;
  std::int64_t limit = kDefaultLimit;      ///< 1..kMaxLimit
  std::optional<PagePosition> after = {};  ///< nothing: from the start
};

/// One page; `next` is where the following one begins, nothing after the last.
template <class T>
struct Page {
  std::vector<T> items = {};
  std::optional<PagePosition> next = {};
};

/// Makes a page of rows that were read with a limit of one more than `limit`. `position_of(row)` is its place.
template <class T, class PositionOf>
Page<T> page_of(std::vector<T> rows, std::int64_t limit, const PositionOf& position_of) {
  Page<T> page{.items = std::move(rows)};
  if (static_cast<std::int64_t>(page.items.size()) > limit) {
    page.items.resize(static_cast<std::size_t>(limit));
    page.next = position_of(page.items.back());
  }
  return page;
}

/// Cursors as callers see them: base64url of `{"t":ms,"i":"id"}` and an 8-byte HMAC, so that nobody can make one up.
/// Each list has a `scope` of its own (a literal such as "audit"): a cursor of one list is refused by another.
/// Immutable; thread-safe.
class CursorCodec {
 public:
  /// `secret`: any length; the same on every replica.
  explicit CursorCodec(Bytes secret);

  std::string encode(std::string_view scope, const PagePosition& position) const;
  /// Null in JSON when there is no next page.
  std::optional<std::string> encode(std::string_view scope, const std::optional<PagePosition>& position) const;
  /// Errors: `invalid_cursor`.
  Result<PagePosition> decode(std::string_view scope, std::string_view cursor) const;
  /// The two query parameters of every list. An absent one is an empty text. Errors: `invalid_request` (a limit outside
  /// 1..200), `invalid_cursor`.
  Result<PageRequest> page_request(std::string_view scope, std::string_view limit, std::string_view cursor) const;

 private:
  ByteArray<8> mac(std::string_view scope, std::string_view text) const;
  ByteArray<32> key_;
};

}  // namespace ee::cp
