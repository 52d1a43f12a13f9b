#pragma once
#include "common/metrics.h"
#include "db/write_observer.h"

namespace ee::db {

/// Metrics `ee_db_write_seconds`, `ee_db_group_size`, `ee_db_queue_depth`, `ee_db_groups_total{result}`, and a log line
/// for slow writes and groups that could not be stored. Thread-safe. `ee_db_wal_bytes` is set by whoever has the
/// database (`watch_wal`).
class SqliteMetrics final : public WriteObserver {
 public:
  explicit SqliteMetrics(metrics::Registry& registry);
  void group_finished(std::size_t items, bool committed, Microseconds took, std::size_t queued) override;
  void write_finished(Microseconds took) override;
  void slow_write(Microseconds took) override;
  void group_failed(std::string_view detail) override;

 private:
  metrics::Histogram write_seconds_;
  metrics::Histogram group_size_;
  metrics::Gauge queue_depth_;
  metrics::Family<metrics::Counter> groups_;
};

class SqliteDatabase;

/// Sets `ee_db_wal_bytes` whenever metrics are collected. `database` must outlive the registry's last collection.
void watch_wal(metrics::Registry& registry, const SqliteDatabase& database);

}  // namespace ee::db
