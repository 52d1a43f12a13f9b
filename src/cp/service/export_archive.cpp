// The tar.gz form of an export: ustar headers (POSIX.1-1988), one gzip member over all.
#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <new>

#include "common/bytes.h"
#include "common/crypto.h"
#include "common/json.h"
#include "cp/service/export_writer.h"

namespace ee::cp {
namespace {

constexpr std::size_t kBlock = 512;
constexpr std::size_t kCompressed = 64UL * 1024;

/// Compresses a stream into the sink's pieces.
class GzipStream {
 public:
  explicit GzipStream(std::function<void(std::string_view)> sink) : sink_(std::move(sink)) {
    constexpr int kGzipWindowBits = 15 + 16;
    constexpr int kMemoryLevel = 8;
    if (deflateInit2(&stream_, Z_BEST_SPEED, Z_DEFLATED, kGzipWindowBits, kMemoryLevel, Z_DEFAULT_STRATEGY) != Z_OK)
      throw std::bad_alloc();
  }
  ~GzipStream() { deflateEnd(&stream_); }
  GzipStream(const GzipStream&) = delete;
  GzipStream& operator=(const GzipStream&) = delete;

  void write(std::string_view bytes) {
    constexpr std::size_t kMost = 1UL << 30U;
    while (!bytes.empty()) {
      const std::string_view piece = bytes.substr(0, kMost);
      bytes.remove_prefix(piece.size());
      run(piece, Z_NO_FLUSH);
    }
  }
  void finish() { run({}, Z_FINISH); }

 private:
  void run(std::string_view bytes, int flush) {
    stream_.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(bytes.data()));
    stream_.avail_in = static_cast<uInt>(bytes.size());
    do {
      stream_.next_out = reinterpret_cast<Bytef*>(out_.data());
      stream_.avail_out = static_cast<uInt>(out_.size());
      deflate(&stream_, flush);
      sink_({out_.data(), out_.size() - stream_.avail_out});
    } while (stream_.avail_out == 0);
  }

  std::function<void(std::string_view)> sink_;
  z_stream stream_{};
  std::array<char, kCompressed> out_{};
};

void put_octal(std::array<char, kBlock>& header, std::size_t at, std::size_t width, std::uint64_t value) {
  const std::string digits = fmt::format("{:0{}o}", value, width - 1);
  std::memcpy(header.data() + at, digits.data(), width - 1);
}
void put_text(std::array<char, kBlock>& header, std::size_t at, std::size_t width, std::string_view text) {
  std::ranges::copy(text.substr(0, width), header.data() + at);
}

/// `path`: at most 100 bytes behind its last slash, and 155 before.
std::array<char, kBlock> tar_header(std::string_view path, std::uint64_t size, UtcTime at) {
  std::array<char, kBlock> header{};
  std::string_view prefix;
  if (path.size() > 100) {
    const std::size_t slash = path.rfind('/');
    if (slash != std::string_view::npos) {
      prefix = path.substr(0, slash);
      path.remove_prefix(slash + 1);
    }
  }
  put_text(header, 0, 100, path);
  put_octal(header, 100, 8, 0600);
  put_octal(header, 108, 8, 0);
  put_octal(header, 116, 8, 0);
  put_octal(header, 124, 12, size);
  put_octal(header, 136, 12, static_cast<std::uint64_t>(std::max<std::int64_t>(0, unix_ms(at) / 1000)));
  put_text(header, 148, 8, "        ");  // the checksum is made over blanks
  header[156] = '0';
  put_text(header, 257, 6, std::string_view("ustar\0", 6));
  put_text(header, 263, 2, "00");
  put_text(header, 345, 155, prefix);
  std::uint64_t sum = 0;
  for (const char c : header) sum += static_cast<unsigned char>(c);
  put_octal(header, 148, 7, sum);
  header[155] = ' ';
  return header;
}

/// `containers/x/web.ndjson`, part 2: `containers/x/web-0002.ndjson`.
std::string part_path(const std::string& path, int part) {
  if (part <= 1) return path;
  const std::size_t dot = path.rfind('.');
  return fmt::format("{}-{:04}{}", path.substr(0, dot), part, dot == std::string::npos ? "" : path.substr(dot));
}

class ArchiveWriter final : public ExportWriter {
 public:
  ArchiveWriter(ByteSink sink, ExportLimits limits, const Clock& clock)
      : ExportWriter(std::move(sink), limits, clock), gzip_([this](std::string_view bytes) { send(bytes); }) {}

