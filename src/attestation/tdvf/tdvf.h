#pragma once
#include <cstdint>
#include <expected>
#include <string>
#include <vector>

#include "common/bytes.h"

/// What a TD measures of its firmware and of a kernel that it boots directly, computed from files, without TDX.
/// Sources: Intel TDX Virtual Firmware Design Guide 1.0, sections 11 and 12 (descriptor, sections); Intel TDX
/// Module 1.5 ABI, TDH.MEM.PAGE.ADD and TDH.MR.EXTEND; 01 section 19.
namespace ee::attestation {

constexpr std::size_t kMaxFirmwareBytes = 64UL * 1024 * 1024;

/// A file that is not what it should be. `detail` says which field, without content.
struct FirmwareFault {
  std::string detail;
  bool operator==(const FirmwareFault&) const = default;
};
template <class T>
using FirmwareResult = std::expected<T, FirmwareFault>;

enum class TdvfSectionType : std::uint32_t {
  boot_firmware,
  configuration_firmware,
  td_hob,
  temporary_memory,
  permanent_memory,
  payload,
  payload_parameters
};

/// One row of the TDX metadata of a firmware file. Addresses and memory sizes are multiples of 4096.
struct TdvfSection {
  std::uint32_t data_offset = 0;
  std::uint32_t raw_size = 0;
  std::uint64_t address = 0;
  std::uint64_t memory_size = 0;
  TdvfSectionType type = TdvfSectionType::boot_firmware;
  bool extend = false;       ///< the contents are measured (MR.EXTEND)
  bool added_later = false;  ///< PAGE_AUG: the pages are not part of the initial TD
};

/// Finds and checks the metadata: at most 64 sections that do not overlap, at most 4 GiB of memory, all inside a file
/// of at most 64 MiB.
FirmwareResult<std::vector<TdvfSection>> read_tdvf(Bytes firmware);

/// How the host builds the TD: `single` adds and extends page by page (KVM today); `two_pass` adds all pages of a
/// section first (older stacks). The order is part of MRTD.
enum class PageOrder : std::uint8_t { single, two_pass };

using Sha384Digest = ByteArray<48>;

/// MRTD of a TD that starts with this firmware.
FirmwareResult<Sha384Digest> compute_mrtd(Bytes firmware, PageOrder order);

/// The SHA-384 that firmware measures of a PE image: headers without checksum and certificate entry, sections by file
/// offset, what follows them without the certificate table. Source: Microsoft, Windows Authenticode Portable Executable
/// Signature Format, "Calculating the PE Image Hash".
FirmwareResult<Sha384Digest> authenticode_sha384(Bytes image);

/// What QEMU's direct boot of a kernel should leave in two registers. A prediction: to be confirmed by one measured
/// boot.
struct DirectBoot {
  Sha384Digest rtmr1{};
  Sha384Digest rtmr2{};
};
/// `command_line` is UTF-8 without the `initrd=` that the boot adds.
FirmwareResult<DirectBoot> predict_direct_boot(Bytes kernel, Bytes initrd, std::string_view command_line);

}  // namespace ee::attestation
