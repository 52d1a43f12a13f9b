#include "attestation/event_log.h"

#include <algorithm>
#include <optional>
#include <string>

#include "attestation/quote/layout.h"
#include "common/crypto.h"

namespace ee::attestation {

namespace {

constexpr std::uint32_t kEvNoAction = 3;
constexpr std::uint16_t kAlgSha384 = 0x000c;
constexpr std::uint32_t kEndIndex = 0xffffffff;
constexpr std::size_t kEndZeros = 12;
constexpr std::size_t kSha1Bytes = 20;
constexpr std::size_t kMaxAlgorithms = 16;
constexpr std::size_t kMaxDigestBytes = 64;
constexpr std::size_t kRegisters = 4;
constexpr std::string_view kSpecId("Spec ID Event03\0", 16);
constexpr std::size_t kSpecIdSkipped = 8;  // platform class, spec version, errata, size of a UINTN

struct Algorithm {
  std::uint16_t id;
  std::size_t digest_bytes;
};

/// Takes fields off the front; nothing when what remains is too short.
class Reader {
 public:
  explicit Reader(Bytes rest) : rest_(rest), size_(rest.size()) {}
  std::size_t offset() const { return size_ - rest_.size(); }
  Bytes rest() const { return rest_; }

  std::optional<Bytes> take(std::size_t size) {
    if (size > rest_.size()) return std::nullopt;
    const Bytes taken = rest_.first(size);
    rest_ = rest_.subspan(size);
    return taken;
  }
  std::optional<std::uint16_t> u16() { return integer<std::uint16_t>(); }
  std::optional<std::uint32_t> u32() { return integer<std::uint32_t>(); }

 private:
  template <class T>
  std::optional<T> integer() {
    const auto bytes = take(sizeof(T));
    if (!bytes) return std::nullopt;
    return static_cast<T>(layout::little_endian(bytes->first<sizeof(T)>()));
  }
  Bytes rest_;
  std::size_t size_;
};

class CcelParser {
 public:
  explicit CcelParser(Bytes raw) : reader_(raw) {}

  Result<EventLog> parse() && {
    if (const auto done = header(); !done) return fail(done.error());
    while (!at_end()) {
      // Not reached while 256 KiB hold fewer events; it bounds the list whatever becomes of that limit.
      if (log_.events.size() == kEventLogMaxEvents) return malformed("too many events");
      if (const auto done = event(); !done) return fail(done.error());
    }
    return std::move(log_);
  }

 private:
  std::unexpected<Error> malformed(std::string_view what) const {
    return fail(ErrorCode::event_log_malformed, std::string(what) + " in event " + std::to_string(log_.events.size()) +
                                                    " at offset " + std::to_string(reader_.offset()));
  }

  /// TCG_PCR_EVENT, which says which digests the others have. It is not extended.
  Result<void> header() {
    const auto index = reader_.u32();
    const auto type = reader_.u32();
    const auto digest = reader_.take(kSha1Bytes);
    const auto size = reader_.u32();
    if (!index || !digest || !size) return malformed("truncated header");
    if (*type != kEvNoAction) return malformed("header of another type");
    const auto event = reader_.take(*size);
    if (!event) return malformed("truncated header");
    return spec_id(Reader(*event));
  }

  Result<void> spec_id(Reader event) {
    const auto signature = event.take(kSpecId.size());
    if (!signature || text_of(*signature) != kSpecId) return malformed("header without its signature");
    const auto skipped = event.take(kSpecIdSkipped);
    const auto count = event.u32();
    if (!skipped || !count || *count == 0 || *count > kMaxAlgorithms) return malformed("number of algorithms");
    for (std::uint32_t i = 0; i < *count; ++i) {
      const auto id = event.u16();
      const auto digest_bytes = event.u16();
      if (!id || !digest_bytes || *digest_bytes == 0 || *digest_bytes > kMaxDigestBytes || find(*id) != nullptr)
        return malformed("list of algorithms");
      algorithms_.push_back({.id = *id, .digest_bytes = *digest_bytes});
    }
    const Algorithm* const sha384 = find(kAlgSha384);
    if (sha384 == nullptr || sha384->digest_bytes != Measurement().size()) return malformed("no SHA-384");
    return {};
  }

