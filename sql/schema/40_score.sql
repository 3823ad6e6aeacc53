-- Scoring: the rules of an organisation with their versions, and the history of the scores they gave.

CREATE TABLE IF NOT EXISTS crm.score_group (
    org_id uuid NOT NULL DEFAULT saleshub.org_id(),
    score_group_id uuid NOT NULL DEFAULT crm.uuid_v7(),
    name text NOT NULL,
    kind text NOT NULL,
    cap integer,
    position integer NOT NULL DEFAULT 0,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by uuid,
    updated_at timestamptz NOT NULL DEFAULT now(),
    updated_by uuid,
    PRIMARY KEY (org_id, score_group_id),
    CONSTRAINT score_group_name_key UNIQUE (org_id, name),
    CONSTRAINT score_group_name_given CHECK (btrim(name) <> '' AND length(name) <= 100),
    CONSTRAINT score_group_kind_check CHECK (kind IN ('fit', 'engagement')),
    CONSTRAINT score_group_cap_check CHECK (cap BETWEEN 0 AND 1000)
);

COMMENT ON TABLE crm.score_group IS 'Groups of scoring rules, whose points together go up to a cap.';
COMMENT ON COLUMN crm.score_group.kind IS
    'fit: rules about what a lead is like; engagement: rules per event.';
COMMENT ON COLUMN crm.score_group.cap IS
    'Most points of the group; those of its rules shrink in proportion. NULL: no limit.';

CREATE TABLE IF NOT EXISTS crm.score_rule (
    org_id uuid NOT NULL DEFAULT saleshub.org_id(),
    score_rule_id uuid NOT NULL DEFAULT crm.uuid_v7(),
    label text NOT NULL,
    predicate jsonb NOT NULL,
    points integer NOT NULL,
    score_group_id uuid,
    per_event boolean NOT NULL DEFAULT false,
    max_n integer,
    window_hours integer,
    half_life_hours integer,
    position integer NOT NULL DEFAULT 0,
    active boolean NOT NULL DEFAULT true,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by uuid,
    updated_at timestamptz NOT NULL DEFAULT now(),
    updated_by uuid,
    PRIMARY KEY (org_id, score_rule_id),
    CONSTRAINT score_rule_label_given CHECK (btrim(label) <> '' AND length(label) <= 200),
    CONSTRAINT score_rule_points_check CHECK (points BETWEEN -100 AND 100),
    CONSTRAINT score_rule_max_n_check CHECK (max_n > 0),
    CONSTRAINT score_rule_window_hours_check
        CHECK (window_hours IS NULL OR window_hours BETWEEN 1 AND 87600 AND max_n IS NOT NULL),
    CONSTRAINT score_rule_half_life_hours_check CHECK (half_life_hours BETWEEN 1 AND 87600),
    CONSTRAINT score_rule_per_event_check CHECK (
        per_event OR max_n IS NULL AND window_hours IS NULL AND half_life_hours IS NULL)
);

COMMENT ON TABLE crm.score_rule IS 'Rules that give leads points; changing them scores the open leads anew.';
COMMENT ON COLUMN crm.score_rule.label IS 'What the reason is called where a score is explained.';
COMMENT ON COLUMN crm.score_rule.predicate IS
    'When the points are given: {field, op, value}, {and: []}, {or: []} or {not: {}} over the columns of a lead; per event over type, outcome, direction, subject and duration_s of an activity.';
COMMENT ON COLUMN crm.score_rule.score_group_id IS 'The group it belongs to; NULL: none, and so no cap.';
COMMENT ON COLUMN crm.score_rule.per_event IS
    'The points are given for each activity of the lead that happened, not once.';
COMMENT ON COLUMN crm.score_rule.max_n IS
    'Of each window, or else of all time, the latest so many events count.';
COMMENT ON COLUMN crm.score_rule.window_hours IS
    'The length of those windows, which follow each other from the year 2000 (UTC).';
COMMENT ON COLUMN crm.score_rule.half_life_hours IS
    'Hours after which an event is worth half its points, and so on; NULL: it keeps them.';
COMMENT ON COLUMN crm.score_rule.position IS 'Order in which reasons are listed.';

