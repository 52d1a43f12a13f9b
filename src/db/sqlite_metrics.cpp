#include "db/sqlite_metrics.h"

#include "common/log.h"
#include "db/sqlite_database.h"

namespace ee::db {

namespace {
double seconds(Microseconds took) { return std::chrono::duration<double>(took).count(); }
}  // namespace

SqliteMetrics::SqliteMetrics(metrics::Registry& registry)
    : write_seconds_(registry.histogram("ee_db_write_seconds", "Time of a write from its call to its commit.",
                                        metrics::latency_buckets())),
      group_size_(registry.histogram("ee_db_group_size", "Writes that shared one commit.",
                                     {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024})),
      queue_depth_(registry.gauge("ee_db_queue_depth", "Writes that waited when the last group ended.")),
      groups_(registry.counter("ee_db_groups_total", "Groups of writes by what became of them.",
                               {{"result", {"committed", "failed"}}})) {}

void SqliteMetrics::group_finished(std::size_t items, bool committed, Microseconds /*took*/, std::size_t queued) {
  group_size_.observe(static_cast<double>(items));
  queue_depth_.set(static_cast<double>(queued));
  groups_.with({committed ? "committed" : "failed"}).increment();
}

void SqliteMetrics::write_finished(Microseconds took) { write_seconds_.observe(seconds(took)); }

void SqliteMetrics::slow_write(Microseconds took) {
  log::warn("database", "a write held the writer for long", {{"duration_ms", took.count() / 1000}});
}

void SqliteMetrics::group_failed(std::string_view detail) {
  log::error("database", "writes could not be stored", {{"detail", detail}});
}

void watch_wal(metrics::Registry& registry, const SqliteDatabase& database) {
  const auto bytes = registry.gauge("ee_db_wal_bytes", "Size of the write-ahead log.");
  registry.on_collect([bytes, &database] { bytes.set(static_cast<double>(database.wal_bytes())); });
}

}  // namespace ee::db
