-- Imports of files: what was asked for, how far it has come, and what it did, so that it can be
-- told and taken back.

CREATE TABLE IF NOT EXISTS crm.import (
    org_id uuid NOT NULL DEFAULT saleshub.org_id(),
    import_id uuid NOT NULL DEFAULT crm.uuid_v7(),
    entity text NOT NULL,
    state text NOT NULL DEFAULT 'planned',
    upload_id uuid,
    name text,
    size bigint NOT NULL,
    sha256 bytea NOT NULL,
    options jsonb NOT NULL DEFAULT '{}',
    look jsonb NOT NULL DEFAULT '{}',
    layout jsonb NOT NULL DEFAULT '{}',
    plan jsonb,
    undo jsonb,
    retry_of uuid,
    parts integer NOT NULL DEFAULT 1,
    deletion_id uuid NOT NULL DEFAULT crm.uuid_v7(),
    fault jsonb,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by uuid,
    started_at timestamptz,
    finished_at timestamptz,
    PRIMARY KEY (org_id, import_id),
    CONSTRAINT import_entity_check CHECK (
        entity IN ('lead', 'contact', 'company', 'deal', 'activity', 'product', 'member')),
    CONSTRAINT import_state_check CHECK (state IN (
        'planning', 'planned', 'queued', 'running', 'done', 'failed', 'cancelled', 'undoing', 'undone'))
);

COMMENT ON TABLE crm.import IS 'Files that were imported, or are to be.';
COMMENT ON COLUMN crm.import.entity IS 'What its rows are.';
COMMENT ON COLUMN crm.import.upload_id IS 'The file; NULL once it is gone.';
COMMENT ON COLUMN crm.import.options IS 'What the member asked for.';
COMMENT ON COLUMN crm.import.look IS 'What the file looked like.';
COMMENT ON COLUMN crm.import.layout IS 'What becomes of its columns, derived from both.';
COMMENT ON COLUMN crm.import.plan IS 'The counts of its dry run.';
COMMENT ON COLUMN crm.import.undo IS
    'What taking it back came to: {deleted, restored, conflicts}.';
COMMENT ON COLUMN crm.import.retry_of IS 'The import whose failures this one repeats.';
COMMENT ON COLUMN crm.import.fault IS 'Why it failed as a whole: {code, detail}.';
COMMENT ON COLUMN crm.import.parts IS 'Among how many workers its rows are shared.';
COMMENT ON COLUMN crm.import.deletion_id IS 'The deletion that an undo is, for all records of it.';

CREATE INDEX IF NOT EXISTS import_file_idx ON crm.import (org_id, sha256, entity);
CREATE INDEX IF NOT EXISTS import_active_idx ON crm.import (org_id, state)
    WHERE state IN ('planning', 'queued', 'running', 'undoing');
-- Imports into one kind of record come one after the other, so that each finds what the others made.
CREATE UNIQUE INDEX IF NOT EXISTS import_running_key ON crm.import (org_id, entity)
    WHERE state IN ('running', 'undoing');

SELECT saleshub.protect('crm.import', 'SELECT');
SELECT saleshub.restrict('crm.import', 'own_import', 'SELECT',
    'created_by IS NOT DISTINCT FROM (SELECT saleshub.member_id()) OR (SELECT saleshub.may_administer())');

CREATE TABLE IF NOT EXISTS saleshub.import_part (
    org_id uuid NOT NULL,
    import_id uuid NOT NULL,
    part integer NOT NULL,
    at bigint NOT NULL DEFAULT 0,
    line bigint NOT NULL DEFAULT 1,
    batch integer NOT NULL DEFAULT 0,
    done boolean NOT NULL DEFAULT false,
    rows bigint NOT NULL DEFAULT 0,
    created bigint NOT NULL DEFAULT 0,
    updated bigint NOT NULL DEFAULT 0,
    unchanged bigint NOT NULL DEFAULT 0,
    skipped bigint NOT NULL DEFAULT 0,
    conflicts bigint NOT NULL DEFAULT 0,
    errors bigint NOT NULL DEFAULT 0,
    warnings bigint NOT NULL DEFAULT 0,
    made bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (org_id, import_id, part)
);

COMMENT ON TABLE saleshub.import_part IS
    'How far each worker of an import has come; written in the same transaction as its records.';
COMMENT ON COLUMN saleshub.import_part.at IS 'Byte of the file where the next row begins.';
COMMENT ON COLUMN saleshub.import_part.line IS 'Line of the file where the next row begins.';
COMMENT ON COLUMN saleshub.import_part.updated IS 'Rows that found their record to change it.';
COMMENT ON COLUMN saleshub.import_part.unchanged IS 'Of these, those that said nothing new.';
COMMENT ON COLUMN saleshub.import_part.made IS 'Records made because rows referred to them.';

SELECT saleshub.protect('saleshub.import_part', '');

