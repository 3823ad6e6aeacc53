-- Scans of the whole base for duplicates, and what they found.

CREATE TABLE IF NOT EXISTS crm.duplicate_scan (
    org_id uuid NOT NULL DEFAULT saleshub.org_id(),
    duplicate_scan_id uuid NOT NULL DEFAULT crm.uuid_v7(),
    entity text NOT NULL,
    position uuid,
    records bigint NOT NULL DEFAULT 0,
    compared bigint NOT NULL DEFAULT 0,
    found bigint NOT NULL DEFAULT 0,
    started_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    PRIMARY KEY (org_id, duplicate_scan_id),
    CONSTRAINT duplicate_scan_entity_check CHECK (entity IN ('contact', 'company', 'lead'))
);

COMMENT ON TABLE crm.duplicate_scan IS 'How far scans for duplicates have come.';
COMMENT ON COLUMN crm.duplicate_scan.position IS
    'The record up to which all are compared with those before them; NULL at the start.';

CREATE UNIQUE INDEX IF NOT EXISTS duplicate_scan_running_key
    ON crm.duplicate_scan (org_id, entity) WHERE finished_at IS NULL;

SELECT saleshub.protect('crm.duplicate_scan', 'SELECT');

CREATE TABLE IF NOT EXISTS crm.duplicate_pair (
    org_id uuid NOT NULL DEFAULT saleshub.org_id(),
    entity text NOT NULL,
    low_id uuid NOT NULL,
    high_id uuid NOT NULL,
    score numeric NOT NULL,
    fields jsonb NOT NULL,
    duplicate_scan_id uuid NOT NULL,
    found_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (org_id, entity, low_id, high_id),
    CONSTRAINT duplicate_pair_order_check CHECK (low_id < high_id)
);

COMMENT ON TABLE crm.duplicate_pair IS
    'Records that look like one, as the last scan found them; seen by who may see both.';
COMMENT ON COLUMN crm.duplicate_pair.fields IS 'Why: [{field, level, weight}]; Σ weights = score.';

CREATE INDEX IF NOT EXISTS duplicate_pair_score_idx
    ON crm.duplicate_pair (org_id, entity, score);

SELECT saleshub.protect('crm.duplicate_pair', 'SELECT');
DROP POLICY IF EXISTS both_seen ON crm.duplicate_pair;
CREATE POLICY both_seen ON crm.duplicate_pair AS RESTRICTIVE FOR SELECT TO saleshub_user
    USING (saleshub.duplicate_seen(entity, low_id) AND saleshub.duplicate_seen(entity, high_id));

CREATE TABLE IF NOT EXISTS crm.duplicate_decision (
    org_id uuid NOT NULL DEFAULT saleshub.org_id(),
    entity text NOT NULL,
    low_id uuid NOT NULL,
    high_id uuid NOT NULL,
    same boolean NOT NULL,
    levels jsonb NOT NULL,
    merge_id uuid,
    decided_at timestamptz NOT NULL DEFAULT now(),
    decided_by uuid DEFAULT saleshub.member_id(),
    PRIMARY KEY (org_id, entity, low_id, high_id, same),
    CONSTRAINT duplicate_decision_entity_check CHECK (entity IN ('contact', 'company', 'lead')),
    CONSTRAINT duplicate_decision_order_check CHECK (low_id < high_id)
);

COMMENT ON TABLE crm.duplicate_decision IS
    'What people decided about two records: that they are not the same, or, by merging them, that they are.';
COMMENT ON COLUMN crm.duplicate_decision.levels IS
    'How the fields compared then: {field: differ|close|same}; of this weights are learnt.';
COMMENT ON COLUMN crm.duplicate_decision.merge_id IS 'The merge that said so.';

CREATE INDEX IF NOT EXISTS duplicate_decision_merge_idx
    ON crm.duplicate_decision (org_id, merge_id) WHERE merge_id IS NOT NULL;

SELECT saleshub.protect('crm.duplicate_decision', 'SELECT, INSERT, DELETE');
DROP POLICY IF EXISTS both_seen ON crm.duplicate_decision;
CREATE POLICY both_seen ON crm.duplicate_decision AS RESTRICTIVE TO saleshub_user
    USING (saleshub.duplicate_seen(entity, low_id) AND saleshub.duplicate_seen(entity, high_id))
    WITH CHECK (saleshub.duplicate_seen(entity, low_id) AND saleshub.duplicate_seen(entity, high_id));

CREATE TABLE IF NOT EXISTS crm.match_model (
    org_id uuid NOT NULL DEFAULT saleshub.org_id(),
    match_model_id uuid NOT NULL DEFAULT crm.uuid_v7(),
    entity text NOT NULL,
    weights jsonb NOT NULL,
    pairs bigint NOT NULL,
    share numeric NOT NULL,
    labelled bigint NOT NULL,
    hand_wrong bigint NOT NULL,
    model_wrong bigint NOT NULL,
    adopted boolean NOT NULL,
    reason text NOT NULL,
    trained_at timestamptz NOT NULL DEFAULT now(),
    trained_by uuid DEFAULT saleshub.member_id(),
    PRIMARY KEY (org_id, match_model_id),
    CONSTRAINT match_model_entity_check CHECK (entity IN ('contact', 'company', 'lead'))
);

COMMENT ON TABLE crm.match_model IS
    'Weights of comparison that were learnt; of a kind of record the last one that was adopted is used.';
COMMENT ON COLUMN crm.match_model.weights IS '{field: {same, close, differ}}, each log2(m/u).';
COMMENT ON COLUMN crm.match_model.share IS 'The part of the compared pairs that are one thing.';
COMMENT ON COLUMN crm.match_model.hand_wrong IS
    'Decisions of people that the weights set by hand miss; model_wrong: that the learnt ones miss.';

CREATE INDEX IF NOT EXISTS match_model_entity_idx ON crm.match_model (org_id, entity, match_model_id);

SELECT saleshub.protect('crm.match_model', 'SELECT');
