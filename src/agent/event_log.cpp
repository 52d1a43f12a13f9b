#include "agent/event_log.h"

#include <algorithm>
#include <map>

#include "common/agent_api.h"

namespace ee::agent {
namespace {

constexpr std::size_t kMaxAreaBytes = 1024UL * 1024;
constexpr std::size_t kMaxEvents = 4096;
constexpr std::uint32_t kEndIndex = 0xffffffff;
constexpr std::uint32_t kEvNoAction = 3;
constexpr std::string_view kSpecId = "Spec ID Event03";
constexpr std::size_t kSha1Bytes = 20;

/// Reads little-endian numbers; once something did not fit, nothing does any more.
class Reader {
 public:
  explicit Reader(Bytes bytes) : rest_(bytes) {}
  std::uint32_t number(std::size_t size) {
    std::uint32_t value = 0;
    const Bytes bytes = take(size);
    for (std::size_t i = 0; i < bytes.size(); ++i) value |= static_cast<std::uint32_t>(bytes[i]) << (8 * i);
    return value;
  }
  Bytes take(std::size_t size) {
    if (size > rest_.size()) {
      failed_ = true;
      rest_ = {};
      return {};
    }
    const Bytes out = rest_.first(size);
    rest_ = rest_.subspan(size);
    return out;
  }
  Bytes rest() const { return rest_; }
  bool failed() const { return failed_; }

 private:
  Bytes rest_;
  bool failed_ = false;
};

using DigestSizes = std::map<std::uint32_t, std::size_t>;

/// The first record names the algorithms and the sizes of their digests.
std::optional<DigestSizes> read_header(Reader& reader) {
  reader.number(4);  // index
  const std::uint32_t type = reader.number(4);
  reader.take(kSha1Bytes);
  Reader event(reader.take(reader.number(4)));
  if (reader.failed() || type != kEvNoAction || !text_of(event.take(16)).starts_with(kSpecId)) return std::nullopt;
  event.take(8);  // platform class, versions, size of UINTN
  const std::uint32_t count = event.number(4);
  if (count == 0 || count > 16) return std::nullopt;
  DigestSizes sizes;
  for (std::uint32_t i = 0; i < count; ++i) {
    const std::uint32_t algorithm = event.number(2);
    sizes[algorithm] = event.number(2);
  }
  return event.failed() ? std::nullopt : std::optional(sizes);
}

bool read_event(Reader& reader, const DigestSizes& sizes) {
  reader.take(8);  // index, type
  const std::uint32_t digests = reader.number(4);
  if (digests == 0 || digests > sizes.size()) return false;
  for (std::uint32_t i = 0; i < digests; ++i) {
    const auto size = sizes.find(reader.number(2));
    if (size == sizes.end()) return false;
    reader.take(size->second);
  }
  reader.take(reader.number(4));
  return !reader.failed();
}

bool at_end(Bytes rest) {
  if (rest.empty()) return true;
  if (rest.size() >= 4 && Reader(rest.first(4)).number(4) == kEndIndex) return true;
  return rest.size() >= 12 && std::ranges::all_of(rest.first(12), [](std::uint8_t byte) { return byte == 0; });
}

}  // namespace

std::optional<ByteVector> trim_event_log(Bytes area) {
  Reader reader(area);
  const auto sizes = read_header(reader);
  if (!sizes) return std::nullopt;
  for (std::size_t events = 1; !at_end(reader.rest()); ++events)
    if (events >= kMaxEvents || !read_event(reader, *sizes)) return std::nullopt;
  const Bytes used = area.first(area.size() - reader.rest().size());
  if (used.size() > agent_api::kMaxEventLogBytes) return std::nullopt;
  return ByteVector(used.begin(), used.end());
}

std::optional<ByteVector> read_event_log(const Host& host) {
  const auto area = host.read("sys/firmware/acpi/tables/data/CCEL", kMaxAreaBytes);
  return area ? trim_event_log(bytes_of(*area)) : std::nullopt;
}

}  // namespace ee::agent
