#include "agent/runtime/container_launcher.h"

#include <fmt/format.h>

#include <atomic>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <thread>

#include "common/log.h"

namespace ee::agent {
namespace {

namespace bj = boost::json;
constexpr Seconds kStopGrace{30};

std::string text_of(const RuntimeError& error) {
  return error.detail.empty() ? std::string(to_string(error.failure)) : error.detail;
}

/// A container that was started. Its output is followed by a thread of its own.
class ContainerProcess final : public Subprocess {
 public:
  ContainerProcess(ContainerRuntime& runtime, std::string id, const SubprocessSpec& spec)
      : runtime_(runtime), id_(std::move(id)) {
    if (spec.on_line || spec.on_output)
      reader_ = std::jthread([this, on_line = spec.on_line, on_output = spec.on_output](const std::stop_token& stop) {
        const auto read = runtime_.logs(
            id_, 0,
            [&](const ContainerLogLine& line) {
              if (on_output && line.stream == LogStream::out) {
                on_output(std::string(line.text) + "\n");
              } else if (on_line) {
                on_line(line.text);
              }
            },
            stop);
        if (!read) log::warn("container", "its output is lost", {{"reason", to_string(read.error().failure)}});
        all_read_ = true;
      });
    else
      all_read_ = true;
  }
  ContainerProcess(const ContainerProcess&) = delete;
  ContainerProcess& operator=(const ContainerProcess&) = delete;
  ~ContainerProcess() override {
    if (!ended_) (void)runtime_.stop(id_, Seconds(0), {});
    reader_.request_stop();
    if (reader_.joinable()) reader_.join();
    (void)runtime_.remove(id_, {});
  }

  /// An engine that does not answer says nothing about the container.
  std::optional<ExitStatus> poll() override {
    if (!ended_) {
      const auto state = runtime_.inspect(id_, {});
      if (!state && state.error().failure == RuntimeFailure::not_found) ended_ = ExitStatus{.code = {}, .signal = 9};
      if (state && !state->running) ended_ = ExitStatus{.code = static_cast<int>(state->exit_code), .signal = {}};
    }
    return ended_ && all_read_ ? ended_ : std::nullopt;
  }
  /// Waits: the engine is told the grace, after which it kills.
  void send(SubprocessSignal signal) override {
    if (ended_) return;
    (void)runtime_.stop(id_, signal == SubprocessSignal::kill ? Seconds(0) : kStopGrace, {});
  }

 private:
  ContainerRuntime& runtime_;
  const std::string id_;
  std::optional<ExitStatus> ended_;
  std::atomic<bool> all_read_ = false;
  std::jthread reader_;
};

bj::object mount(const std::string& path, bool read_only) {
  return {{"Type", "bind"}, {"Source", path}, {"Target", path}, {"ReadOnly", read_only}};
}

}  // namespace

ContainerLauncher::ContainerLauncher(Options options, ContainerRuntime& runtime)
    : options_(std::move(options)), runtime_(runtime) {}

Result<void> ContainerLauncher::need_image() {
  auto image = runtime_.image(options_.image, options_.stop);
  if (image) return {};
  if (image.error().failure == RuntimeFailure::not_found) {
    if (auto pulled = runtime_.pull(options_.image, nullptr, {}, options_.stop); !pulled)
      return fail(ErrorCode::internal_error, "pull: " + text_of(pulled.error()));
    image = runtime_.image(options_.image, options_.stop);
  }
  if (!image) return fail(ErrorCode::internal_error, "image: " + text_of(image.error()));
  return {};
}

std::string ContainerLauncher::body(const SubprocessSpec& spec) const {
  bj::array arguments;
  for (std::size_t i = 1; i < spec.argv.size(); ++i) arguments.emplace_back(spec.argv[i]);
  bj::array environment;
  for (const auto& [name, value] : spec.environment)
    environment.emplace_back(fmt::format("{}={}", name, value.reveal()));
  bj::array mounts;
  for (const std::string& path : options_.writable) mounts.emplace_back(mount(path, false));
  for (const std::string& path : options_.read_only) mounts.emplace_back(mount(path, true));
  return bj::serialize(
      bj::object{{"Image", options_.image},
                 {"Cmd", std::move(arguments)},
                 {"Env", std::move(environment)},
                 {"User", "0:0"},  // the owner of its folders; without capabilities that is all it is
                 {"Labels", {{std::string(kInstanceLabel), options_.instance}}},
                 {"Tty", false},
                 {"OpenStdin", false},
                 {"HostConfig",
                  {{"NetworkMode", "host"},
                   {"Mounts", std::move(mounts)},
                   {"Tmpfs", {{"/tmp", "size=64m,mode=1777"}}},
                   {"Privileged", false},
                   {"ReadonlyRootfs", true},
                   {"CapDrop", {"ALL"}},
                   {"SecurityOpt", {"no-new-privileges"}},
                   {"RestartPolicy", {{"Name", "no"}}},
                   {"LogConfig", {{"Type", "local"}, {"Config", {{"max-size", "10m"}, {"max-file", "3"}}}}}}}});
}

Result<std::unique_ptr<Subprocess>> ContainerLauncher::start(const SubprocessSpec& spec) {
  if (auto there = need_image(); !there) return std::unexpected(std::move(there.error()));
  const auto id = runtime_.create({.name = spec.argv.at(0), .body = body(spec)}, options_.stop);
  if (!id) return fail(ErrorCode::internal_error, "create: " + text_of(id.error()));
  if (const auto started = runtime_.start(*id, options_.stop); !started) {
    (void)runtime_.remove(*id, {});
    return fail(ErrorCode::internal_error, "start: " + text_of(started.error()));
  }
  return std::make_unique<ContainerProcess>(runtime_, *id, spec);
}

}  // namespace ee::agent