CREATE INDEX IF NOT EXISTS score_rule_position_idx
    ON crm.score_rule (org_id, position, score_rule_id);
CREATE INDEX IF NOT EXISTS score_rule_group_idx
    ON crm.score_rule (org_id, score_group_id) WHERE score_group_id IS NOT NULL;

CREATE TABLE IF NOT EXISTS crm.score_setting (
    org_id uuid NOT NULL DEFAULT saleshub.org_id() PRIMARY KEY,
    cap integer NOT NULL DEFAULT (saleshub.score_defaults() ->> 'cap')::integer,
    thresholds jsonb NOT NULL DEFAULT saleshub.score_defaults() -> 'thresholds',
    history_delta numeric NOT NULL DEFAULT (saleshub.score_defaults() ->> 'history_delta')::numeric,
    CONSTRAINT score_setting_cap_check CHECK (cap BETWEEN 1 AND 1000),
    CONSTRAINT score_setting_history_delta_check CHECK (history_delta BETWEEN 0.001 AND 1000)
);

COMMENT ON TABLE crm.score_setting IS 'What holds for all scoring rules of an organisation; no row: the defaults.';
COMMENT ON COLUMN crm.score_setting.cap IS 'Most points that a lead can have.';
COMMENT ON COLUMN crm.score_setting.thresholds IS
    'From where on the grades are: {by: points|percentile, fit: [], engagement: []}, best first.';
COMMENT ON COLUMN crm.score_setting.history_delta IS
    'By how much a score with events must move to be put into its history, if the grade stays.';

-- Rows are added by triggers only, and never removed: crm.score_at needs them.
CREATE TABLE IF NOT EXISTS crm.score_version (
    org_id uuid NOT NULL DEFAULT saleshub.org_id(),
    version integer NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    member_id uuid,
    definition jsonb NOT NULL,
    xact xid8 NOT NULL DEFAULT pg_current_xact_id(),
    PRIMARY KEY (org_id, version)
);

COMMENT ON TABLE crm.score_version IS
    'Every state that the scoring rules of an organisation were in; the latest one holds.';
COMMENT ON COLUMN crm.score_version.at IS 'From when on it holds.';
COMMENT ON COLUMN crm.score_version.member_id IS 'Who made it; NULL: a superuser or a program.';
COMMENT ON COLUMN crm.score_version.definition IS
    '{cap, thresholds, cuts, history_delta, groups, rules}; cuts are the thresholds in points.';
COMMENT ON COLUMN crm.score_version.xact IS 'What made it: further changes of the same transaction are part of it.';

CREATE TABLE IF NOT EXISTS crm.score_epoch (
    org_id uuid NOT NULL DEFAULT saleshub.org_id(),
    half_life_hours integer NOT NULL,
    epoch integer NOT NULL,
    PRIMARY KEY (org_id, half_life_hours)
);

COMMENT ON TABLE crm.score_epoch IS 'From when on the amounts of crm.lead_engagement are counted.';
COMMENT ON COLUMN crm.score_epoch.epoch IS 'In whole half-lives since 2000 (UTC); moved on by keep_house().';

CREATE TABLE IF NOT EXISTS crm.lead_engagement (
    org_id uuid NOT NULL DEFAULT saleshub.org_id(),
    lead_id uuid NOT NULL,
    score_group_id uuid NOT NULL,
    half_life_hours integer NOT NULL,
    amount double precision NOT NULL,
    PRIMARY KEY (org_id, lead_id, score_group_id, half_life_hours)
);

COMMENT ON TABLE crm.lead_engagement IS
    'What open leads are engaged by, per group of rules and half-life: one number whose order among leads is the same at every instant. Written by triggers only.';
COMMENT ON COLUMN crm.lead_engagement.score_group_id IS 'The group; all zero: rules without one.';
COMMENT ON COLUMN crm.lead_engagement.half_life_hours IS '0: the points do not decay.';
COMMENT ON COLUMN crm.lead_engagement.amount IS
    'sum(points * 2^((t - epoch) / half-life)) over the events; saleshub.score_worth says what it is worth at an instant.';

-- Serves the hottest leads of now with nothing to be done in between.
CREATE INDEX IF NOT EXISTS lead_engagement_amount_idx
    ON crm.lead_engagement (org_id, score_group_id, half_life_hours, amount, lead_id);

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

