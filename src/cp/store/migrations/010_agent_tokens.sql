-- Enrolment tokens: by these an account's own machines register as its agents.

CREATE TABLE agent_enrollment_tokens (
  id TEXT PRIMARY KEY,
  account_id TEXT NOT NULL REFERENCES accounts (id),
  lookup TEXT NOT NULL UNIQUE,
  secret_hash TEXT NOT NULL,
  github_owner_id BIGINT,
  github_owner TEXT,
  node_size TEXT,
  datacenter TEXT,
  max_agents INTEGER NOT NULL CHECK (max_agents BETWEEN 1 AND 1000),
  used_agents INTEGER NOT NULL DEFAULT 0 CHECK (used_agents BETWEEN 0 AND max_agents),
  expires_at BIGINT NOT NULL,
  revoked_at BIGINT,
  created_at BIGINT NOT NULL,
  created_by TEXT NOT NULL
);
CREATE INDEX agent_enrollment_tokens_account ON agent_enrollment_tokens (account_id, id);
CREATE INDEX agent_enrollment_tokens_expires ON agent_enrollment_tokens (expires_at);
CREATE INDEX agent_enrollment_tokens_revoked ON agent_enrollment_tokens (revoked_at) WHERE revoked_at IS NOT NULL;
