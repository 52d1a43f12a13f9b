#pragma once
#include <array>
#include <cstdint>
#include <vector>

#include "attestation/quote/quote.h"
#include "attestation/validate/trust_store.h"
#include "common/bytes.h"
#include "common/error.h"

namespace ee::attestation {

inline constexpr std::size_t kEventLogMaxBytes = 256UL * 1024;
inline constexpr std::size_t kEventLogMaxEvents = 4096;

/// One measured event of a boot.
struct LogEvent {
  std::uint32_t type = 0;     ///< TCG PC Client Platform Firmware Profile, table of event types
  std::size_t register_ = 0;  ///< the RTMR, 0..3 (the log counts from 1)
  Measurement digest{};
  bool extended = false;  ///< EV_NO_ACTION is logged only
  ByteVector data;        ///< what the event says about itself; nothing vouches for it
};

/// A confidential-computing event log that is sound, and the RTMRs that it leads to.
struct EventLog {
  std::vector<LogEvent> events;
  std::array<Measurement, 4> rtmrs{};
  std::size_t size = 0;  ///< bytes in front of the end marker: what is worth sending
};

/// Reads a CCEL log and replays it: R' = SHA-384(R || digest), from 48 zero bytes. It ends at index 0xffffffff, at
/// twelve zero bytes, or with its last byte. Memory stays within a small multiple of the input. Sources: ACPI 6.5
/// section 5.2.34 (CCEL); TCG PC Client Platform Firmware Profile 1.06 section 10 (records). error event_log_malformed:
/// truncated, an index outside 1..4, an event without SHA-384 digest, more than 4,096 events
///        or 256 KiB. The detail names what and where, never content.
[[nodiscard]] Result<EventLog> replay_ccel(Bytes raw);

/// event_log_mismatch unless the log leads to RTMR0..2 of the quote. (RTMR3 belongs to the workload log.)
[[nodiscard]] Result<void> check_event_log(const EventLog& log, const Quote& quote);

/// The first `limit` extended events of RTMR0..2 whose digest is not among `known`: what changed against the log of a
/// trusted boot. Points into `log`.
std::vector<const LogEvent*> unknown_events(const EventLog& log, const std::vector<Measurement>& known,
                                            std::size_t limit);

}  // namespace ee::attestation
