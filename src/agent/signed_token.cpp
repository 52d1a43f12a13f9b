#include "agent/signed_token.h"

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

namespace ee::agent {
namespace {

constexpr std::size_t kMaxTokenBytes = 8192;

std::unexpected<Error> invalid(std::string_view why) { return fail(ErrorCode::invalid_token, std::string(why)); }

}  // namespace

Result<jose::VerifiedToken> verified_token(std::string_view authorization, std::string_view scheme,
                                           std::string_view type, const Session& session) {
  if (!authorization.starts_with(scheme)) return invalid("no token of this kind");
  const auto token =
      jose::UnverifiedToken::parse(authorization.substr(scheme.size()), {.algorithms = {jose::Algorithm::eddsa},
                                                                         .types = {std::string(type)},
                                                                         .max_bytes = kMaxTokenBytes,
                                                                         .max_members = 32});
  if (!token) return invalid(to_string(token.error()));
  if (jose::text_member(token->header(), "typ") != type) return invalid("typ is missing");
  const ByteArray<32>* key = session.signers.find(token->kid());
  if (key == nullptr) return invalid("unknown key");
  auto verified = token->verify(jose::PublicKey::from_ed25519(*key));
  if (!verified) return invalid(to_string(verified.error()));
  return std::move(*verified);
}

}  // namespace ee::agent
