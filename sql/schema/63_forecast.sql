-- Forecasts: how sure deals are, what managers make of it, and what was forecast when.

ALTER TABLE crm.stage ADD COLUMN IF NOT EXISTS forecast_category text
    CONSTRAINT stage_forecast_category_check
        CHECK (forecast_category IN ('pipeline', 'best_case', 'commit', 'omitted'));
ALTER TABLE crm.deal ADD COLUMN IF NOT EXISTS forecast_category text
    CONSTRAINT deal_forecast_category_check
        CHECK (forecast_category IN ('pipeline', 'best_case', 'commit', 'closed', 'omitted'));
ALTER TABLE crm.deal ADD COLUMN IF NOT EXISTS forecast_category_manual text
    CONSTRAINT deal_forecast_category_manual_check
        CHECK (forecast_category_manual IN ('pipeline', 'best_case', 'commit', 'omitted'));
COMMENT ON COLUMN crm.stage.forecast_category IS
    'In which category deals in this open stage are forecast; NULL: by their probability, commit from 80 %, best_case from 50 %.';
COMMENT ON COLUMN crm.deal.forecast_category IS
    'How sure it is: pipeline, best_case, commit or omitted, as given or as the stage or the probability say; closed when won, omitted when lost. Always set, by a trigger.';
COMMENT ON COLUMN crm.deal.forecast_category_manual IS
    'The category that a member gave an open deal, until it moves to another stage.';

-- After all that sets the probability.
CREATE OR REPLACE TRIGGER deal_80_forecast
    BEFORE INSERT OR UPDATE ON crm.deal
    FOR EACH ROW EXECUTE FUNCTION saleshub.deal_forecast();
CREATE OR REPLACE TRIGGER stage_60_forecast
    AFTER UPDATE OF forecast_category ON crm.stage
    FOR EACH ROW WHEN (OLD.forecast_category IS DISTINCT FROM NEW.forecast_category)
    EXECUTE FUNCTION saleshub.stage_forecast();

CREATE TABLE IF NOT EXISTS crm.forecast_adjustment (
    org_id uuid NOT NULL DEFAULT saleshub.org_id(),
    forecast_adjustment_id uuid NOT NULL DEFAULT crm.uuid_v7(),
    member_id uuid NOT NULL,
    period_from date NOT NULL,
    period_to date NOT NULL,
    category text NOT NULL,
    amount numeric,
    currency text NOT NULL,
    note text,
    made_at timestamptz NOT NULL DEFAULT now(),
    made_by uuid,
    PRIMARY KEY (org_id, forecast_adjustment_id),
    CONSTRAINT forecast_adjustment_period_check CHECK (period_to > period_from),
    CONSTRAINT forecast_adjustment_category_check CHECK (category IN ('commit', 'best_case')),
    CONSTRAINT forecast_adjustment_amount_check CHECK (amount BETWEEN 0 AND 1e15),
    CONSTRAINT forecast_adjustment_currency_check CHECK (currency ~ '^[A-Z]{3}$'),
    CONSTRAINT forecast_adjustment_note_check CHECK (length(note) <= 1000)
);
COMMENT ON TABLE crm.forecast_adjustment IS
    'What managers expect of a member in a period instead of what the deals say; rows stay, the newest counts.';
COMMENT ON COLUMN crm.forecast_adjustment.period_to IS 'First day after the period.';
COMMENT ON COLUMN crm.forecast_adjustment.amount IS
    'The cumulative figure of the category; NULL takes the adjustment back.';
CREATE INDEX IF NOT EXISTS forecast_adjustment_period_idx
    ON crm.forecast_adjustment (org_id, period_from, period_to, member_id, forecast_adjustment_id);
SELECT saleshub.add_fk('forecast_adjustment_member_fk', 'crm.forecast_adjustment', 'org_id, member_id',
                       'crm.member', 'org_id, member_id');
CREATE OR REPLACE TRIGGER forecast_adjustment_05_right
    BEFORE INSERT ON crm.forecast_adjustment
    FOR EACH STATEMENT EXECUTE FUNCTION saleshub.setup_check();
CREATE OR REPLACE TRIGGER forecast_adjustment_10_check
    BEFORE INSERT ON crm.forecast_adjustment
    FOR EACH ROW EXECUTE FUNCTION saleshub.forecast_adjustment_check();
SELECT saleshub.protect('crm.forecast_adjustment', 'SELECT, INSERT');
SELECT saleshub.visible_rows('crm.forecast_adjustment', ARRAY['SELECT', 'INSERT'],
    '(SELECT saleshub.sees_all(''deal''))
     OR member_id = ANY ((SELECT saleshub.visible_owners(''deal''))::uuid[])');

CREATE TABLE IF NOT EXISTS crm.forecast_snapshot (
    org_id uuid NOT NULL DEFAULT saleshub.org_id(),
    forecast_snapshot_id uuid NOT NULL DEFAULT crm.uuid_v7(),
    taken_on date NOT NULL,
    taken_at timestamptz NOT NULL DEFAULT now(),
    bucket text NOT NULL,
    period_from date NOT NULL,
    period_to date NOT NULL,
    member_id uuid,
    whole boolean NOT NULL DEFAULT false,
    currency text NOT NULL,
    deals integer NOT NULL,
    closed numeric NOT NULL,
    commit numeric NOT NULL,
    best_case numeric NOT NULL,
    open numeric NOT NULL,
    weighted numeric NOT NULL,
    low numeric NOT NULL,
    high numeric NOT NULL,
    PRIMARY KEY (org_id, forecast_snapshot_id),
    CONSTRAINT forecast_snapshot_bucket_check CHECK (bucket IN ('month', 'quarter')),
    CONSTRAINT forecast_snapshot_whole_check CHECK (NOT whole OR member_id IS NULL)
);
COMMENT ON TABLE crm.forecast_snapshot IS
    'What was forecast for a period on a day, for each owner of deals and as a whole; taken daily, for the present and the next month and quarter, in the currency of the organisation.';
COMMENT ON COLUMN crm.forecast_snapshot.whole IS
    'The forecast of the organisation; else that of a member, or of deals that nobody owns.';
COMMENT ON COLUMN crm.forecast_snapshot.low IS
    'Of ten such forecasts one should come out below low, and one above high.';
CREATE UNIQUE INDEX IF NOT EXISTS forecast_snapshot_day_key
    ON crm.forecast_snapshot (org_id, bucket, period_from, taken_on, whole,
                              coalesce(member_id, '00000000-0000-0000-0000-000000000000'));
CREATE INDEX IF NOT EXISTS forecast_snapshot_taken_idx ON crm.forecast_snapshot (org_id, taken_on);
SELECT saleshub.add_fk('forecast_snapshot_member_fk', 'crm.forecast_snapshot', 'org_id, member_id',
                       'crm.member', 'org_id, member_id');
SELECT saleshub.protect('crm.forecast_snapshot', 'SELECT');
SELECT saleshub.visible_rows('crm.forecast_snapshot', ARRAY['SELECT'],
    '(SELECT saleshub.sees_all(''deal''))
     OR member_id = ANY ((SELECT saleshub.visible_owners(''deal''))::uuid[])');
