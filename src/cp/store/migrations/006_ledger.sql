-- The ledger: lines first, the header seals them (its guards are in schema.cpp). Rate cards.

CREATE TABLE ledger_groups (
  id TEXT PRIMARY KEY,
  kind TEXT NOT NULL,
  idempotency_key TEXT NOT NULL UNIQUE,
  content_sha256 TEXT NOT NULL,
  line_count INTEGER NOT NULL CHECK (line_count >= 2),
  reference_type TEXT,
  reference_id TEXT,
  description TEXT NOT NULL DEFAULT '',
  actor TEXT NOT NULL,
  created_at BIGINT NOT NULL
);
CREATE INDEX ledger_groups_ref ON ledger_groups (reference_type, reference_id);

CREATE TABLE transactions (
  id TEXT PRIMARY KEY,
  group_id TEXT NOT NULL REFERENCES ledger_groups (id) DEFERRABLE INITIALLY DEFERRED,
  line_no INTEGER NOT NULL,
  account_id TEXT NOT NULL REFERENCES accounts (id),
  amount_micros BIGINT NOT NULL CHECK (amount_micros <> 0 AND amount_micros BETWEEN -9000000000000000 AND 9000000000000000),
  tx_type TEXT NOT NULL,
  period_start_at BIGINT,
  reference_type TEXT,
  reference_id TEXT,
  created_at BIGINT NOT NULL,
  UNIQUE (group_id, line_no)
);
CREATE INDEX transactions_account ON transactions (account_id, created_at, id);

-- What the lines of an account sum to in each month (UTC), changed with its balance: what a statement opens with.
CREATE TABLE account_months (
  account_id TEXT NOT NULL REFERENCES accounts (id),
  month_start_at BIGINT NOT NULL,
  amount_micros BIGINT NOT NULL,
  PRIMARY KEY (account_id, month_start_at)
) @without_rowid@;

CREATE TABLE rate_cards (
  version INTEGER PRIMARY KEY,
  effective_at BIGINT NOT NULL UNIQUE,
  card TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  created_by TEXT NOT NULL,
  reason TEXT NOT NULL
);
