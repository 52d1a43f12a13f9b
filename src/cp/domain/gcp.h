#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "common/jose.h"
#include "common/secret.h"

namespace ee::cp {

/// `projects/P/global/images/NAME`, or `.../images/family/F` for the newest image of a family.
struct GcpImage {
  std::string project = {};
  std::string name = {};
  bool is_family = false;

  static std::optional<GcpImage> parse(std::string_view text);
  /// Of a project of the cloud's vendors: none of them holds what this project measures.
  bool is_stock() const;
};

/// What is used of a service account's key file (05 section 9.1); its URLs are not, so that a key cannot make this
/// program ask other hosts.
struct GcpServiceAccount {
  std::string client_email = {};
  std::string key_id = {};
  jose::PrivateKey key;  ///< RSA of at least 2048 bits

  /// JSON, or base64 of JSON. Nothing on anything else.
  static std::optional<GcpServiceAccount> parse(const Secret& text);
};

}  // namespace ee::cp
