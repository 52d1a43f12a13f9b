#include "db/postgres_listener.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <utility>

#include "common/log.h"
#include "common/require.h"

namespace ee::db {

namespace {
constexpr Milliseconds kConnectAgainAfter{1000};

/// A topic becomes part of a statement.
std::string listen_to(const std::string& topic) {
  require(!topic.empty() && topic.find_first_not_of("abcdefghijklmnopqrstuvwxyz_") == std::string::npos);
  return "LISTEN " + topic;
}
}  // namespace

PostgresListener::PostgresListener(std::unique_ptr<PostgresConnection> connection, const std::string& topic,
                                   std::function<void()> heard)
    : connection_(std::move(connection)),
      command_(listen_to(topic)),
      heard_(std::move(heard)),
      end_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  require(end_ >= 0);
  thread_ = std::thread([this] { run(); });
}

PostgresListener::~PostgresListener() {
  ::eventfd_write(end_, 1);
  thread_.join();
  ::close(end_);
}

bool PostgresListener::is_over(Milliseconds wait) const {
  pollfd end{.fd = end_, .events = POLLIN, .revents = 0};
  return ::poll(&end, 1, static_cast<int>(wait.count())) > 0;
}

bool PostgresListener::listen() {
  Result<void> made = connection_->connect();
  if (made) {
    if (const auto listening = connection_->script(command_); !listening) made = std::unexpected(listening.error());
  }
  if (made) {
    if (told_) log::info("database", "announcements of other replicas are heard again");
    told_ = false;
    return true;
  }
  connection_->disconnect();
  if (!told_) log::warn("database", "announcements of other replicas are not heard", {{"detail", made.error().detail}});
  told_ = true;
  return false;
}

void PostgresListener::run() {
  for (Milliseconds wait{0}; !is_over(wait); wait = kConnectAgainAfter) {
    if (!listen()) continue;
    heard_();
    for (;;) {
      const auto notified = connection_->wait_notified(end_);
      if (!notified) break;
      if (!*notified) return;
      heard_();
    }
  }
}

}  // namespace ee::db
