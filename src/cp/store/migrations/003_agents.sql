-- Agents: the cold row (changes on events), the hot row (heartbeats), credentials, the last accepted evidence.

CREATE TABLE agents (
  id TEXT PRIMARY KEY,
  vm_name TEXT NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('undeployed', 'deploying', 'deployed', 'undeploying', 'quarantined',
    'deleting', 'deleted')),
  quarantine_reason TEXT CHECK (quarantine_reason IN ('attestation_failed', 'agent_lost', 'stop_unconfirmed',
    'dispatch_refused')),
  health_status TEXT NOT NULL DEFAULT 'unknown' CHECK (health_status IN ('unknown', 'healthy', 'unhealthy')),
  health_reason TEXT,
  health_changed_at BIGINT NOT NULL,
  unhealthy_since_at BIGINT,
  attestation_state TEXT NOT NULL CHECK (attestation_state IN ('verified', 'stale', 'failed')),
  draining INTEGER NOT NULL DEFAULT 0 CHECK (draining IN (0, 1)),
  drain_reason TEXT,
  registration_id TEXT NOT NULL,
  boot_id TEXT NOT NULL,
  current_deployment_id TEXT,
  assignment_epoch BIGINT NOT NULL DEFAULT 0,
  deployed_app TEXT,
  placement_key TEXT NOT NULL,
  placement_scope TEXT NOT NULL CHECK (placement_scope IN ('public', 'private')),
  idle_since_at BIGINT,
  signing_key TEXT NOT NULL,
  sealing_key TEXT NOT NULL,
  mrtd TEXT NOT NULL,
  rtmrs TEXT NOT NULL,
  tcb_status TEXT NOT NULL,
  evidence_kind TEXT NOT NULL CHECK (evidence_kind IN ('dcap', 'ita', 'emulated')),
  attestation_summary TEXT NOT NULL,
  attested_at BIGINT NOT NULL,
  attestation_due_at BIGINT NOT NULL,
  attestation_error TEXT,
  attest_requested_at BIGINT,
  node_size TEXT NOT NULL,
  datacenter TEXT NOT NULL,
  cloud TEXT NOT NULL,
  agent_version TEXT NOT NULL,
  vcpus INTEGER NOT NULL,
  memory_mib INTEGER NOT NULL,
  disk_mib INTEGER NOT NULL,
  gpu_count INTEGER NOT NULL,
  account_id TEXT,
  github_owner_id BIGINT,
  github_owner TEXT,
  launch_order_id TEXT,
  enrollment_token_id TEXT,
  tunnel_state TEXT NOT NULL DEFAULT 'none' CHECK (tunnel_state IN ('none', 'placeholder', 'pending', 'provisioning',
    'ready', 'failed', 'deleting')),
  hostname TEXT,
  tunnel_name TEXT,
  tunnel_id TEXT,
  dns_record_id TEXT,
  tunnel_token TEXT,
  tunnel_attempts INTEGER NOT NULL DEFAULT 0,
  tunnel_next_attempt_at BIGINT,
  tunnel_error TEXT,
  tunnel_reachable INTEGER CHECK (tunnel_reachable IN (0, 1)),
  direct_url TEXT,
  registered_at BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  deleted_at BIGINT,
  delete_reason TEXT CHECK (delete_reason IN ('owner', 'admin', 'stale', 'capacity')),
  cleanup_attempts INTEGER NOT NULL DEFAULT 0,
  cleanup_next_attempt_at BIGINT,
  row_version BIGINT NOT NULL DEFAULT 1,
  CHECK ((status = 'quarantined') = (quarantine_reason IS NOT NULL))
);
CREATE UNIQUE INDEX agents_vm_name ON agents (vm_name) WHERE status <> 'deleted';
CREATE INDEX agents_former_vm_name ON agents (vm_name) WHERE status = 'deleted';
CREATE UNIQUE INDEX agents_hostname ON agents (hostname) WHERE hostname IS NOT NULL;
CREATE INDEX agents_account ON agents (account_id, id);
CREATE INDEX agents_github_owner ON agents (github_owner_id, id);
CREATE INDEX agents_status ON agents (status, id);
CREATE INDEX agents_placement ON agents (placement_key, node_size, datacenter, idle_since_at, id)
  WHERE status = 'undeployed' AND attestation_state = 'verified' AND health_status = 'healthy'
    AND hostname IS NOT NULL AND current_deployment_id IS NULL;
CREATE INDEX agents_attestation_due ON agents (attestation_due_at) WHERE status NOT IN ('deleting', 'deleted');
CREATE INDEX agents_tunnel_next ON agents (tunnel_next_attempt_at)
  WHERE tunnel_state IN ('pending', 'failed', 'provisioning', 'deleting');
CREATE INDEX agents_tunnel ON agents (tunnel_id) WHERE tunnel_id IS NOT NULL;
-- These two begin with the status, although it is constant in them: else SQLite prefers agents_status and sorts.
CREATE INDEX agents_cleanup_next ON agents (status, cleanup_next_attempt_at) WHERE status = 'deleting';
CREATE INDEX agents_updated ON agents (updated_at, id);
CREATE INDEX agents_deleted ON agents (status, deleted_at) WHERE status = 'deleted';
CREATE INDEX agents_current_deployment ON agents (current_deployment_id) WHERE current_deployment_id IS NOT NULL;

CREATE TABLE agent_live (
  agent_id TEXT PRIMARY KEY,
  last_heartbeat_at BIGINT NOT NULL,
  seq BIGINT NOT NULL,
  bad_streak INTEGER NOT NULL,
  good_streak INTEGER NOT NULL,
  stats TEXT
);

CREATE TABLE agent_control_credentials (
  id TEXT PRIMARY KEY,
  agent_id TEXT NOT NULL,
  lookup TEXT NOT NULL UNIQUE,
  secret_hash TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('active', 'retiring', 'revoked')),
  created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  retire_at BIGINT,
  last_used_at BIGINT
);
CREATE INDEX agent_control_credentials_agent ON agent_control_credentials (agent_id);
CREATE UNIQUE INDEX agent_control_credentials_active ON agent_control_credentials (agent_id) WHERE state = 'active';
CREATE UNIQUE INDEX agent_control_credentials_retiring ON agent_control_credentials (agent_id)
  WHERE state = 'retiring';

CREATE TABLE agent_evidence (
  agent_id TEXT PRIMARY KEY REFERENCES agents (id) ON DELETE CASCADE,
  kind TEXT NOT NULL,
  quote TEXT NOT NULL,
  preimage TEXT NOT NULL,
  mrtd TEXT NOT NULL,
  rtmr0 TEXT NOT NULL,
  rtmr1 TEXT NOT NULL,
  rtmr2 TEXT NOT NULL,
  rtmr3 TEXT NOT NULL,
  td_attributes TEXT NOT NULL,
  tcb_status TEXT NOT NULL,
  fmspc TEXT,
  node_size TEXT NOT NULL,
  binding TEXT NOT NULL,
  advisory_ids TEXT NOT NULL,
  warnings TEXT NOT NULL,
  policy_snapshot TEXT NOT NULL,
  rtmr_profile_id TEXT,
  verifier_mode TEXT NOT NULL,
  policy_version BIGINT NOT NULL,
  attested_at BIGINT NOT NULL,
  audit_id TEXT NOT NULL
);
CREATE INDEX agent_evidence_policy ON agent_evidence (policy_version);
CREATE INDEX agent_evidence_mrtd ON agent_evidence (mrtd);
