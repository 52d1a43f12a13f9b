-- Sign-in: sessions and the throttle of password guesses.

CREATE TABLE admin_sessions (
  id TEXT PRIMARY KEY,
  lookup TEXT NOT NULL UNIQUE,
  secret_hash TEXT NOT NULL,
  auth_method TEXT NOT NULL CHECK (auth_method IN ('password', 'github_oauth')),
  identity TEXT NOT NULL,
  github_id BIGINT,
  github_login TEXT,
  github_orgs TEXT,
  avatar_url TEXT,
  ip TEXT NOT NULL,
  user_agent TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  last_used_at BIGINT NOT NULL,
  revoked_at BIGINT,
  revoked_reason TEXT
);
CREATE INDEX admin_sessions_identity ON admin_sessions (identity, created_at);
CREATE INDEX admin_sessions_exp ON admin_sessions (expires_at);

CREATE TABLE login_throttle (
  bucket TEXT PRIMARY KEY,
  failures INTEGER NOT NULL,
  window_start_at BIGINT NOT NULL,
  locks INTEGER NOT NULL,
  lock_ends_at BIGINT NOT NULL
);
