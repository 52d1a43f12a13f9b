-- Deposits, and what Stripe told of them.

CREATE TABLE deposits (
  id TEXT PRIMARY KEY,
  account_id TEXT NOT NULL REFERENCES accounts (id),
  amount_micros BIGINT NOT NULL CHECK (amount_micros > 0 AND amount_micros % 10000 = 0),
  status TEXT NOT NULL CHECK (status IN ('creating', 'requires_payment', 'processing', 'succeeded', 'canceled', 'failed')),
  payment_intent_id TEXT UNIQUE,
  livemode INTEGER,
  received_micros BIGINT NOT NULL DEFAULT 0,
  refunded_micros BIGINT NOT NULL DEFAULT 0,
  disputed_micros BIGINT NOT NULL DEFAULT 0,
  last_error TEXT,
  group_id TEXT,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  next_check_at BIGINT
);
CREATE INDEX deposits_account ON deposits (account_id, created_at, id);
CREATE INDEX deposits_check ON deposits (next_check_at) WHERE next_check_at IS NOT NULL;

CREATE TABLE stripe_objects (
  id TEXT PRIMARY KEY,
  kind TEXT NOT NULL,
  deposit_id TEXT,
  amount_micros BIGINT NOT NULL,
  status TEXT NOT NULL,
  -- what the ledger holds of it: nothing, the money taken from the account, or that given back again
  money TEXT NOT NULL DEFAULT 'none' CHECK (money IN ('none', 'out', 'back')),
  -- of a dispute: how often its funds were withdrawn, and when Stripe says that they moved last
  withdrawals INTEGER NOT NULL DEFAULT 0,
  moved_at BIGINT,
  updated_at BIGINT NOT NULL
);
CREATE INDEX stripe_objects_deposit ON stripe_objects (deposit_id);

CREATE TABLE stripe_events (
  id TEXT PRIMARY KEY,
  type TEXT NOT NULL,
  object_id TEXT NOT NULL,
  event_created_at BIGINT NOT NULL,
  received_at BIGINT NOT NULL,
  outcome TEXT NOT NULL CHECK (outcome IN ('processed', 'ignored', 'unmatched')),
  detail TEXT
);
CREATE INDEX stripe_events_time ON stripe_events (received_at);
