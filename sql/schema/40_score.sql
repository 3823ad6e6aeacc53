-- Scoring: the rules of an organisation, and the history of the scores they gave.

CREATE TABLE IF NOT EXISTS crm.score_rule (
    org_id uuid NOT NULL DEFAULT saleshub.org_id(),
    score_rule_id uuid NOT NULL DEFAULT crm.uuid_v7(),
    label text NOT NULL,
    predicate jsonb NOT NULL,
    points integer NOT NULL,
    position integer NOT NULL DEFAULT 0,
    active boolean NOT NULL DEFAULT true,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by uuid,
    updated_at timestamptz NOT NULL DEFAULT now(),
    updated_by uuid,
    PRIMARY KEY (org_id, score_rule_id),
    CONSTRAINT score_rule_label_given CHECK (btrim(label) <> '' AND length(label) <= 200),
    CONSTRAINT score_rule_points_check CHECK (points BETWEEN -100 AND 100)
);

COMMENT ON TABLE crm.score_rule IS 'Rules that give leads points; changing them scores the open leads anew.';
COMMENT ON COLUMN crm.score_rule.label IS 'What the reason is called where a score is explained.';
COMMENT ON COLUMN crm.score_rule.predicate IS
    'When the points are given: {field, op, value}, {and: []}, {or: []} or {not: {}} over the columns of a lead.';
COMMENT ON COLUMN crm.score_rule.position IS 'Order in which reasons are listed.';

CREATE INDEX IF NOT EXISTS score_rule_position_idx
    ON crm.score_rule (org_id, position, score_rule_id);

CREATE OR REPLACE TRIGGER score_rule_10_check
    BEFORE INSERT OR UPDATE OR DELETE ON crm.score_rule
    FOR EACH ROW EXECUTE FUNCTION saleshub.score_rule_check();
CREATE OR REPLACE TRIGGER score_rule_50_insert
    AFTER INSERT ON crm.score_rule REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION saleshub.score_rule_changed();
CREATE OR REPLACE TRIGGER score_rule_50_update
    AFTER UPDATE ON crm.score_rule REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION saleshub.score_rule_changed();
CREATE OR REPLACE TRIGGER score_rule_50_delete
    AFTER DELETE ON crm.score_rule REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION saleshub.score_rule_changed();

SELECT saleshub.protect('crm.score_rule', 'SELECT, INSERT, UPDATE, DELETE');
SELECT saleshub.capture_on('crm.score_rule', 'score_rule', 'score_rule_id');

CREATE TABLE IF NOT EXISTS crm.score_history (
    org_id uuid NOT NULL DEFAULT saleshub.org_id(),
    score_history_id uuid NOT NULL DEFAULT crm.uuid_v7(),
    lead_id uuid NOT NULL,
    score integer NOT NULL,
    previous integer,
    grade text,
    reasons jsonb NOT NULL,
    cause text NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (org_id, lead_id, score_history_id),
    CONSTRAINT score_history_cause_check CHECK (cause IN ('created', 'updated', 'rules'))
);

COMMENT ON TABLE crm.score_history IS 'Every score a lead ever had, with its reasons; written by a trigger only.';
COMMENT ON COLUMN crm.score_history.previous IS 'The score before; NULL for the first one.';
COMMENT ON COLUMN crm.score_history.cause IS
    'created, updated: the lead was written; rules: the rules changed.';

SELECT saleshub.protect('crm.score_history', 'SELECT');

CREATE OR REPLACE TRIGGER lead_05_score_lock
    BEFORE INSERT OR UPDATE ON crm.lead
    FOR EACH STATEMENT EXECUTE FUNCTION saleshub.lead_score_lock();
CREATE OR REPLACE TRIGGER lead_20_score
    BEFORE INSERT OR UPDATE ON crm.lead
    FOR EACH ROW EXECUTE FUNCTION saleshub.lead_score();
CREATE OR REPLACE TRIGGER lead_60_score_insert
    AFTER INSERT ON crm.lead REFERENCING NEW TABLE AS newrows
    FOR EACH STATEMENT EXECUTE FUNCTION saleshub.lead_score_history();
CREATE OR REPLACE TRIGGER lead_60_score_update
    AFTER UPDATE ON crm.lead REFERENCING OLD TABLE AS oldrows NEW TABLE AS newrows
    FOR EACH STATEMENT EXECUTE FUNCTION saleshub.lead_score_history();
