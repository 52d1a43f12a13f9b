#pragma once
#include <algorithm>
#include <atomic>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "cp/account_fixture.h"
#include "tests/standins/registry/registry.h"

namespace ee::testing {

/// The app catalogue of a whole control plane, whose registry is the stand-in `registry.test`, and whose external
/// measurer at `measurer.test` is the test itself.
class CatalogueFixture : public AccountFixture {
 protected:
  static constexpr const char* kRegistry = "https://registry.test";
  static constexpr const char* kMeasurer = "https://measurer.test";

  explicit CatalogueFixture(TestControlPlane::Environment more = {}) : AccountFixture(options(std::move(more))) {
    cp.clock.set_auto_advance(true);  // waits between tries cost no time
    cp.http.set_answer([this](const HttpClientRequest& request) { return answer(request); });
    registry.put_index("app/web", "1.0", "web one");
  }

  static TestControlPlane::Options options(TestControlPlane::Environment more) {
    more.emplace("EE_SECRETS_KEY", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=");
    return {.environment = std::move(more)};
  }
  static std::string compose(const std::string& image = "registry.test/app/web:1.0") {
    return "services:\n  web:\n    image: " + image + "\n    ports: ['8080:8080']\n";
  }
  static std::string publish_body(const std::string& version, const std::string& text, const std::string& more = "") {
    return R"({"version":")" + version + R"(","compose":)" + json::quote(text) + more + "}";
  }
  TestAnswer create(const std::string& token, const std::string& name, const std::string& more = "") {
    return as(token, "POST", "/api/v1/apps", R"({"name":")" + name + "\"" + more + "}");
  }
  TestAnswer publish(const std::string& version = "1.0", const std::string& text = compose(),
                     const std::string& more = "") {
    return as(owner.key, "POST", "/api/v1/apps/shop/versions", publish_body(version, text, more));
  }
  /// One pass of the worker.
  std::int64_t measure() {
    const auto done = cp.app().run_job("measurement_worker");
    if (!done) throw std::runtime_error(done.error().detail);
    return done->value("measured");
  }
  std::int64_t reap() {
    const auto done = cp.app().run_job("measurement_reaper");
    if (!done) throw std::runtime_error(done.error().detail);
    return done->value("reaped");
  }
  /// The first variant of a version of `shop`, as its owner sees it.
  boost::json::value version(const std::string& number = "1.0") {
    const TestAnswer found = as(owner.key, "GET", "/api/v1/apps/shop/versions/" + number);
    if (found.status != 200) throw std::runtime_error(found.body);
    return body_of(found).at("items").at(0);
  }
  std::string status(const std::string& number = "1.0") { return text(version(number), "status"); }
  std::string rejection(const std::string& number = "1.0") {
    const auto found = version(number);
    return found.at("rejection").is_null() ? "" : text(found.at("rejection"), "code");
  }
  TestAnswer change(const std::string& what, const std::string& body = "{}", const std::string& number = "1.0") {
    return as(owner.key, "POST", "/api/v1/apps/shop/versions/" + number + "/" + what, body);
  }
  void set(const std::string& key, const std::string& json_value) {
    const TestAnswer done = cp.admin("PUT", "/api/v1/admin/settings/" + key, "{\"value\":" + json_value + "}");
    if (done.status != 200) throw std::runtime_error(done.body);
  }
  std::expected<HttpClientResponse, HttpFailure> answer(const HttpClientRequest& request) {
    if (registry_away) return std::unexpected(HttpFailure::connect);
    if (request.url.starts_with(kMeasurer)) {
      const std::lock_guard lock(mutex_);
      handed_out.push_back(request.body);
      return HttpClientResponse{.status = measurer_status, .headers = {}, .body = ""};
    }
    if (!request.url.starts_with(kRegistry)) return std::unexpected(HttpFailure::resolve);
    if (before_answer) before_answer();
    const std::string target = request.url.substr(std::string_view(kRegistry).size());
    net::Request to;
    to.method = request.method;
    to.path = target.substr(0, target.find('?'));
    to.query = target.find('?') == std::string::npos ? "" : target.substr(target.find('?') + 1);
    to.headers = request.headers;
    net::Response response = registry.answer(to);
    return HttpClientResponse{
        .status = response.status, .headers = std::move(response.headers), .body = std::move(response.body)};
  }

  standins::Registry registry;
  std::atomic<bool> registry_away = false;
  std::function<void()> before_answer;
  std::vector<std::string> handed_out;  ///< bodies that the measurer was given
  int measurer_status = 202;
  const Made owner = make("acme");
  const Made stranger = make("other");

 private:
  std::mutex mutex_;
};

}  // namespace ee::testing
