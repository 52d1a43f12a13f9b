#pragma once
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "common/bytes.h"

namespace ee::attestation {

/// What a quote was made for; a quote made for one purpose serves no other.
enum class Purpose : std::uint8_t { register_ = 1, refresh = 2, control_plane = 3, public_ = 4 };

/// `register`, `refresh`, `control_plane`, `public`.
std::string_view to_string(Purpose purpose);

/// The identity of a quoting agent: its two public keys, raw, and its name (a DNS label).
/// `SHA-256("ee-agent-binding-v1\0" || signing_key || sealing_key || vm_name)`.
ByteArray<32> agent_binding(std::span<const std::uint8_t, 32> signing_key,
                            std::span<const std::uint8_t, 32> sealing_key, std::string_view vm_name);

/// The identity of a control plane: its published Ed25519 public keys, raw, in the order of their kids.
/// `SHA-256("ee-cp-binding-v1\0" || keys)`.
ByteArray<32> control_plane_binding(const std::vector<ByteArray<32>>& keys_sorted_by_kid);

/// What a TD is asked to put into its quote, and the text that it is the hash of.
struct ReportData {
  ByteVector preimage;
  ByteArray<64> value;  ///< SHA-512 of `preimage`
};

/// Binds a quote to purpose, nonce, quoting party and control plane. Every field has a fixed place or a length, so no
/// two sets of fields share a preimage.
/// `audience` is the origin of the control plane, 1 to 255 bytes (whoever has it from outside checks that first: it is
/// a broken invariant here).
ReportData build_report_data(Purpose purpose, std::span<const std::uint8_t, 32> nonce,
                             std::span<const std::uint8_t, 32> binding, std::string_view audience);

}  // namespace ee::attestation
