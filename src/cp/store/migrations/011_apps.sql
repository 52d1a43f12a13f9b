-- The catalogue: apps, their versions and the queue that measures them, and who has a share of what an app earns. What
-- of a version and of a list of shares may never change is guarded by triggers (schema.cpp).

CREATE TABLE apps (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  owner_account_id TEXT NOT NULL REFERENCES accounts (id),
  description TEXT NOT NULL DEFAULT '',
  source_repo TEXT,
  maintainers TEXT NOT NULL DEFAULT '[]',
  tags TEXT NOT NULL DEFAULT '[]',
  visibility TEXT NOT NULL DEFAULT 'public' CHECK (visibility IN ('public', 'private')),
  signature_mode TEXT CHECK (signature_mode IN ('strict', 'warn', 'disabled')),
  signer_identity_regexp TEXT,
  signer_issuer TEXT,
  shares_version INTEGER NOT NULL DEFAULT 0,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  archived_at BIGINT
);
CREATE INDEX apps_owner ON apps (owner_account_id, name);
CREATE INDEX apps_list ON apps (created_at, id);

-- The same tags as in `apps.tags`, for the filter.
CREATE TABLE app_tags (
  tag TEXT NOT NULL,
  app_id TEXT NOT NULL REFERENCES apps (id),
  PRIMARY KEY (tag, app_id)
);
CREATE INDEX app_tags_app ON app_tags (app_id);

CREATE TABLE app_versions (
  id TEXT PRIMARY KEY,
  app_id TEXT NOT NULL REFERENCES apps (id),
  version TEXT NOT NULL,
  node_size TEXT NOT NULL DEFAULT '',
  compose TEXT NOT NULL,
  compose_sha256 TEXT NOT NULL,
  ingress TEXT,
  health_path TEXT,
  declared_digests TEXT,
  source_commit TEXT,
  source_tag TEXT,
  status TEXT NOT NULL CHECK (status IN ('pending', 'measuring', 'attested', 'rejected', 'yanked')),
  rejection_code TEXT,
  rejection_detail TEXT,
  resolved_compose TEXT,
  images TEXT,
  compose_hash TEXT,
  workload_hash TEXT,
  measurement TEXT,
  mrtd TEXT,
  published_by TEXT NOT NULL,
  publish_context TEXT,
  published_at BIGINT NOT NULL,
  attested_at BIGINT,
  yanked_at BIGINT,
  attempts INTEGER NOT NULL DEFAULT 0,
  next_attempt_at BIGINT NOT NULL,
  lease_owner TEXT,
  lease_seq BIGINT NOT NULL DEFAULT 0,
  lease_expires_at BIGINT,
  -- SHA-256 of the report of an external measurer that ended the lease: the same report again is answered the same.
  report_sha256 TEXT,
  UNIQUE (app_id, version, node_size),
  CHECK (status NOT IN ('attested', 'yanked') OR (resolved_compose IS NOT NULL AND images IS NOT NULL AND
    compose_hash IS NOT NULL AND workload_hash IS NOT NULL AND measurement IS NOT NULL AND attested_at IS NOT NULL)),
  CHECK ((status = 'rejected') = (rejection_code IS NOT NULL)),
  CHECK (status <> 'measuring' OR lease_expires_at IS NOT NULL)
);
CREATE INDEX app_versions_published ON app_versions (app_id, published_at DESC, id);
CREATE INDEX app_versions_queue ON app_versions (next_attempt_at) WHERE status IN ('pending', 'measuring');

CREATE TABLE app_share_sets (
  id TEXT PRIMARY KEY,
  app_id TEXT NOT NULL REFERENCES apps (id),
  set_version INTEGER NOT NULL CHECK (set_version >= 1),
  effective_at BIGINT NOT NULL CHECK (effective_at % 3600000 = 0),
  total_bps INTEGER NOT NULL CHECK (total_bps BETWEEN 0 AND 10000),
  created_at BIGINT NOT NULL,
  created_by TEXT NOT NULL,
  UNIQUE (app_id, set_version)
);
CREATE INDEX app_share_sets_effective ON app_share_sets (app_id, effective_at);

CREATE TABLE app_revenue_shares (
  id TEXT PRIMARY KEY,
  app_id TEXT NOT NULL REFERENCES apps (id),
  set_id TEXT NOT NULL REFERENCES app_share_sets (id),
  account_id TEXT NOT NULL REFERENCES accounts (id),
  share_bps INTEGER NOT NULL CHECK (share_bps BETWEEN 1 AND 10000),
  label TEXT NOT NULL DEFAULT '',
  position INTEGER NOT NULL,
  created_at BIGINT NOT NULL,
  created_by TEXT NOT NULL,
  UNIQUE (set_id, account_id)
);
CREATE INDEX app_revenue_shares_app ON app_revenue_shares (app_id);
CREATE INDEX app_revenue_shares_account ON app_revenue_shares (account_id);
