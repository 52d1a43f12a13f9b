#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/clock.h"
#include "common/time.h"

namespace ee::cp {

/// Takes the bytes of an export as they are made; may wait. False: nobody wants them any more.
using ByteSink = std::function<bool(std::string_view)>;

/// Why an export ended before all of it was written.
enum class ExportStop : std::uint8_t { none, size, time, gone };
std::string_view to_string(ExportStop stop);

/// Bounds of one export (03 section 10.3).
struct ExportLimits {
  std::uint64_t raw_bytes = 1024ULL * 1024 * 1024;
  SteadyTime deadline = SteadyTime::max();
  std::size_t part_bytes = 8UL * 1024 * 1024;  ///< of an archive's member; no more than that is held in memory
};

/// Where lines of an export belong.
struct ExportPlace {
  std::string kind;  ///< `control_plane`, `containers`, ...
  std::string path;  ///< in the archive, with its ending: `control-plane.ndjson`
};

/// Writes an export piece by piece. Once a call is false nothing more is taken, and `finish` ends what was begun. Not
/// thread-safe.
class ExportWriter {
 public:
  ExportWriter(ByteSink sink, ExportLimits limits, const Clock& clock)
      : sink_(std::move(sink)), limits_(limits), clock_(clock) {}
  virtual ~ExportWriter() = default;
  ExportWriter(const ExportWriter&) = delete;
  ExportWriter& operator=(const ExportWriter&) = delete;

  /// A JSON object, one line. Lines of one place come one after the other.
  [[nodiscard]] bool line(const ExportPlace& place, std::string_view object);
  /// A few JSON objects that are one document: `{"items":[...]}`.
  [[nodiscard]] bool document(const ExportPlace& place, const std::vector<std::string>& objects);
  /// Something that could not be had; the export goes on. JSON object.
  void error(std::string object);
  /// The end, which tells that the export is whole, or why it is not. `about`: a JSON object.
  void finish(const std::string& about);

  ExportStop stopped() const { return stop_; }
  std::uint64_t raw_bytes() const { return raw_; }
  std::uint64_t lines() const { return lines_; }

 protected:
  virtual void put_line(const ExportPlace& place, std::string_view object) = 0;
  virtual void put_document(const ExportPlace& place, const std::vector<std::string>& objects) = 0;
  virtual void put_errors(const std::vector<std::string>& errors) = 0;
  virtual void put_end(const std::string& about) = 0;
  /// Gives bytes away; nothing once the sink is closed.
  void send(std::string_view bytes);
  const ExportLimits& limits() const { return limits_; }
  const Clock& clock() const { return clock_; }
  void count_line() { ++lines_; }

 private:
  static constexpr std::size_t kMaxErrors = 1'000;
  bool may_go_on(std::size_t bytes);

  ByteSink sink_;
  const ExportLimits limits_;
  const Clock& clock_;
  ExportStop stop_ = ExportStop::none;
  std::uint64_t raw_ = 0;
  std::uint64_t lines_ = 0;
  std::vector<std::string> errors_;
};

/// Lines `{"kind":...}`; the last is `{"kind":"end","ok":...,"lines":n}`, without which the export is broken.
std::unique_ptr<ExportWriter> ndjson_writer(ByteSink sink, ExportLimits limits, const Clock& clock);
/// tar.gz; members over `part_bytes` are cut into `name.ndjson`, `name-0002.ndjson`, ...; the last member is
/// `manifest.json` with size and SHA-256 of each.
std::unique_ptr<ExportWriter> archive_writer(ByteSink sink, ExportLimits limits, const Clock& clock);

}  // namespace ee::cp
