-- What a live connection listens to, so that any gateway can take it up again.

CREATE TABLE IF NOT EXISTS saleshub.live_connection (
    org_id              uuid NOT NULL,
    live_connection_id  uuid NOT NULL,
    member_id           uuid NOT NULL,
    channels            text[] NOT NULL,
    since               bigint[] NOT NULL,
    saved_at            timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (org_id, live_connection_id),
    CONSTRAINT live_connection_member_fk FOREIGN KEY (org_id, member_id)
        REFERENCES crm.member (org_id, member_id) ON DELETE CASCADE,
    CONSTRAINT live_connection_channels_check
        CHECK (cardinality(channels) = cardinality(since) AND cardinality(channels) <= 128)
);
COMMENT ON TABLE saleshub.live_connection IS
    'Channels of each Socket.IO connection: a client that comes back after a gateway died gets them again.';
COMMENT ON COLUMN saleshub.live_connection.since IS
    'Position from which the channel of the same index counts.';
CREATE INDEX IF NOT EXISTS live_connection_member_idx
    ON saleshub.live_connection (org_id, member_id, saved_at);
SELECT saleshub.protect('saleshub.live_connection', '');