 private:
  struct Member {
    std::string path;
    std::uint64_t bytes = 0;
    std::uint64_t lines = 0;
    std::string sha256;
  };

  void put_line(const ExportPlace& place, std::string_view object) override {
    if (place.path != path_) begin(place.path);
    if (!part_.empty() && part_.size() + object.size() + 1 > limits().part_bytes) flush_part();
    if (part_.empty()) part_.reserve(limits().part_bytes);  // grown step by step it would need twice as much
    part_.append(object);
    part_ += '\n';
    ++part_lines_;
    count_line();
  }
  void put_document(const ExportPlace& place, const std::vector<std::string>& objects) override {
    begin("");
    std::string text = "{\"items\":[";
    for (const std::string& object : objects) {
      if (&object != &objects.front()) text += ',';
      text += object;
      count_line();
    }
    text += "]}\n";
    put_member(place.path, text, objects.size());
  }
  void put_errors(const std::vector<std::string>& errors) override {
    begin("errors.ndjson");
    for (const std::string& error : errors) {
      part_.append(error);
      part_ += '\n';
      ++part_lines_;
    }
  }
  void put_end(const std::string& about) override {
    begin("");
    const bool complete = stopped() == ExportStop::none;
    std::string manifest =
        fmt::format(R"({{"format":1,"complete":{},"stopped_by":{},"lines":{},"about":{},"members":[)", complete,
                    complete ? "null" : json::quote(to_string(stopped())), lines(), about);
    for (std::size_t i = 0; i < members_.size(); ++i) {
      const Member& member = members_[i];
      manifest += fmt::format(R"({}{{"path":{},"bytes":{},"lines":{},"sha256":"{}"}})", i == 0 ? "" : ",",
                              json::quote(member.path), member.bytes, member.lines, member.sha256);
    }
    manifest += "]}\n";
    put_member("manifest.json", manifest, 0);
    gzip_.write(std::string(2 * kBlock, '\0'));
    gzip_.finish();
  }

  /// What comes next belongs there; empty: nothing does yet.
  void begin(const std::string& path) {
    flush_part();
    // A place that is come back to goes on with its next part.
    path_ = path;
  }
  void flush_part() {
    if (part_.empty()) return;
    put_member(part_path(path_, ++parts_[path_]), part_, part_lines_);
    part_.clear();
    part_lines_ = 0;
  }
  void put_member(const std::string& path, std::string_view content, std::uint64_t line_count) {
    const auto header = tar_header(path, content.size(), clock().now());
    gzip_.write({header.data(), header.size()});
    gzip_.write(content);
    const std::size_t over = content.size() % kBlock;
    if (over > 0) gzip_.write(std::string(kBlock - over, '\0'));
    members_.push_back(
        {.path = path, .bytes = content.size(), .lines = line_count, .sha256 = to_hex(sha256(bytes_of(content)))});
  }

  GzipStream gzip_;
  std::string path_;
  std::string part_;
  std::uint64_t part_lines_ = 0;
  std::map<std::string, int> parts_;
  std::vector<Member> members_;
};

}  // namespace

std::unique_ptr<ExportWriter> archive_writer(ByteSink sink, ExportLimits limits, const Clock& clock) {
  return std::make_unique<ArchiveWriter>(std::move(sink), limits, clock);
}

}  // namespace ee::cp
