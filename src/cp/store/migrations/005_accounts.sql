-- Accounts, their proven GitHub owners, their keys; sign-in through GitHub.

CREATE TABLE accounts (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  description TEXT NOT NULL DEFAULT '',
  account_type TEXT NOT NULL CHECK (account_type IN ('deployer', 'agent', 'contributor', 'launcher', 'system')),
  status TEXT NOT NULL CHECK (status IN ('active', 'suspended', 'closed')),
  status_reason TEXT,
  contact_email TEXT,
  operator_account_id TEXT,
  credit_limit_micros BIGINT NOT NULL DEFAULT 0 CHECK (credit_limit_micros BETWEEN 0 AND 9000000000000),
  spend_limit_micros BIGINT,
  spend_limit_action TEXT NOT NULL DEFAULT 'block' CHECK (spend_limit_action IN ('block', 'stop')),
  oidc_policy TEXT NOT NULL DEFAULT 'owner' CHECK (oidc_policy IN ('owner', 'rules', 'off')),
  created_at BIGINT NOT NULL,
  created_by TEXT NOT NULL,
  updated_at BIGINT NOT NULL,
  closed_at BIGINT,
  version BIGINT NOT NULL DEFAULT 1
);
CREATE UNIQUE INDEX accounts_name ON accounts (name) WHERE status <> 'closed';
CREATE INDEX accounts_list ON accounts (created_at, id);
CREATE INDEX accounts_type ON accounts (account_type, created_at, id);

CREATE TABLE account_balances (
  account_id TEXT PRIMARY KEY REFERENCES accounts (id),
  balance_micros BIGINT NOT NULL DEFAULT 0,
  version BIGINT NOT NULL DEFAULT 0,
  updated_at BIGINT NOT NULL,
  billing_state TEXT NOT NULL DEFAULT 'ok' CHECK (billing_state IN ('ok', 'low', 'grace', 'exhausted')),
  state_since_at BIGINT NOT NULL,
  grace_ends_at BIGINT,
  dispute_hold INTEGER NOT NULL DEFAULT 0,
  verified_version BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX account_balances_state ON account_balances (billing_state, account_id) WHERE billing_state <> 'ok';

CREATE TABLE account_identities (
  github_id BIGINT PRIMARY KEY,
  account_id TEXT NOT NULL REFERENCES accounts (id),
  kind TEXT NOT NULL CHECK (kind IN ('user', 'org')),
  login TEXT NOT NULL,
  login_norm TEXT NOT NULL,
  linked_by TEXT NOT NULL,
  linked_at BIGINT NOT NULL
);
CREATE INDEX account_identities_account ON account_identities (account_id);
CREATE INDEX account_identities_login ON account_identities (login_norm);

CREATE TABLE oidc_rules (
  id TEXT PRIMARY KEY,
  account_id TEXT NOT NULL REFERENCES accounts (id),
  repository TEXT,
  repository_id TEXT,
  ref_glob TEXT,
  environment TEXT,
  workflow TEXT,
  events TEXT,
  created_at BIGINT NOT NULL,
  created_by TEXT NOT NULL
);
CREATE INDEX oidc_rules_account ON oidc_rules (account_id);

CREATE TABLE oidc_token_uses (
  jti TEXT PRIMARY KEY,
  uses INTEGER NOT NULL,
  expires_at BIGINT NOT NULL
);
CREATE INDEX oidc_token_uses_exp ON oidc_token_uses (expires_at);

CREATE TABLE api_keys (
  id TEXT PRIMARY KEY,
  account_id TEXT NOT NULL REFERENCES accounts (id),
  name TEXT NOT NULL,
  lookup TEXT NOT NULL UNIQUE,
  secret_hash TEXT NOT NULL,
  scopes TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  created_by TEXT NOT NULL,
  expires_at BIGINT,
  rotated_from_key_id TEXT,
  last_used_at BIGINT,
  last_used_ip TEXT,
  revoked_at BIGINT,
  revoked_reason TEXT
);
CREATE INDEX api_keys_account ON api_keys (account_id, created_at, id);
CREATE UNIQUE INDEX api_keys_name ON api_keys (account_id, name) WHERE revoked_at IS NULL;

CREATE TABLE oauth_states (
  state_hash TEXT PRIMARY KEY,
  nonce_hash TEXT NOT NULL,
  return_to TEXT NOT NULL,
  link_account_id TEXT,
  created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL
);
CREATE INDEX oauth_states_exp ON oauth_states (expires_at);

-- The fixed accounts of the system: the other side of every ledger group.
INSERT INTO accounts (id, name, account_type, status, oidc_policy, created_at, created_by, updated_at) VALUES
  ('00000000-0000-7000-8000-000000000001', 'sys-platform', 'system', 'active', 'off', @now_ms@, 'system:migration', @now_ms@),
  ('00000000-0000-7000-8000-000000000002', 'sys-stripe', 'system', 'active', 'off', @now_ms@, 'system:migration', @now_ms@),
  ('00000000-0000-7000-8000-000000000003', 'sys-grants', 'system', 'active', 'off', @now_ms@, 'system:migration', @now_ms@),
  ('00000000-0000-7000-8000-000000000004', 'sys-adjustments', 'system', 'active', 'off', @now_ms@, 'system:migration', @now_ms@),
  ('00000000-0000-7000-8000-000000000005', 'sys-payouts', 'system', 'active', 'off', @now_ms@, 'system:migration', @now_ms@),
  ('00000000-0000-7000-8000-000000000006', 'sys-disputes', 'system', 'active', 'off', @now_ms@, 'system:migration', @now_ms@);
INSERT INTO account_balances (account_id, updated_at, state_since_at)
  SELECT id, @now_ms@, @now_ms@ FROM accounts WHERE account_type = 'system';
