-- What ran, at which price, and what was charged for it hour by hour.

CREATE TABLE deployment_segments (
  id TEXT PRIMARY KEY,
  deployment_id TEXT NOT NULL,
  seq INTEGER NOT NULL,
  account_id TEXT NOT NULL REFERENCES accounts (id),
  agent_id TEXT NOT NULL,
  agent_account_id TEXT,
  app_id TEXT,
  vcpus INTEGER NOT NULL,
  memory_mib INTEGER NOT NULL,
  gpu_count INTEGER NOT NULL,
  extra_disk_gib INTEGER NOT NULL DEFAULT 0,
  sla_class TEXT NOT NULL,
  machine_class TEXT NOT NULL DEFAULT 'default',
  datacenter TEXT NOT NULL,
  rate_micros BIGINT NOT NULL CHECK (rate_micros BETWEEN 0 AND 100000000000),
  rate_version INTEGER NOT NULL,
  operator_bps INTEGER NOT NULL CHECK (operator_bps BETWEEN 0 AND 10000),
  pool_bps INTEGER NOT NULL CHECK (pool_bps BETWEEN 0 AND 10000),
  from_at BIGINT NOT NULL,
  to_at BIGINT,
  charged_to_at BIGINT NOT NULL,
  charged_micros BIGINT NOT NULL DEFAULT 0,
  settled INTEGER NOT NULL DEFAULT 0 CHECK (settled IN (0, 1, 2)),
  UNIQUE (deployment_id, seq),
  CHECK (to_at IS NULL OR to_at >= from_at)
);
CREATE UNIQUE INDEX deployment_segments_open ON deployment_segments (deployment_id) WHERE to_at IS NULL;
CREATE INDEX deployment_segments_live ON deployment_segments (account_id, id) WHERE settled = 0;
CREATE INDEX deployment_segments_operator ON deployment_segments (agent_account_id) WHERE settled <> 1;
CREATE INDEX deployment_segments_failed ON deployment_segments (id) WHERE settled = 2;

CREATE TABLE usage_charges (
  account_id TEXT NOT NULL,
  hour_start_at BIGINT NOT NULL,
  segment_id TEXT NOT NULL,
  deployment_id TEXT NOT NULL,
  app_id TEXT,
  billed_ms BIGINT NOT NULL CHECK (billed_ms BETWEEN 1 AND 3600000),
  gross_micros BIGINT NOT NULL,
  operator_micros BIGINT NOT NULL,
  pool_micros BIGINT NOT NULL,
  group_id TEXT NOT NULL,
  PRIMARY KEY (account_id, hour_start_at, segment_id)
) @without_rowid@;

CREATE TABLE usage_daily (
  account_id TEXT NOT NULL,
  day_start_at BIGINT NOT NULL,
  deployment_id TEXT NOT NULL,
  app_id TEXT,
  billed_ms BIGINT NOT NULL,
  gross_micros BIGINT NOT NULL,
  PRIMARY KEY (account_id, day_start_at, deployment_id)
);

CREATE TABLE billing_hours (
  hour_start_at BIGINT PRIMARY KEY,
  status TEXT NOT NULL CHECK (status IN ('charging', 'done', 'waived')),
  cursor_account TEXT NOT NULL DEFAULT '',
  cursor_segment TEXT NOT NULL DEFAULT '',
  rows_charged BIGINT NOT NULL DEFAULT 0,
  gross_micros BIGINT NOT NULL DEFAULT 0,
  started_at BIGINT NOT NULL,
  finished_at BIGINT
);

CREATE TABLE billing_meta (
  id INTEGER PRIMARY KEY CHECK (id=1),
  next_hour_at BIGINT NOT NULL,
  halted INTEGER NOT NULL DEFAULT 0,
  halted_reason TEXT
);

-- The first rate card, in force from the beginning (04 section 7.1); `first_rate_card()` in the code is the same.
INSERT INTO rate_cards (version, effective_at, card, created_at, created_by, reason) VALUES (1, 0,
  '{"vcpu_hour_micros":40000,"memory_gib_hour_micros":5000,"gpu_hour_micros":500000,"storage_gib_month_micros":100000,"sla_milli":{"adhoc":1000,"five_nines":3000,"four_nines":2000,"three_nines":1500},"machine_class_milli":{"default":1000,"h100":10000},"datacenter_milli":{"*":1000}}',
  @now_ms@, 'system:migration', 'the first rate card');
