#include "cp/http/attestation_routes.h"

#include "cp/http/answers.h"
#include "cp/http/query.h"

namespace ee::cp {
namespace {

net::Response get_attestation(AttestationRoutes& context, const Call& call) {
  const net::Request& request = call.request;
  const auto query = Query::parse(request.query, {"nonce"});
  if (!query) return error_answer(query.error(), request.request_id);
  const auto text = query->text("nonce");
  if (!text) return answer_of(context.attestation.cached(context.refresh()), 200, request.request_id);
  const auto nonce = is_lower_hex(*text, 64) ? from_hex_exact<32>(*text) : std::nullopt;
  if (!nonce)
    return error_answer(bad_query("nonce", "bad_format", "64 lower-case hexadecimal digits"), request.request_id);
  return answer_of(context.attestation.live(*nonce, context.signing_keys_version()), 200, request.request_id);
}

}  // namespace

void add_attestation_routes(std::vector<Route>& table, AttestationRoutes& context) {
  table.push_back(
      {.method = "GET",
       .pattern = "/api/v1/attestation",
       .access = Access::open,
       .rate = RateClass::own_quote,
       .handle = [&context](const Call& call) { return get_attestation(context, call); },
       .doc = {.summary = "The control plane's own quote: cached, or over the caller's nonce.",
               .tag = "attestation",
               .query = {{"nonce", R"({"type":"string","pattern":"^[0-9a-f]{64}$"})",
                          "A live quote is made over it; without it the cached quote is answered."}},
               .answers = {{200, "A quote and what it binds.", answer_schema<agent_api::ControlPlaneAttestation>()}}},
       .outside = true,
       .shed = net::Shed::first});
}

}  // namespace ee::cp
