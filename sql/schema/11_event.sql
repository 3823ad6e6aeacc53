-- History and events: what every change leaves behind.

CREATE TABLE IF NOT EXISTS crm.change_log (
    org_id      uuid NOT NULL DEFAULT saleshub.org_id(),
    change_id   uuid NOT NULL DEFAULT crm.uuid_v7(),
    entity      text NOT NULL,
    entity_id   uuid NOT NULL,
    op          text NOT NULL CHECK (op IN ('insert', 'update', 'delete')),
    version     bigint NOT NULL,
    changed     jsonb NOT NULL,
    actor_id    uuid,
    request_id  text,
    at          timestamptz NOT NULL DEFAULT now(),
    -- Ids are ordered by time: the history of a record is read in the order of this index.
    PRIMARY KEY (org_id, entity, entity_id, change_id)
);
COMMENT ON TABLE crm.change_log IS 'Every field of every change of every record, written by trigger in the change''s own commit.';
COMMENT ON COLUMN crm.change_log.changed IS '{field: [old, new]} of the fields that differ.';
COMMENT ON COLUMN crm.change_log.actor_id IS 'The member who did it; NULL: a superuser or a program.';
-- What changed since an instant, and what is too old to be kept.
CREATE INDEX IF NOT EXISTS change_log_at_idx ON crm.change_log (org_id, entity, at);
SELECT saleshub.protect('crm.change_log', 'SELECT');

CREATE TABLE IF NOT EXISTS saleshub.outbox (
    org_id      uuid NOT NULL,
    outbox_id   bigint GENERATED ALWAYS AS IDENTITY,
    type        text NOT NULL,
    entity      text NOT NULL,
    entity_id   uuid NOT NULL,
    version     bigint,
    changed     text[] NOT NULL DEFAULT '{}',
    actor_id    uuid,
    request_id  text,
    at          timestamptz NOT NULL DEFAULT now(),
    data        jsonb,
    events      integer NOT NULL DEFAULT 1,
    ids         uuid[],
    masks       bigint[],
    -- The sequencer takes the oldest of all organisations.
    PRIMARY KEY (outbox_id, org_id)
) WITH (toast_tuple_target = 8160);
COMMENT ON TABLE saleshub.outbox IS 'Events of committed transactions that wait for their position; short-lived.';
COMMENT ON COLUMN saleshub.outbox.events IS
    'For how many events the row stands: those of a statement that made many records are packed.';
COMMENT ON COLUMN saleshub.outbox.ids IS 'The records of a pack, entity_id being the first; NULL: no pack.';
COMMENT ON COLUMN saleshub.outbox.masks IS
    'For each of them, bit i (from 0) says that field i of changed is one of the event.';
SELECT saleshub.protect('saleshub.outbox', '');

CREATE TABLE IF NOT EXISTS saleshub.event_log (
    org_id      uuid NOT NULL,
    gseq        bigint NOT NULL,
    type        text NOT NULL,
    entity      text NOT NULL,
    entity_id   uuid NOT NULL,
    version     bigint,
    changed     text[] NOT NULL DEFAULT '{}',
    actor_id    uuid,
    request_id  text,
    at          timestamptz NOT NULL,
    data        jsonb,
    PRIMARY KEY (org_id, gseq)
);
COMMENT ON TABLE saleshub.event_log IS 'Published events, in the order in which clients see them.';
COMMENT ON COLUMN saleshub.event_log.gseq IS 'Dense position over all organisations of this database, given after commit.';
CREATE INDEX IF NOT EXISTS event_log_order_idx ON saleshub.event_log (gseq);
SELECT saleshub.protect('saleshub.event_log', 'SELECT');

CREATE TABLE IF NOT EXISTS saleshub.event_state (
    one         boolean PRIMARY KEY DEFAULT true CHECK (one),
    epoch       text NOT NULL,
    identity    text NOT NULL,
    top         bigint NOT NULL DEFAULT 0,
    floor       bigint NOT NULL DEFAULT 0
);
COMMENT ON TABLE saleshub.event_state IS 'The one row that says where the event log stands.';
COMMENT ON COLUMN saleshub.event_state.epoch IS 'Incarnation of the log: positions of another epoch mean nothing.';
COMMENT ON COLUMN saleshub.event_state.identity IS 'Cluster, database and timeline in which the epoch holds.';
COMMENT ON COLUMN saleshub.event_state.floor IS 'Events up to here are no longer kept.';
ALTER TABLE saleshub.event_state OWNER TO saleshub_owner;
REVOKE ALL ON saleshub.event_state FROM PUBLIC;
GRANT SELECT ON saleshub.event_state TO saleshub_user, saleshub_gateway;

CREATE TABLE IF NOT EXISTS saleshub.schema_version (
    version      text PRIMARY KEY,
    installed_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE saleshub.schema_version IS 'Versions whose tables were installed here.';
ALTER TABLE saleshub.schema_version OWNER TO saleshub_owner;
REVOKE ALL ON saleshub.schema_version FROM PUBLIC;
