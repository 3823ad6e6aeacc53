-- Merged records, rich enough to be taken apart again.

CREATE TABLE IF NOT EXISTS crm.merge (
    org_id uuid NOT NULL DEFAULT saleshub.org_id(),
    merge_id uuid NOT NULL DEFAULT crm.uuid_v7(),
    entity text NOT NULL,
    winner_id uuid NOT NULL,
    losers uuid[] NOT NULL,
    policy jsonb NOT NULL,
    before jsonb NOT NULL,
    fields jsonb NOT NULL,
    relinked jsonb NOT NULL,
    moved jsonb NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    actor_id uuid,
    request_id text,
    undone_at timestamptz,
    undone_by uuid,
    undo jsonb,
    PRIMARY KEY (org_id, merge_id),
    CONSTRAINT merge_entity_check CHECK (entity IN ('contact', 'company', 'lead'))
);

COMMENT ON TABLE crm.merge IS 'What each merge of records did, in enough detail to undo it.';
COMMENT ON COLUMN crm.merge.before IS 'The rows of the winner and the losers as they were.';
COMMENT ON COLUMN crm.merge.fields IS 'Columns of the winner that it changed: {column: [old, new]}.';
COMMENT ON COLUMN crm.merge.relinked IS
    'References it turned to the winner: [{table, column, key, old}].';
COMMENT ON COLUMN crm.merge.moved IS
    'Rows whose key holds the reference, as they were and as they are: [{table, removed, added}].';
COMMENT ON COLUMN crm.merge.undo IS 'The answer of undoing it.';

CREATE INDEX IF NOT EXISTS merge_winner_idx ON crm.merge (org_id, entity, winner_id);

SELECT saleshub.protect('crm.merge', '');

CREATE TABLE IF NOT EXISTS crm.redirect (
    org_id uuid NOT NULL DEFAULT saleshub.org_id(),
    entity text NOT NULL,
    old_id uuid NOT NULL,
    new_id uuid NOT NULL,
    merge_id uuid NOT NULL,
    PRIMARY KEY (org_id, entity, old_id)
);

COMMENT ON TABLE crm.redirect IS 'Ids of merged records and the record that took their place.';

CREATE INDEX IF NOT EXISTS redirect_merge_idx ON crm.redirect (org_id, merge_id);

SELECT saleshub.protect('crm.redirect', 'SELECT');
