-- Identifiers are UUIDs, times microseconds since 1970 (UTC), documents JSON. The same tables as for SQLite.

CREATE TABLE organization (
    id UUID NOT NULL PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    max_concurrent_calls BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);

-- Stored configurations of an organization, by key; carrier accounts have the key TELEPHONY_CONFIGURATION. The value is encrypted.
CREATE TABLE organization_configuration (
    id UUID NOT NULL PRIMARY KEY,
    organization_id UUID NOT NULL REFERENCES organization (id) ON DELETE CASCADE,
    key TEXT NOT NULL,
    name TEXT NOT NULL,
    provider TEXT NOT NULL,
    -- What the carrier calls the account: finds the account of a webhook. No secret.
    account_id TEXT,
    -- The caller ID of calls that name none.
    default_from TEXT,
    is_default BOOLEAN NOT NULL,
    value BYTEA NOT NULL,
    value_key TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (organization_id, key, name)
);
CREATE UNIQUE INDEX organization_configuration_default
    ON organization_configuration (organization_id, key) WHERE is_default;
CREATE INDEX organization_configuration_account ON organization_configuration (provider, account_id);

CREATE TABLE workflow (
    id UUID NOT NULL PRIMARY KEY,
    organization_id UUID NOT NULL REFERENCES organization (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    agent TEXT NOT NULL,
    record BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (organization_id, name)
);

CREATE TABLE phone_number (
    id UUID NOT NULL PRIMARY KEY,
    organization_id UUID NOT NULL REFERENCES organization (id) ON DELETE CASCADE,
    configuration_id UUID NOT NULL REFERENCES organization_configuration (id) ON DELETE CASCADE,
    -- In E.164, with +.
    number TEXT NOT NULL,
    label TEXT,
    country TEXT,
    provider_id TEXT,
    -- The workflow that answers it.
    workflow_id UUID REFERENCES workflow (id) ON DELETE SET NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (configuration_id, number)
);
CREATE INDEX phone_number_number ON phone_number (number);

-- One call, from our point of view. It exists before the carrier is asked for it.
CREATE TABLE workflow_run (
    id UUID NOT NULL PRIMARY KEY,
    organization_id UUID NOT NULL REFERENCES organization (id) ON DELETE CASCADE,
    -- The run outlives both: what was done stays written.
    workflow_id UUID REFERENCES workflow (id) ON DELETE SET NULL,
    configuration_id UUID REFERENCES organization_configuration (id) ON DELETE SET NULL,
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
    is_over BOOLEAN NOT NULL,
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
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    ended_at BIGINT,
    -- From when on the carrier may be asked again how the call is, and what it cost: who moves it asks.
    look_at BIGINT NOT NULL DEFAULT 0,
    price_at BIGINT NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX workflow_run_idempotency ON workflow_run (organization_id, idempotency_key)
    WHERE idempotency_key IS NOT NULL;
CREATE INDEX workflow_run_of_organization ON workflow_run (organization_id, id);
CREATE INDEX workflow_run_call ON workflow_run (configuration_id, call_id);
CREATE INDEX workflow_run_open ON workflow_run (is_over, look_at);
CREATE INDEX workflow_run_unrated ON workflow_run (price_at) WHERE cost_state = 'pending';

-- The ledger: rows are added and never changed.
CREATE TABLE call_event (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id UUID NOT NULL REFERENCES workflow_run (id) ON DELETE CASCADE,
    dedupe_key TEXT NOT NULL,
    kind TEXT NOT NULL,
    event TEXT NOT NULL,
    -- Where it came from: webhook, rest, media, gateway.
    source TEXT NOT NULL,
    occurred_at BIGINT,
    received_at BIGINT NOT NULL,
    UNIQUE (run_id, dedupe_key)
);

-- One-time tokens of media sockets, by their SHA-256.
CREATE TABLE media_token (
    hash TEXT NOT NULL PRIMARY KEY,
    run_id UUID NOT NULL REFERENCES workflow_run (id) ON DELETE CASCADE,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    redeemed_at BIGINT
);

-- Places for calls at the same time: a lease for each, which lapses unless it is renewed.
CREATE TABLE call_slot (
    run_id UUID NOT NULL PRIMARY KEY REFERENCES workflow_run (id) ON DELETE CASCADE,
    organization_id UUID NOT NULL REFERENCES organization (id) ON DELETE CASCADE,
    expires_at BIGINT NOT NULL
);
CREATE INDEX call_slot_of_organization ON call_slot (organization_id, expires_at);

CREATE TABLE api_token (
    id UUID NOT NULL PRIMARY KEY,
    organization_id UUID NOT NULL REFERENCES organization (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    hash TEXT NOT NULL UNIQUE,
    created_at BIGINT NOT NULL,
    last_used_at BIGINT,
    revoked_at BIGINT
);

-- What signs a browser in: links that work once, and sessions, both by their SHA-256.
CREATE TABLE sign_in_token (
    hash TEXT NOT NULL PRIMARY KEY,
    organization_id UUID NOT NULL REFERENCES organization (id) ON DELETE CASCADE,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at BIGINT
);
CREATE TABLE session (
    hash TEXT NOT NULL PRIMARY KEY,
    organization_id UUID NOT NULL REFERENCES organization (id) ON DELETE CASCADE,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
