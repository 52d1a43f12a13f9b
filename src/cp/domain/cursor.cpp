#include "cp/domain/cursor.h"

#include <algorithm>
#include <boost/describe.hpp>
#include <charconv>

#include "common/crypto.h"
#include "common/json.h"

namespace ee::cp {

namespace {
constexpr std::size_t kMacSize = 8;
constexpr std::size_t kMaxCursor = 400;  // an id of 128 characters and the rest, in base64

struct CursorText {
  std::int64_t t = 0;
  std::string i;
};
BOOST_DESCRIBE_STRUCT(CursorText, (), (t, i))
constexpr auto json_rules(json::For<CursorText>) { return std::array{json::field("i").length(1, 128)}; }
}  // namespace

CursorCodec::CursorCodec(Bytes secret) : key_(hkdf_sha256(secret, "easyenclave.cursor.1")) {}

ByteArray<8> CursorCodec::mac(std::string_view scope, std::string_view text) const {
  ByteVector input;
  append(input, scope);
  input.push_back(0);
  append(input, text);
  const auto whole = hmac_sha256(key_, input);
  ByteArray<kMacSize> out;
  std::copy_n(whole.begin(), out.size(), out.begin());
  return out;
}

std::string CursorCodec::encode(std::string_view scope, const PagePosition& position) const {
  const std::string text = json::write(CursorText{.t = unix_ms(position.at), .i = position.id});
  ByteVector bytes;
  append(bytes, text);
  append(bytes, Bytes(mac(scope, text)));
  return to_base64url(bytes);
}

std::optional<std::string> CursorCodec::encode(std::string_view scope,
                                               const std::optional<PagePosition>& position) const {
  if (!position) return std::nullopt;
  return encode(scope, *position);
}

Result<PagePosition> CursorCodec::decode(std::string_view scope, std::string_view cursor) const {
  const auto bytes = cursor.size() <= kMaxCursor ? from_base64url(cursor) : std::nullopt;
  if (!bytes || bytes->size() <= kMacSize) return fail(ErrorCode::invalid_cursor);
  const Bytes all(*bytes);
  const std::string_view text = text_of(all.first(all.size() - kMacSize));
  if (!constant_time_equal(all.last(kMacSize), mac(scope, text))) return fail(ErrorCode::invalid_cursor);
  auto parsed = json::read<CursorText>(text);
  if (!parsed) return fail(ErrorCode::invalid_cursor);
  return PagePosition{.at = from_unix_ms(parsed->t), .id = std::move(parsed->i)};
}

Result<PageRequest> CursorCodec::page_request(std::string_view scope, std::string_view limit,
                                              std::string_view cursor) const {
  PageRequest request;
  if (!limit.empty()) {
    const auto parsed = std::from_chars(limit.data(), limit.data() + limit.size(), request.limit);
    if (parsed.ec != std::errc() || parsed.ptr != limit.data() + limit.size() || request.limit < 1 ||
        request.limit > PageRequest::kMaxLimit) {
      return fail(Error{.code = ErrorCode::invalid_request,
                        .detail = "limit must be 1 to 200",
                        .fields = {{.field = "limit", .code = "bad_format", .detail = "1 to 200"}}});
    }
  }
  if (!cursor.empty()) {
    auto position = decode(scope, cursor);
    if (!position) return std::unexpected(std::move(position.error()));
    request.after = std::move(*position);
  }
  return request;
}

}  // namespace ee::cp
