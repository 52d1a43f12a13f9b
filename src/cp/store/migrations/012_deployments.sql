-- Deployments and what belongs to them, the names traffic is routed by, and capacity held for somebody.

CREATE TABLE services (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  account_id TEXT NOT NULL REFERENCES accounts (id),
  access TEXT NOT NULL DEFAULT 'account' CHECK (access IN ('public', 'account', 'token')),
  settings TEXT NOT NULL DEFAULT '{}',
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  deleted_at BIGINT,
  last_healthy_at BIGINT,
  row_version BIGINT NOT NULL DEFAULT 1
);
CREATE INDEX services_account ON services (account_id, name);
CREATE INDEX services_deleted ON services (deleted_at) WHERE deleted_at IS NOT NULL;

CREATE TABLE service_tokens (
  id TEXT PRIMARY KEY,
  service_id TEXT NOT NULL REFERENCES services (id) ON DELETE CASCADE,
  label TEXT NOT NULL,
  lookup TEXT NOT NULL UNIQUE,
  secret_hash TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  expires_at BIGINT,
  last_used_at BIGINT,
  revoked_at BIGINT
);
CREATE INDEX service_tokens_service ON service_tokens (service_id, created_at, id);

-- Raised by every transaction that changes what a service's traffic is sent to: readers see that something changed by
-- one row.
CREATE TABLE route_epoch (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  epoch BIGINT NOT NULL
);
INSERT INTO route_epoch (id, epoch) VALUES (1, 1);

CREATE TABLE deployments (
  id TEXT PRIMARY KEY,
  group_id TEXT NOT NULL,
  account_id TEXT NOT NULL REFERENCES accounts (id),
  service_id TEXT NOT NULL REFERENCES services (id),
  state TEXT NOT NULL CHECK (state IN ('pending', 'assigned', 'deploying', 'running', 'updating', 'stopping',
    'stopped', 'failed', 'terminated')),
  final_state TEXT CHECK (final_state IN ('stopped', 'failed', 'terminated')),
  termination_reason TEXT,
  failure_code TEXT,
  failure_detail TEXT,
  agent_id TEXT,
  agent_name TEXT,
  slot_held INTEGER NOT NULL DEFAULT 0 CHECK (slot_held IN (0, 1)),
  assignment_epoch BIGINT NOT NULL DEFAULT 0,
  placement_attempts INTEGER NOT NULL DEFAULT 0,
  current_revision INTEGER NOT NULL,
  target_revision INTEGER NOT NULL,
  auth_method TEXT NOT NULL CHECK (auth_method IN ('api_key', 'github_oidc', 'session')),
  auth_context TEXT,
  node_size TEXT NOT NULL,
  datacenter_policy TEXT NOT NULL,
  vcpus INTEGER,
  memory_mib INTEGER,
  gpu_count INTEGER,
  sla_class TEXT NOT NULL DEFAULT 'adhoc' CHECK (sla_class IN ('adhoc', 'three_nines', 'four_nines', 'five_nines')),
  hourly_micros BIGINT,
  health TEXT NOT NULL DEFAULT 'unknown' CHECK (health IN ('unknown', 'healthy', 'unhealthy')),
  health_changed_at BIGINT,
  on_agent_lost TEXT NOT NULL DEFAULT 'fail' CHECK (on_agent_lost IN ('fail', 'redeploy')),
  replaces_deployment_id TEXT,
  expires_at BIGINT,
  wait_ends_at BIGINT,
  state_deadline_at BIGINT,
  next_action_at BIGINT,
  action_attempts INTEGER NOT NULL DEFAULT 0,
  lease_owner TEXT,
  lease_expires_at BIGINT,
  document_changed INTEGER NOT NULL DEFAULT 0 CHECK (document_changed IN (0, 1)),
  phase TEXT,
  progress TEXT,
  log_tail TEXT,
  workload_gone_at BIGINT,
  reboots INTEGER NOT NULL DEFAULT 0,
  reboots_since_at BIGINT,
  rollback_revision INTEGER,
  migrate_next_at BIGINT,
  billable_from_at BIGINT,
  billable_to_at BIGINT,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  started_at BIGINT,
  running_since_at BIGINT,
  ended_at BIGINT,
  row_version BIGINT NOT NULL DEFAULT 0,
  CHECK ((state IN ('stopped', 'failed', 'terminated')) = (ended_at IS NOT NULL)),
  CHECK (slot_held = 0 OR agent_id IS NOT NULL)
);
-- An agent is held by at most one deployment.
CREATE UNIQUE INDEX deployments_slot ON deployments (agent_id) WHERE slot_held = 1;
CREATE INDEX deployments_account ON deployments (account_id, created_at DESC, id);
-- With the price, so that what an account's deployments cost is summed up without reading their rows.
CREATE INDEX deployments_account_state ON deployments (account_id, state, created_at DESC, id, hourly_micros);
CREATE INDEX deployments_state ON deployments (state, created_at DESC, id);
CREATE INDEX deployments_created ON deployments (created_at DESC, id);
CREATE INDEX deployments_service ON deployments (service_id, state);
CREATE INDEX deployments_next_action ON deployments (next_action_at) WHERE next_action_at IS NOT NULL;
CREATE INDEX deployments_expires ON deployments (expires_at) WHERE expires_at IS NOT NULL AND ended_at IS NULL;
CREATE INDEX deployments_agent ON deployments (agent_id, created_at DESC);
CREATE INDEX deployments_group ON deployments (group_id);
CREATE INDEX deployments_migrate ON deployments (migrate_next_at) WHERE migrate_next_at IS NOT NULL;
CREATE INDEX deployments_replaces ON deployments (replaces_deployment_id) WHERE replaces_deployment_id IS NOT NULL;
CREATE INDEX deployments_ended ON deployments (ended_at) WHERE ended_at IS NOT NULL;