  /// Whether the log ends here, and then how long it was.
  bool at_end() {
    const Bytes rest = reader_.rest();
    const auto is = [](std::uint8_t value) { return [value](std::uint8_t byte) { return byte == value; }; };
    const bool marked =
        rest.size() >= sizeof(kEndIndex) && layout::little_endian(rest.first<sizeof(kEndIndex)>()) == kEndIndex;
    const bool zeros = rest.size() >= kEndZeros && std::ranges::all_of(rest.first(kEndZeros), is(0));
    log_.size = reader_.offset();
    return rest.empty() || marked || zeros;
  }

  /// TCG_PCR_EVENT2.
  Result<void> event() {
    const auto index = reader_.u32();
    const auto type = reader_.u32();
    const auto count = reader_.u32();
    if (!index || !type || !count) return malformed("truncated event");
    if (*index < 1 || *index > kRegisters) return malformed("index");
    const auto digest = sha384_of(*count);
    if (!digest) return fail(digest.error());
    const auto size = reader_.u32();
    const auto data = size ? reader_.take(*size) : std::nullopt;
    if (!data) return malformed("truncated event");

    LogEvent event{.type = *type,
                   .register_ = *index - 1,
                   .digest = *digest,
                   .extended = *type != kEvNoAction,
                   .data = ByteVector(data->begin(), data->end())};
    if (event.extended) extend(log_.rtmrs[event.register_], event.digest);
    log_.events.push_back(std::move(event));
    return {};
  }

  Result<Measurement> sha384_of(std::uint32_t count) {
    if (count > algorithms_.size()) return malformed("number of digests");
    std::optional<Measurement> found;
    for (std::uint32_t i = 0; i < count; ++i) {
      const auto id = reader_.u16();
      const Algorithm* const algorithm = id ? find(*id) : nullptr;
      const auto digest = algorithm != nullptr ? reader_.take(algorithm->digest_bytes) : std::nullopt;
      if (!digest) return malformed("digest");
      if (*id != kAlgSha384) continue;
      if (found) return malformed("second SHA-384 digest");
      std::ranges::copy(*digest, found.emplace().begin());
    }
    if (!found) return malformed("no SHA-384 digest");
    return *found;
  }

  static void extend(Measurement& rtmr, const Measurement& digest) {
    ByteVector text(rtmr.begin(), rtmr.end());
    append(text, digest);
    rtmr = sha384(text);
  }

  const Algorithm* find(std::uint16_t id) const {
    const auto found = std::ranges::find(algorithms_, id, &Algorithm::id);
    return found == algorithms_.end() ? nullptr : &*found;
  }

  Reader reader_;
  std::vector<Algorithm> algorithms_;
  EventLog log_;
};

}  // namespace

Result<EventLog> replay_ccel(Bytes raw) {
  if (raw.size() > kEventLogMaxBytes) return fail(ErrorCode::event_log_malformed, "longer than 256 KiB");
  return CcelParser(raw).parse();
}

Result<void> check_event_log(const EventLog& log, const Quote& quote) {
  for (std::size_t i = 0; i < 3; ++i)
    if (!std::ranges::equal(log.rtmrs[i], quote.rtmr(i)))
      return fail(ErrorCode::event_log_mismatch, "RTMR" + std::to_string(i));
  return {};
}

std::vector<const LogEvent*> unknown_events(const EventLog& log, const std::vector<Measurement>& known,
                                            std::size_t limit) {
  std::vector<const LogEvent*> out;
  for (const LogEvent& event : log.events) {
    if (out.size() == limit) break;
    if (event.extended && event.register_ < 3 && std::ranges::find(known, event.digest) == known.end())
      out.push_back(&event);
  }
  return out;
}

}  // namespace ee::attestation
