-- What batches did, so that each can be taken back.

CREATE TABLE IF NOT EXISTS crm.batch (
    org_id     uuid NOT NULL DEFAULT saleshub.org_id(),
    batch_id   uuid NOT NULL DEFAULT crm.uuid_v7(),
    entity     text NOT NULL,
    items      jsonb NOT NULL,
    actor_id   uuid,
    request_id text,
    at         timestamptz NOT NULL DEFAULT now(),
    undone_at  timestamptz,
    undone_by  uuid,
    undo       jsonb,
    PRIMARY KEY (org_id, batch_id)
);
COMMENT ON TABLE crm.batch IS 'Batches of changes that were made, and whether they were taken back.';
COMMENT ON COLUMN crm.batch.items IS
    '[{op, id, was, version, parts}] in the order done: the versions before and after, and the links or lines before and after where the item set them.';
COMMENT ON COLUMN crm.batch.undo IS 'The answer of undoing it.';

CREATE INDEX IF NOT EXISTS batch_at_idx ON crm.batch (org_id, at);

SELECT saleshub.protect('crm.batch');
-- Of the member who made it, and of those who may take it back.
SELECT saleshub.restrict('crm.batch', 'batch_' || lower(c), c,
    '(SELECT saleshub.member_id()) IS NULL OR actor_id = (SELECT saleshub.member_id())
     OR (SELECT saleshub.member_role()) IN (''admin'', ''manager'')')
FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE']) c;
