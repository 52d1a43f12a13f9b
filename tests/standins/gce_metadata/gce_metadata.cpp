#include "tests/standins/gce_metadata/gce_metadata.h"

#include <condition_variable>
#include <deque>
#include <stdexcept>

#include "net/server.h"

namespace ee::standins {
namespace {

constexpr std::string_view kInstance = "/computeMetadata/v1/instance/";

}  // namespace

class GceMetadata::App final : public net::Application {
 public:
  net::Admission admit(const net::RequestHead& /*head*/) override { return {.route = &route_}; }
  net::Response handle(net::Request&& request) override {
    std::unique_lock lock(mutex_);
    if (!request.path.starts_with(kInstance)) return answer(404, "not found", "Google");
    const std::string path = request.path.substr(kInstance.size());
    asked_.push_back(path);
    Answer wanted;
    if (auto& queue = answers_[path]; !queue.empty()) {
      wanted = queue.front();
      queue.pop_front();
    }
    if (wanted.hang) released_.wait(lock, [this] { return open_; });
    // The real one refuses whoever does not say that he means it: a request made by a browser, or by way of a redirect.
    if (request.header("Metadata-Flavor") != "Google") return answer(403, "Forbidden", "Google");
    const auto value = values_.find(path);
    const int status = value == values_.end() ? 404 : 200;
    net::Response out = answer(wanted.status.value_or(status),
                               wanted.body.value_or(value == values_.end() ? "not found" : value->second),
                               wanted.flavor.value_or("Google"));
    if (wanted.location) out.headers.push_back({"Location", *wanted.location});
    return out;
  }
  static net::Response answer(int status, std::string body, const std::string& flavor) {
    net::Response out{.status = status, .body = std::move(body)};
    out.headers = {{"Content-Type", "application/text"}, {"Server", "Metadata Server for VM"}};
    if (!flavor.empty()) out.headers.push_back({"Metadata-Flavor", flavor});
    return out;
  }

  std::mutex mutex_;
  std::condition_variable released_;
  bool open_ = false;
  std::map<std::string, std::string> values_;
  std::map<std::string, std::deque<Answer>> answers_;
  std::vector<std::string> asked_;

 private:
  net::RouteInfo route_{.route_template = "/"};
};

GceMetadata::GceMetadata() : app_(std::make_unique<App>()) {
  net::ServerConfig config;
  config.bind = "127.0.0.1:0";
  auto server = net::Server::start(std::move(config), *app_, clock_, random_);
  if (!server) throw std::runtime_error(server.error());
  server_ = std::move(*server);
}

GceMetadata::~GceMetadata() { release(); }

std::string GceMetadata::url() const { return server_->url(); }

void GceMetadata::set(const std::string& path, std::string value) {
  const std::lock_guard lock(app_->mutex_);
  app_->values_[path] = std::move(value);
}

void GceMetadata::answer_next(const std::string& path, const Answer& answer, int times) {
  const std::lock_guard lock(app_->mutex_);
  for (int i = 0; i < times; ++i) app_->answers_[path].push_back(answer);
}

void GceMetadata::release() {
  const std::lock_guard lock(app_->mutex_);
  app_->open_ = true;
  app_->released_.notify_all();
}

std::vector<std::string> GceMetadata::asked() const {
  const std::lock_guard lock(app_->mutex_);
  return app_->asked_;
}

}  // namespace ee::standins
