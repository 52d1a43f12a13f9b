#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "net/http.h"
#include "tests/standins/cloudflare/cloudflare_state.h"

namespace ee::standins {

struct CloudflareIds {
  std::string account_id;
  std::string zone_id;
};

/// The API of the agent contract, section 7.3, on a state. `path` is what follows `/client/v4`. Authentication was
/// checked before.
net::Response cloudflare_api(CloudflareState& state, const CloudflareIds& ids, const net::Request& request,
                             std::string_view path, UtcTime now);

/// `{"success":false,"errors":[{"code","message"}],...}`.
net::Response cloudflare_refusal(int status, int code, std::string_view message, std::optional<int> retry_after);
/// 200 with that body.
net::Response cloudflare_raw(std::string body);

}  // namespace ee::standins
