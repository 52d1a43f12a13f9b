-- Measurements of refused machines whose quote was genuine, for administrators to look at.

CREATE TABLE observed_measurements (
  id TEXT PRIMARY KEY,
  fingerprint TEXT NOT NULL UNIQUE,
  mrtd TEXT NOT NULL,
  rtmr0 TEXT NOT NULL,
  rtmr1 TEXT NOT NULL,
  rtmr2 TEXT NOT NULL,
  rtmr3 TEXT NOT NULL,
  node_size TEXT NOT NULL,
  vm_name TEXT NOT NULL,
  tcb_status TEXT NOT NULL,
  reason_code TEXT NOT NULL,
  count BIGINT NOT NULL,
  first_seen_at BIGINT NOT NULL,
  last_seen_at BIGINT NOT NULL
);
CREATE INDEX observed_measurements_seen ON observed_measurements (last_seen_at);
