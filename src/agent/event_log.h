#pragma once
#include <optional>

#include "agent/host.h"
#include "common/bytes.h"

namespace ee::agent {

/// The event log of this VM from /sys/firmware/acpi/tables/data/CCEL, without what follows its end marker. Nothing when
/// there is none, it is not sound, or it is longer than what a registration may carry (128 KiB).
std::optional<ByteVector> read_event_log(const Host& host);

}  // namespace ee::agent
