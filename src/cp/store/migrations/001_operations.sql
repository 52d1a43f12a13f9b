-- Settings, jobs, audit. `schema_migrations` and `meta` are kept by the runner itself.

CREATE TABLE settings (
  key TEXT PRIMARY KEY,
  value TEXT NOT NULL,
  is_secret INTEGER NOT NULL CHECK (is_secret IN (0, 1)),
  version BIGINT NOT NULL,
  updated_by TEXT NOT NULL,
  updated_at BIGINT NOT NULL
);

CREATE TABLE idempotency_keys (
  principal TEXT NOT NULL,
  method TEXT NOT NULL,
  path TEXT NOT NULL,
  key TEXT NOT NULL,
  body_sha256 TEXT NOT NULL,
  status INTEGER,
  response TEXT,
  created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  PRIMARY KEY (principal, method, path, key)
);
CREATE INDEX idempotency_keys_expires ON idempotency_keys (expires_at);

CREATE TABLE jobs (
  name TEXT PRIMARY KEY,
  lease_owner TEXT,
  lease_fence BIGINT NOT NULL DEFAULT 0,
  lease_expires_at BIGINT,
  next_run_at BIGINT NOT NULL,
  run_requested_at BIGINT,
  paused INTEGER NOT NULL DEFAULT 0 CHECK (paused IN (0, 1)),
  last_started_at BIGINT,
  last_finished_at BIGINT,
  last_success_at BIGINT,
  last_outcome TEXT,
  last_duration_ms BIGINT,
  last_error TEXT,
  consecutive_failures INTEGER NOT NULL DEFAULT 0,
  runs_total BIGINT NOT NULL DEFAULT 0,
  failures_total BIGINT NOT NULL DEFAULT 0
);

CREATE TABLE job_runs (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  replica TEXT NOT NULL,
  trigger TEXT NOT NULL CHECK (trigger IN ('schedule', 'manual', 'wake')),
  started_at BIGINT NOT NULL,
  finished_at BIGINT,
  outcome TEXT,
  error TEXT,
  summary TEXT
);
CREATE INDEX job_runs_name ON job_runs (name, started_at);

-- Clean-ups by administrators: at most one runs.
CREATE TABLE cleanup_runs (
  id TEXT PRIMARY KEY,
  status TEXT NOT NULL CHECK (status IN ('running', 'done', 'partial', 'failed', 'cancelled')),
  plan TEXT NOT NULL,
  deleted TEXT NOT NULL,
  failed TEXT NOT NULL,
  skipped TEXT NOT NULL,
  started_at BIGINT NOT NULL,
  finished_at BIGINT,
  requested_by TEXT NOT NULL,
  reason TEXT NOT NULL DEFAULT '',
  lease_expires_at BIGINT,
  cancel_requested INTEGER NOT NULL DEFAULT 0 CHECK (cancel_requested IN (0, 1))
);
CREATE UNIQUE INDEX cleanup_runs_running ON cleanup_runs (status) WHERE status = 'running';
CREATE INDEX cleanup_runs_time ON cleanup_runs (started_at, id);

CREATE TABLE audit_log (
  id TEXT PRIMARY KEY,
  at BIGINT NOT NULL,
  actor TEXT NOT NULL,
  action TEXT NOT NULL,
  object_type TEXT,
  object_id TEXT,
  result TEXT NOT NULL CHECK (result IN ('ok', 'refused', 'failed')),
  reason_code TEXT,
  request_id TEXT,
  client_address TEXT,
  detail TEXT,
  chain TEXT NOT NULL DEFAULT 'main',
  prev_hash TEXT,
  hash TEXT
);
CREATE INDEX audit_log_at ON audit_log (at, id);
CREATE INDEX audit_log_actor ON audit_log (actor, at);
CREATE INDEX audit_log_object ON audit_log (object_type, object_id, at);
CREATE INDEX audit_log_action ON audit_log (action, at);
