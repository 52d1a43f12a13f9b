-- Used nonces, what is trusted, collateral, and the record of every decision.

CREATE TABLE attestation_nonces (
  nonce_hash TEXT PRIMARY KEY,
  purpose TEXT NOT NULL CHECK (purpose IN ('register', 'refresh')),
  vm_name TEXT NOT NULL,
  agent_id TEXT,
  expires_at BIGINT NOT NULL,
  consumed_at BIGINT NOT NULL,
  consumed_by TEXT NOT NULL
);
CREATE INDEX attestation_nonces_expires ON attestation_nonces (expires_at);

CREATE TABLE trusted_mrtds (
  mrtd TEXT PRIMARY KEY,
  kind TEXT NOT NULL CHECK (kind IN ('agent', 'control_plane')),
  note TEXT NOT NULL DEFAULT '',
  enabled INTEGER NOT NULL CHECK (enabled IN (0, 1)),
  expires_at BIGINT,
  version BIGINT NOT NULL,
  created_by TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL
);
CREATE INDEX trusted_mrtds_kind ON trusted_mrtds (kind, enabled);

CREATE TABLE trusted_rtmr_profiles (
  id TEXT PRIMARY KEY,
  mrtd TEXT NOT NULL REFERENCES trusted_mrtds (mrtd) ON DELETE CASCADE,
  name TEXT NOT NULL,
  node_size TEXT,
  rtmr0 TEXT,
  rtmr1 TEXT,
  rtmr2 TEXT,
  rtmr3 TEXT,
  event_digests TEXT,
  enabled INTEGER NOT NULL CHECK (enabled IN (0, 1)),
  expires_at BIGINT,
  version BIGINT NOT NULL,
  created_by TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  UNIQUE (mrtd, name),
  CHECK (rtmr0 IS NOT NULL OR rtmr1 IS NOT NULL OR rtmr2 IS NOT NULL OR rtmr3 IS NOT NULL)
);
CREATE INDEX trusted_rtmr_profiles_mrtd ON trusted_rtmr_profiles (mrtd, node_size);

CREATE TABLE attestation_audit (
  id TEXT PRIMARY KEY,
  at BIGINT NOT NULL,
  event TEXT NOT NULL CHECK (event IN ('registration_attestation_accepted', 'registration_attestation_rejected',
    'refresh_attestation_accepted', 'refresh_attestation_rejected', 'trust_entry_added', 'trust_entry_changed',
    'trust_entry_removed', 'attestation_policy_changed', 'policy_relaxed')),
  request_id TEXT,
  result TEXT NOT NULL CHECK (result IN ('accepted', 'rejected', 'info')),
  reason_code TEXT,
  warnings TEXT,
  agent_id TEXT,
  vm_name TEXT,
  actor TEXT,
  source_ip TEXT,
  purpose TEXT,
  nonce_id TEXT,
  quote_sha256 TEXT,
  mrtd TEXT,
  rtmr0 TEXT,
  rtmr1 TEXT,
  rtmr2 TEXT,
  rtmr3 TEXT,
  td_attributes TEXT,
  tcb_status TEXT,
  fmspc TEXT,
  advisory_ids TEXT,
  ita_token_sha256 TEXT,
  verifier_mode TEXT,
  policy_snapshot TEXT,
  details TEXT,
  duration_ms BIGINT
);
CREATE INDEX attestation_audit_at ON attestation_audit (at, id);
CREATE INDEX attestation_audit_agent ON attestation_audit (agent_id, at) WHERE agent_id IS NOT NULL;
CREATE INDEX attestation_audit_reason ON attestation_audit (reason_code, at);
CREATE INDEX attestation_audit_mrtd ON attestation_audit (mrtd, at) WHERE mrtd IS NOT NULL;

CREATE TABLE attestation_collateral (
  cache_key TEXT PRIMARY KEY,
  body TEXT NOT NULL,
  issuer_chain TEXT,
  issue_at BIGINT,
  next_update_at BIGINT,
  fetched_at BIGINT NOT NULL,
  eval_number BIGINT
);
