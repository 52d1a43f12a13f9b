#include "cp/service/export_writer.h"

#include <fmt/format.h>

#include "common/json.h"

namespace ee::cp {
namespace {

class NdjsonWriter final : public ExportWriter {
 public:
  using ExportWriter::ExportWriter;

 private:
  static constexpr std::size_t kPiece = 32UL * 1024;

  void put_line(const ExportPlace& place, std::string_view object) override { put(place.kind, object); }
  void put_document(const ExportPlace& place, const std::vector<std::string>& objects) override {
    for (const std::string& object : objects) put(place.kind, object);
  }
  void put_errors(const std::vector<std::string>& errors) override {
    for (const std::string& error : errors) put("error", error);
  }
  void put_end(const std::string& about) override {
    const bool ok = stopped() == ExportStop::none;
    put("end", fmt::format(R"({{"ok":{},"stopped_by":{},"lines":{},"about":{}}})", ok,
                           ok ? "null" : json::quote(to_string(stopped())), lines(), about));
    flush();
  }
  /// The kind becomes the first member of the object.
  void put(std::string_view kind, std::string_view object) {
    out_ += "{\"kind\":";
    json::append_quoted(out_, kind);
    if (object.size() > 2) out_ += ',';
    out_.append(object.substr(1));
    out_ += '\n';
    if (kind != "end") count_line();
    if (out_.size() >= kPiece) flush();
  }
  void flush() {
    send(out_);
    out_.clear();
  }
  std::string out_;
};

}  // namespace

std::string_view to_string(ExportStop stop) {
  switch (stop) {
    case ExportStop::none: return "none";
    case ExportStop::size: return "size";
    case ExportStop::time: return "time";
    case ExportStop::gone: return "gone";
  }
  return "gone";
}

void ExportWriter::send(std::string_view bytes) {
  if (stop_ == ExportStop::gone || bytes.empty()) return;
  if (!sink_(bytes)) stop_ = ExportStop::gone;
}

bool ExportWriter::may_go_on(std::size_t bytes) {
  if (stop_ != ExportStop::none) return false;
  if (raw_ + bytes > limits_.raw_bytes) {
    stop_ = ExportStop::size;
  } else if (clock_.steady_now() >= limits_.deadline) {
    stop_ = ExportStop::time;
  }
  if (stop_ != ExportStop::none) return false;
  raw_ += bytes;
  return true;
}

bool ExportWriter::line(const ExportPlace& place, std::string_view object) {
  if (!may_go_on(object.size() + 1)) return false;
  put_line(place, object);
  return stop_ == ExportStop::none;
}

bool ExportWriter::document(const ExportPlace& place, const std::vector<std::string>& objects) {
  std::size_t bytes = 0;
  for (const std::string& object : objects) bytes += object.size() + 1;
  if (!may_go_on(bytes)) return false;
  put_document(place, objects);
  return stop_ == ExportStop::none;
}

void ExportWriter::error(std::string object) {
  if (errors_.size() < kMaxErrors) errors_.push_back(std::move(object));
}

void ExportWriter::finish(const std::string& about) {
  if (stop_ == ExportStop::gone) return;
  if (!errors_.empty()) put_errors(errors_);
  put_end(about);
}

std::unique_ptr<ExportWriter> ndjson_writer(ByteSink sink, ExportLimits limits, const Clock& clock) {
  return std::make_unique<NdjsonWriter>(std::move(sink), limits, clock);
}

}  // namespace ee::cp
