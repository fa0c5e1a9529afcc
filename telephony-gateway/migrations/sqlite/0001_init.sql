-- Identifiers are UUIDs (16 bytes), times microseconds since 1970 (UTC), documents JSON. The same tables as for PostgreSQL.

CREATE TABLE organization (
    id BLOB NOT NULL PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    max_concurrent_calls INTEGER NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

-- Stored configurations of an organization, by key; carrier accounts have the key TELEPHONY_CONFIGURATION. The value is encrypted.
CREATE TABLE organization_configuration (
    id BLOB NOT NULL PRIMARY KEY,
    organization_id BLOB NOT NULL REFERENCES organization (id) ON DELETE CASCADE,
    key TEXT NOT NULL,
    name TEXT NOT NULL,
    provider TEXT NOT NULL,
    -- What the carrier calls the account: finds the account of a webhook. No secret.
    account_id TEXT,
    -- The caller ID of calls that name none.
    default_from TEXT,
    is_default INTEGER NOT NULL,
    value BLOB NOT NULL,
    value_key TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (organization_id, key, name)
) STRICT;
CREATE UNIQUE INDEX organization_configuration_default
    ON organization_configuration (organization_id, key) WHERE is_default = 1;
CREATE INDEX organization_configuration_account ON organization_configuration (provider, account_id);

CREATE TABLE workflow (
    id BLOB NOT NULL PRIMARY KEY,
    organization_id BLOB NOT NULL REFERENCES organization (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    agent TEXT NOT NULL,
    record INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (organization_id, name)
) STRICT;

CREATE TABLE phone_number (
    id BLOB NOT NULL PRIMARY KEY,
    organization_id BLOB NOT NULL REFERENCES organization (id) ON DELETE CASCADE,
    configuration_id BLOB NOT NULL REFERENCES organization_configuration (id) ON DELETE CASCADE,
    -- In E.164, with +.
    number TEXT NOT NULL,
    label TEXT,
    country TEXT,
    provider_id TEXT,
    -- The workflow that answers it.
    workflow_id BLOB REFERENCES workflow (id) ON DELETE SET NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (configuration_id, number)
) STRICT;
CREATE INDEX phone_number_number ON phone_number (number);

-- One call, from our point of view. It exists before the carrier is asked for it.
CREATE TABLE workflow_run (
    id BLOB NOT NULL PRIMARY KEY,
    organization_id BLOB NOT NULL REFERENCES organization (id) ON DELETE CASCADE,
    -- The run outlives both: what was done stays written.
    workflow_id BLOB REFERENCES workflow (id) ON DELETE SET NULL,
    configuration_id BLOB REFERENCES organization_configuration (id) ON DELETE SET NULL,
    provider TEXT NOT NULL,
    direction TEXT NOT NULL,
    from_address TEXT NOT NULL,
    to_address TEXT NOT NULL,
    -- Of an outbound call: intended, accepted, refused, unknown. Of an inbound one: received.
    dial_state TEXT NOT NULL,
    dial_error TEXT,
    -- How the carrier knows the call.
    call_id TEXT,
    call_ref TEXT NOT NULL,
    -- What the events add up to: the status by itself, and all of it.
    status TEXT,
    summary TEXT NOT NULL,
    -- Whether no event is expected to move it any more.
    is_over INTEGER NOT NULL,
    -- pending, rated, unsupported, given_up.
    cost_state TEXT NOT NULL,
    -- none, open, closed; and what went over the socket.
    media_state TEXT NOT NULL,
    media TEXT,
    -- The file of the recording, in the folder of recordings.
    recording TEXT,
    options TEXT NOT NULL,
    idempotency_key TEXT,
    request_hash TEXT,
    -- Raised by every change.
    version INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    ended_at INTEGER,
    -- From when on the carrier may be asked again how the call is, and what it cost: who moves it asks.
    look_at INTEGER NOT NULL DEFAULT 0,
    price_at INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE UNIQUE INDEX workflow_run_idempotency ON workflow_run (organization_id, idempotency_key)
    WHERE idempotency_key IS NOT NULL;
CREATE INDEX workflow_run_of_organization ON workflow_run (organization_id, id);
CREATE INDEX workflow_run_call ON workflow_run (configuration_id, call_id);
CREATE INDEX workflow_run_open ON workflow_run (is_over, look_at);
CREATE INDEX workflow_run_unrated ON workflow_run (price_at) WHERE cost_state = 'pending';

-- The ledger: rows are added and never changed.
CREATE TABLE call_event (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    run_id BLOB NOT NULL REFERENCES workflow_run (id) ON DELETE CASCADE,
    dedupe_key TEXT NOT NULL,
    kind TEXT NOT NULL,
    event TEXT NOT NULL,
    -- Where it came from: webhook, rest, media, gateway.
    source TEXT NOT NULL,
    occurred_at INTEGER,
    received_at INTEGER NOT NULL,
    UNIQUE (run_id, dedupe_key)
) STRICT;

-- One-time tokens of media sockets, by their SHA-256.
CREATE TABLE media_token (
    hash TEXT NOT NULL PRIMARY KEY,
    run_id BLOB NOT NULL REFERENCES workflow_run (id) ON DELETE CASCADE,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    redeemed_at INTEGER
) STRICT;

-- Places for calls at the same time: a lease for each, which lapses unless it is renewed.
CREATE TABLE call_slot (
    run_id BLOB NOT NULL PRIMARY KEY REFERENCES workflow_run (id) ON DELETE CASCADE,
    organization_id BLOB NOT NULL REFERENCES organization (id) ON DELETE CASCADE,
    expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX call_slot_of_organization ON call_slot (organization_id, expires_at);

CREATE TABLE api_token (
    id BLOB NOT NULL PRIMARY KEY,
    organization_id BLOB NOT NULL REFERENCES organization (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    hash TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    last_used_at INTEGER,
    revoked_at INTEGER
) STRICT;

-- What signs a browser in: links that work once, and sessions, both by their SHA-256.
CREATE TABLE sign_in_token (
    hash TEXT NOT NULL PRIMARY KEY,
    organization_id BLOB NOT NULL REFERENCES organization (id) ON DELETE CASCADE,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    used_at INTEGER
) STRICT;
CREATE TABLE session (
    hash TEXT NOT NULL PRIMARY KEY,
    organization_id BLOB NOT NULL REFERENCES organization (id) ON DELETE CASCADE,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
