#pragma once
#include <boost/json/value.hpp>
#include <string_view>

#include "common/http_client.h"
#include "cp/integration/cloudflare/cloudflare_types.h"

namespace ee::cp::cloudflare {

/// What a call is about: the same status means different things.
enum class Subject : std::uint8_t { tunnel, record, token };

constexpr std::size_t kMaxAnswerBytes = 4UL * 1024 * 1024;

/// A successful answer: HTTP 2xx and `success` true.
struct Envelope {
  boost::json::value result = {};
  std::optional<std::int64_t> total_pages = {};
};

/// Reads `{"success","errors","messages","result","result_info"}`. Decides by status and `errors[].code`, never by
/// text; what is not such an envelope is transient.
CfResult<Envelope> read_envelope(const HttpClientResponse& response, Subject subject);
CloudflareError error_of(HttpFailure failure);

/// Members of an answer. Ids are checked, since they go into paths: a tunnel's is a UUID, a record's 32 hex.
CfResult<Tunnel> tunnel_of(const boost::json::value& value);
CfResult<CreatedTunnel> created_tunnel_of(const boost::json::value& value);
CfResult<DnsRecord> record_of(const boost::json::value& value);
bool is_record_id(std::string_view text);

}  // namespace ee::cp::cloudflare