CREATE OR REPLACE TRIGGER score_group_10_check
    BEFORE INSERT OR UPDATE OR DELETE ON crm.score_group
    FOR EACH ROW EXECUTE FUNCTION saleshub.score_model_check();
CREATE OR REPLACE TRIGGER score_group_50_insert
    AFTER INSERT ON crm.score_group REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION saleshub.score_rule_changed();
CREATE OR REPLACE TRIGGER score_group_50_update
    AFTER UPDATE ON crm.score_group REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION saleshub.score_rule_changed();
CREATE OR REPLACE TRIGGER score_group_50_delete
    AFTER DELETE ON crm.score_group REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION saleshub.score_rule_changed();

CREATE OR REPLACE TRIGGER score_setting_10_check
    BEFORE INSERT OR UPDATE OR DELETE ON crm.score_setting
    FOR EACH ROW EXECUTE FUNCTION saleshub.score_model_check();
CREATE OR REPLACE TRIGGER score_setting_50_insert
    AFTER INSERT ON crm.score_setting REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION saleshub.score_rule_changed();
CREATE OR REPLACE TRIGGER score_setting_50_update
    AFTER UPDATE ON crm.score_setting REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION saleshub.score_rule_changed();
CREATE OR REPLACE TRIGGER score_setting_50_delete
    AFTER DELETE ON crm.score_setting REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION saleshub.score_rule_changed();

SELECT saleshub.protect('crm.score_rule', 'SELECT, INSERT, UPDATE, DELETE');
SELECT saleshub.capture_on('crm.score_rule', 'score_rule', 'score_rule_id');
SELECT saleshub.protect('crm.score_group', 'SELECT, INSERT, UPDATE, DELETE');
SELECT saleshub.capture_on('crm.score_group', 'score_group', 'score_group_id');
SELECT saleshub.protect('crm.score_setting', 'SELECT, INSERT, UPDATE, DELETE');
SELECT saleshub.protect('crm.score_version', 'SELECT');
SELECT saleshub.protect('crm.score_epoch', 'SELECT');
SELECT saleshub.protect('crm.lead_engagement', 'SELECT');

CREATE TABLE IF NOT EXISTS crm.score_history (
    org_id uuid NOT NULL DEFAULT saleshub.org_id(),
    score_history_id uuid NOT NULL DEFAULT crm.uuid_v7(),
    lead_id uuid NOT NULL,
    score numeric NOT NULL,
    previous numeric,
    grade text,
    reasons jsonb NOT NULL,
    cause text NOT NULL,
    activity_id uuid,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (org_id, lead_id, score_history_id),
    CONSTRAINT score_history_cause_check CHECK (cause IN ('created', 'updated', 'rules', 'event'))
);

COMMENT ON TABLE crm.score_history IS
    'The scores that a lead had, with their reasons: every one, or with events those of another grade or moved far enough. Written by a trigger only.';
COMMENT ON COLUMN crm.score_history.cause IS
    'created, updated: the lead was written; rules: the rules changed; event: an activity came, changed or went.';
COMMENT ON COLUMN crm.score_history.activity_id IS 'That activity; of several the latest made.';
COMMENT ON COLUMN crm.score_history.previous IS 'The score remembered before; NULL for the first one.';

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

CREATE OR REPLACE TRIGGER activity_60_score
    AFTER UPDATE ON crm.activity REFERENCING OLD TABLE AS oldrows NEW TABLE AS newrows
    FOR EACH STATEMENT EXECUTE FUNCTION saleshub.activity_score();
CREATE OR REPLACE TRIGGER activity_link_60_score_insert
    AFTER INSERT ON crm.activity_link REFERENCING NEW TABLE AS newrows
    FOR EACH STATEMENT EXECUTE FUNCTION saleshub.activity_link_score();
CREATE OR REPLACE TRIGGER activity_link_60_score_delete
    AFTER DELETE ON crm.activity_link REFERENCING OLD TABLE AS oldrows
    FOR EACH STATEMENT EXECUTE FUNCTION saleshub.activity_link_score();
