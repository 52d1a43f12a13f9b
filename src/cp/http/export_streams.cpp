#include "cp/http/export_streams.h"

#include <optional>

#include "common/deadline_stop.h"

namespace ee::cp {
namespace {

/// How much later than its own time an export is cut off that its reader holds up.
constexpr Seconds kPatience{30};

}  // namespace

struct ExportStreams::Running {
  std::atomic<bool> done = false;
  std::jthread thread;
};

ExportStreams::ExportStreams(Clock& clock, std::size_t most, Seconds longest)
    : clock_(clock), most_(most), longest_(longest) {}

ExportStreams::~ExportStreams() {
  const std::lock_guard lock(mutex_);
  for (const auto& each : running_) each->thread.request_stop();
  running_.clear();
}

Result<ExportStreams::Place> ExportStreams::reserve() {
  if (busy_->fetch_add(1) >= most_) {
    --*busy_;
    return fail(ErrorCode::export_busy);
  }
  return Place(busy_);
}

net::Response ExportStreams::start(Place place, std::string content_type, const std::string& file_name,
                                   Produce produce) {
  net::ResponseStream stream;
  net::Response response{.status = 200,
                         .headers = {{"Content-Type", std::move(content_type)},
                                     {"Content-Disposition", "attachment; filename=\"" + file_name + "\""},
                                     {"Cache-Control", "no-store"}},
                         .stream = stream.body()};
  response.sensitive = true;  // never compressed again
  const std::lock_guard lock(mutex_);
  std::erase_if(running_, [](const auto& each) { return each->done.load(); });
  auto running = std::make_unique<Running>();
  Running* const self = running.get();
  running->thread = std::jthread([this, self, place = std::optional(std::move(place)), produce = std::move(produce),
                                  stream = std::move(stream)](const std::stop_token& ended) mutable {
    {
      const DeadlineStop until(clock_, clock_.steady_now() + longest_ + kPatience, stream.stop_token());
      const std::stop_token stop = until.token();
      const std::stop_callback on_end(ended, [&] { stream.abort(); });
      const std::stop_callback on_deadline(stop, [&] { stream.abort(); });
      bool fine = true;
      std::stop_source both;
      const std::stop_callback a(ended, [&] { both.request_stop(); });
      const std::stop_callback b(stop, [&] { both.request_stop(); });
      produce([&](std::string_view bytes) { return fine = fine && stream.write(bytes); }, both.get_token());
      if (fine && !both.stop_requested())
        stream.finish();
      else
        stream.abort();
    }
    place.reset();
    self->done = true;
  });
  running_.push_back(std::move(running));
  return response;
}

}  // namespace ee::cp
