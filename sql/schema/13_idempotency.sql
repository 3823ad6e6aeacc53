-- Replies to requests that carried an Idempotency-Key.

CREATE TABLE IF NOT EXISTS saleshub.idempotency (
    org_id       uuid NOT NULL,
    member_id    uuid NOT NULL,
    key          text NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
    request_hash text NOT NULL,
    reply        jsonb,
    at           timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (org_id, member_id, key)
);
COMMENT ON TABLE saleshub.idempotency IS 'Replies by idempotency key, written in the transaction of the effect; kept for a day.';
COMMENT ON COLUMN saleshub.idempotency.reply IS '{status, etag, location, headers, body}.';
CREATE INDEX IF NOT EXISTS idempotency_at_idx ON saleshub.idempotency (org_id, at);
SELECT saleshub.protect('saleshub.idempotency', '');
