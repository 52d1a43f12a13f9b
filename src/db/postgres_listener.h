#pragma once
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "common/time.h"
#include "db/postgres_connection.h"
#include "db/served_database.h"

namespace ee::db {

/// A connection that LISTENs, and the thread that waits on it. A lost connection is made again; what was announced
/// meanwhile is not sent again, so `heard` is called then too. A server that went away without a word is noticed by
/// TCP's keep-alives, after some 25 s.
class PostgresListener final : public Subscription {
 public:
  /// `connection` need not be connected. See ServedDatabase::listen.
  PostgresListener(std::unique_ptr<PostgresConnection> connection, const std::string& topic,
                   std::function<void()> heard);
  /// Waits for the thread, which may be trying to connect: some seconds at most.
  ~PostgresListener() override;
  PostgresListener(const PostgresListener&) = delete;
  PostgresListener& operator=(const PostgresListener&) = delete;

 private:
  void run();
  bool listen();
  bool is_over(Milliseconds wait) const;

  const std::unique_ptr<PostgresConnection> connection_;
  const std::string command_;
  const std::function<void()> heard_;
  const int end_;      // eventfd: readable when the thread is to end
  bool told_ = false;  // that there is no connection
  std::thread thread_;
};

}  // namespace ee::db
