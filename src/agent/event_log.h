#pragma once
#include <optional>

#include "agent/host.h"
#include "common/bytes.h"

namespace ee::agent {

/// The used part of a CCEL area: from its start to the end marker (index 0xffffffff, or 12 zero bytes) or to its end.
/// Walks the records without judging them. Nothing when they do not fit their sizes, there are more than 4,096, or the
/// used part is longer than 128 KiB. Source: TCG PC Client Platform Firmware Profile, revision 1.05, section 10 (event
/// log format); UEFI 2.10 section 38 (confidential computing events use the same records).
std::optional<ByteVector> trim_event_log(Bytes area);

/// The event log of this VM from /sys/firmware/acpi/tables/data/CCEL. Nothing when there is none or it is not sound.
std::optional<ByteVector> read_event_log(const Host& host);

}  // namespace ee::agent
