#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "common/bytes.h"

namespace ee::attestation {

/// A body of the PCS: a document and Intel's signature over it.
struct SignedJson {
  std::string_view document;  ///< the exact bytes of the JSON value, braces included; looks into the body
  ByteArray<64> signature;    ///< r || s
};

/// Cuts `{"<member>": {...}, "signature": "<128 hex digits>"}`, in either order and with any white space, into its two
/// values. The document is not parsed, only delimited, so that nothing but the signature check sees it before it is
/// believed. Nothing when there is any other member, an escape in a key or signature, or something left over.
std::optional<SignedJson> split_signed_json(std::string_view body, std::string_view member);

/// The body that `split_signed_json` cuts, for a document and signature that came apart.
std::string join_signed_json(std::string_view member, std::string_view document, std::string_view signature_hex);

}  // namespace ee::attestation