CREATE TABLE IF NOT EXISTS saleshub.import_turn (
    org_id uuid NOT NULL,
    import_id uuid NOT NULL,
    part integer NOT NULL,
    routing_pool_id uuid NOT NULL,
    series integer NOT NULL,
    turn bigint NOT NULL,
    members uuid[] NOT NULL,
    weights integer[] NOT NULL,
    currents bigint[] NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (org_id, import_id, part, routing_pool_id, series)
) WITH (fillfactor = 50);

COMMENT ON TABLE saleshub.import_turn IS
    'Turns of routing pools that imports under way took by themselves; added to the pools at their end.';
COMMENT ON COLUMN saleshub.import_turn.series IS 'Of turns among the same members with the same weights.';
COMMENT ON COLUMN saleshub.import_turn.turn IS 'Number of leads given out.';
COMMENT ON COLUMN saleshub.import_turn.members IS 'Who shares in them, sorted.';
COMMENT ON COLUMN saleshub.import_turn.currents IS
    'State of the smooth weighted round robin, begun at zero; all zero after a round.';

SELECT saleshub.protect('saleshub.import_turn', '');

CREATE TABLE IF NOT EXISTS saleshub.import_batch (
    org_id uuid NOT NULL,
    import_id uuid NOT NULL,
    part integer NOT NULL,
    batch integer NOT NULL,
    created uuid[] NOT NULL DEFAULT '{}',
    updated jsonb NOT NULL DEFAULT '[]',
    made jsonb NOT NULL DEFAULT '[]',
    later jsonb NOT NULL DEFAULT '[]',
    undone jsonb,
    PRIMARY KEY (org_id, import_id, part, batch)
);

COMMENT ON TABLE saleshub.import_batch IS 'What an import wrote, for taking it back.';
COMMENT ON COLUMN saleshub.import_batch.created IS 'New records, at version 1.';
COMMENT ON COLUMN saleshub.import_batch.updated IS
    'Changed ones: [{id, version, changed: {column: [old, new]}}], version as the change left it.';
COMMENT ON COLUMN saleshub.import_batch.made IS
    'Records made because rows referred to them: [{entity, id}].';
COMMENT ON COLUMN saleshub.import_batch.later IS
    'References to rows of the same file, which are looked up at its end: [{id, line, value}].';
COMMENT ON COLUMN saleshub.import_batch.undone IS
    'What taking it back came to: {deleted, restored, conflicts}; NULL before.';

SELECT saleshub.protect('saleshub.import_batch', '');

CREATE TABLE IF NOT EXISTS crm.import_issue (
    org_id uuid NOT NULL DEFAULT saleshub.org_id(),
    import_id uuid NOT NULL,
    line bigint NOT NULL,
    import_issue_id uuid NOT NULL DEFAULT crm.uuid_v7(),
    error boolean NOT NULL,
    col text,
    code text NOT NULL,
    message text NOT NULL,
    raw text,
    cells text[],
    PRIMARY KEY (org_id, import_id, line, import_issue_id)
);

COMMENT ON TABLE crm.import_issue IS
    'What was wrong with rows of imported files (errors), or strange about them (warnings).';
COMMENT ON COLUMN crm.import_issue.line IS 'Line of the file where the row begins, from 1.';
COMMENT ON COLUMN crm.import_issue.col IS 'Header of the column; NULL when it is about the row.';
COMMENT ON COLUMN crm.import_issue.raw IS 'The cell as it stands in the file.';
COMMENT ON COLUMN crm.import_issue.cells IS 'The whole row, with its first error.';

SELECT saleshub.protect('crm.import_issue', 'SELECT');
SELECT saleshub.restrict('crm.import_issue', 'own_import', 'SELECT',
    'import_id IN (SELECT i.import_id FROM crm.import i WHERE i.org_id = (SELECT saleshub.org_id()))');

CREATE INDEX IF NOT EXISTS company_lower_name_idx ON crm.company (org_id, lower(name));
CREATE INDEX IF NOT EXISTS deal_lower_name_idx ON crm.deal (org_id, lower(name));

CREATE OR REPLACE VIEW crm.import_progress AS
SELECT i.import_id, i.entity, i.state, i.name, i.size AS bytes_total, min(p.at) AS bytes_done,
       sum(p.rows) AS rows, sum(p.created) AS created, sum(p.updated) AS updated,
       sum(p.skipped) AS skipped, sum(p.conflicts) AS conflicts, sum(p.errors) AS errors, i.started_at,
       sum(p.rows) / nullif(extract(epoch FROM coalesce(i.finished_at, clock_timestamp()) - i.started_at), 0)
           AS rows_per_second
FROM crm.import i
JOIN saleshub.import_part p ON p.org_id = i.org_id AND p.import_id = i.import_id
WHERE i.org_id = saleshub.org_id() AND i.state IN ('planning', 'queued', 'running', 'undoing')
    AND (i.created_by IS NOT DISTINCT FROM saleshub.member_id() OR saleshub.may_administer())
GROUP BY i.org_id, i.import_id;

COMMENT ON VIEW crm.import_progress IS
    'How far imports that are under way have come: one''s own, for admins all of the organisation.';
ALTER VIEW crm.import_progress OWNER TO saleshub_owner;
GRANT SELECT ON crm.import_progress TO saleshub_user;