CREATE TABLE deployment_revisions (
  deployment_id TEXT NOT NULL REFERENCES deployments (id) ON DELETE CASCADE,
  revision INTEGER NOT NULL,
  app_id TEXT,
  version_id TEXT,
  app_name TEXT,
  app_version TEXT,
  compose TEXT,
  compose_sha256 TEXT NOT NULL,
  resolved_compose TEXT NOT NULL,
  compose_hash TEXT NOT NULL,
  workload_hash TEXT NOT NULL,
  images TEXT NOT NULL,
  ingress TEXT NOT NULL,
  env TEXT NOT NULL,
  health_path TEXT NOT NULL,
  deploy_timeout_seconds INTEGER NOT NULL,
  created_by TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  outcome TEXT NOT NULL CHECK (outcome IN ('pending', 'active', 'superseded', 'failed', 'rolled_back')),
  PRIMARY KEY (deployment_id, revision)
);
CREATE INDEX deployment_revisions_app ON deployment_revisions (app_id, version_id) WHERE app_id IS NOT NULL;

-- SHA-256 of the documents of revisions that are not kept any more: an agent may still have measured one.
CREATE TABLE deployment_past_documents (
  deployment_id TEXT NOT NULL REFERENCES deployments (id) ON DELETE CASCADE,
  compose_sha256 TEXT NOT NULL,
  PRIMARY KEY (deployment_id, compose_sha256)
);

CREATE TABLE deployment_secrets (
  deployment_id TEXT NOT NULL REFERENCES deployments (id) ON DELETE CASCADE,
  revision INTEGER NOT NULL,
  name TEXT NOT NULL,
  as_kind TEXT NOT NULL CHECK (as_kind IN ('env', 'file')),
  key_id TEXT NOT NULL,
  sealed TEXT NOT NULL,
  PRIMARY KEY (deployment_id, revision, name)
);

CREATE TABLE deployment_events (
  deployment_id TEXT NOT NULL REFERENCES deployments (id) ON DELETE CASCADE,
  seq BIGINT NOT NULL,
  at BIGINT NOT NULL,
  kind TEXT NOT NULL,
  from_state TEXT,
  to_state TEXT,
  actor TEXT NOT NULL,
  reason TEXT,
  detail TEXT NOT NULL DEFAULT '{}',
  request_id TEXT,
  PRIMARY KEY (deployment_id, seq)
);

CREATE TABLE capacity_pool_targets (
  id TEXT PRIMARY KEY,
  datacenter TEXT NOT NULL,
  node_size TEXT NOT NULL,
  account_id TEXT REFERENCES accounts (id),
  warm_count INTEGER NOT NULL CHECK (warm_count BETWEEN 0 AND 1000),
  max_count INTEGER CHECK (max_count BETWEEN 0 AND 10000),
  enabled INTEGER NOT NULL DEFAULT 1,
  dispatch INTEGER NOT NULL DEFAULT 1,
  serve_pending INTEGER NOT NULL DEFAULT 1,
  require_hostname INTEGER NOT NULL DEFAULT 1,
  fallback_zones TEXT NOT NULL DEFAULT '[]',
  reason TEXT NOT NULL DEFAULT '',
  breaker_reset_at BIGINT NOT NULL DEFAULT 0,
  months INTEGER,
  paid_micros BIGINT,
  simulated INTEGER NOT NULL DEFAULT 0,
  delivered_count INTEGER NOT NULL DEFAULT 0,
  refunded_micros BIGINT NOT NULL DEFAULT 0,
  ledger_ref TEXT UNIQUE,
  delivery_due_at BIGINT,
  expires_at BIGINT,
  version BIGINT NOT NULL DEFAULT 1,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX capacity_pool_targets_shared ON capacity_pool_targets (datacenter, node_size)
  WHERE account_id IS NULL;
CREATE INDEX capacity_pool_targets_account ON capacity_pool_targets (account_id, created_at, id);
CREATE INDEX capacity_pool_targets_expires ON capacity_pool_targets (expires_at) WHERE expires_at IS NOT NULL;

-- `agent_id` is a soft reference: agents are purged. `account_id` is a copy of the target's.
CREATE TABLE capacity_reservations (
  id TEXT PRIMARY KEY,
  agent_id TEXT NOT NULL,
  target_id TEXT REFERENCES capacity_pool_targets (id),
  account_id TEXT,
  datacenter TEXT NOT NULL,
  node_size TEXT NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('open', 'consumed', 'released', 'expired')),
  deployment_id TEXT,
  unfit_since_at BIGINT,
  end_reason TEXT,
  created_at BIGINT NOT NULL,
  consumed_at BIGINT,
  ended_at BIGINT,
  updated_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX capacity_reservations_agent ON capacity_reservations (agent_id)
  WHERE status IN ('open', 'consumed');
CREATE UNIQUE INDEX capacity_reservations_deployment ON capacity_reservations (deployment_id)
  WHERE status = 'consumed';
CREATE INDEX capacity_reservations_pool ON capacity_reservations (datacenter, node_size, status);
CREATE INDEX capacity_reservations_target ON capacity_reservations (target_id, status);
CREATE INDEX capacity_reservations_status ON capacity_reservations (status, created_at, id);
