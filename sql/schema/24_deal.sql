CREATE TABLE IF NOT EXISTS crm.deal (
    org_id uuid NOT NULL DEFAULT saleshub.org_id(),
    deal_id uuid NOT NULL DEFAULT crm.uuid_v7(),
    name text NOT NULL,
    company_id uuid,
    contact_id uuid,
    pipeline_id uuid NOT NULL,
    stage_id uuid NOT NULL,
    amount numeric,
    currency text NOT NULL,
    amount_base numeric,
    close_date date,
    probability numeric(5, 2) NOT NULL,
    probability_stage numeric(5, 2) NOT NULL,
    probability_manual numeric(5, 2),
    probability_model double precision,
    probability_version integer,
    probability_age smallint,
    status text NOT NULL,
    lost_reason text,
    opened_at timestamptz NOT NULL DEFAULT now(),
    closed_at timestamptz,
    owner_id uuid,
    lead_id uuid,
    source text,
    product text,
    tags text[] NOT NULL DEFAULT '{}',
    custom jsonb NOT NULL DEFAULT '{}',
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by uuid,
    updated_at timestamptz NOT NULL DEFAULT now(),
    updated_by uuid,
    deleted_at timestamptz,
    PRIMARY KEY (org_id, deal_id),
    CONSTRAINT deal_name_given CHECK (name <> ''),
    CONSTRAINT deal_amount_check CHECK (amount BETWEEN 0 AND 1e15),
    CONSTRAINT deal_currency_check CHECK (currency ~ '^[A-Z]{3}$'),
    CONSTRAINT deal_amount_base_check CHECK ((amount IS NULL) = (amount_base IS NULL)),
    CONSTRAINT deal_probability_check CHECK (probability BETWEEN 0 AND 100),
    CONSTRAINT deal_probability_manual_check CHECK (probability_manual BETWEEN 0 AND 100),
    CONSTRAINT deal_status_check CHECK (status IN ('open', 'won', 'lost')),
    CONSTRAINT deal_closed_check CHECK ((status = 'open') = (closed_at IS NULL)),
    CONSTRAINT deal_cycle_check CHECK (closed_at >= opened_at),
    CONSTRAINT deal_custom_check CHECK (jsonb_typeof(custom) = 'object')
);

COMMENT ON TABLE crm.deal IS 'Sales under way, won or lost.';
COMMENT ON COLUMN crm.deal.amount_base IS
    'Amount in the currency of the organisation; frozen when the deal closes.';
COMMENT ON COLUMN crm.deal.close_date IS 'The day the deal is expected to close.';
COMMENT ON COLUMN crm.deal.probability IS
    'Chance of winning in percent: probability_manual, else probability_model, else probability_stage; 100 when won, 0 when lost.';
COMMENT ON COLUMN crm.deal.probability_stage IS 'What the stage said when the deal entered it.';
COMMENT ON COLUMN crm.deal.probability_manual IS
    'The chance as a member sees it, in percent, until the deal moves to another stage.';
COMMENT ON COLUMN crm.deal.probability_model IS
    'The chance by the trained model, in percent; NULL without one; of a closed deal the last one told.';
COMMENT ON COLUMN crm.deal.probability_version IS
    'Version of the crm.score_model that told probability_model.';
COMMENT ON COLUMN crm.deal.probability_age IS
    'Days in the stage when that was told: 0, 7 or 30, the last one reached.';
COMMENT ON COLUMN crm.deal.status IS 'The kind of the stage the deal is in.';
COMMENT ON COLUMN crm.deal.opened_at IS
    'When selling began; earlier than created_at for imported deals.';
COMMENT ON COLUMN crm.deal.closed_at IS 'When the deal entered a won or lost stage.';
COMMENT ON COLUMN crm.deal.lead_id IS 'The lead the deal came from.';
COMMENT ON COLUMN crm.deal.custom IS 'Values of custom fields.';
COMMENT ON COLUMN crm.deal.deleted_at IS
    'When the row was put into the bin; such a row counts nowhere.';

CREATE INDEX IF NOT EXISTS deal_created_idx ON crm.deal (org_id, created_at, deal_id);
CREATE INDEX IF NOT EXISTS deal_updated_idx ON crm.deal (org_id, updated_at, deal_id);
CREATE INDEX IF NOT EXISTS deal_amount_idx
    ON crm.deal (org_id, amount DESC NULLS LAST, deal_id DESC);
CREATE INDEX IF NOT EXISTS deal_close_date_idx ON crm.deal (org_id, close_date, deal_id);
CREATE INDEX IF NOT EXISTS deal_stage_idx ON crm.deal (org_id, pipeline_id, stage_id, created_at);
CREATE INDEX IF NOT EXISTS deal_closed_idx ON crm.deal (org_id, status, closed_at);
CREATE INDEX IF NOT EXISTS deal_owner_idx ON crm.deal (org_id, owner_id, created_at);
CREATE INDEX IF NOT EXISTS deal_company_idx ON crm.deal (org_id, company_id);
CREATE INDEX IF NOT EXISTS deal_contact_idx ON crm.deal (org_id, contact_id);
CREATE INDEX IF NOT EXISTS deal_lead_idx ON crm.deal (org_id, lead_id) WHERE lead_id IS NOT NULL;

CREATE TABLE IF NOT EXISTS crm.stage_history (
    org_id uuid NOT NULL DEFAULT saleshub.org_id(),
    stage_history_id uuid NOT NULL DEFAULT crm.uuid_v7(),
    deal_id uuid NOT NULL,
    pipeline_id uuid NOT NULL,
    stage_id uuid NOT NULL,
    status text NOT NULL,
    amount numeric,
    currency text NOT NULL,
    probability numeric(5, 2) NOT NULL,
    close_date date,
    owner_id uuid,
    entered_at timestamptz NOT NULL,
    left_at timestamptz,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    actor_id uuid,
    PRIMARY KEY (org_id, stage_history_id),
    CONSTRAINT stage_history_interval_check CHECK (left_at >= entered_at)
);

COMMENT ON TABLE crm.stage_history IS
    'Which deal was in which stage from when to when; written by a trigger only.';
COMMENT ON COLUMN crm.stage_history.amount IS
    'What the deal said when it entered the stage, like the other values.';
COMMENT ON COLUMN crm.stage_history.left_at IS 'NULL for the stage the deal is in now.';
COMMENT ON COLUMN crm.stage_history.recorded_at IS
    'When we came to know; later than entered_at for imports.';

CREATE UNIQUE INDEX IF NOT EXISTS stage_history_current_key ON crm.stage_history (org_id, deal_id)
    WHERE left_at IS NULL;
CREATE INDEX IF NOT EXISTS stage_history_deal_idx
    ON crm.stage_history (org_id, deal_id, entered_at);
CREATE INDEX IF NOT EXISTS stage_history_stage_idx
    ON crm.stage_history (org_id, stage_id, entered_at);

SELECT saleshub.protect('crm.stage_history', 'SELECT');

CREATE OR REPLACE TRIGGER deal_10_check
    BEFORE INSERT OR UPDATE ON crm.deal
    FOR EACH ROW EXECUTE FUNCTION saleshub.deal_check();
CREATE OR REPLACE TRIGGER deal_50_stage_insert
    AFTER INSERT ON crm.deal
    REFERENCING NEW TABLE AS newrows
    FOR EACH STATEMENT EXECUTE FUNCTION saleshub.deal_stage_entered();
CREATE OR REPLACE TRIGGER deal_50_stage_update
    AFTER UPDATE ON crm.deal
    REFERENCING OLD TABLE AS oldrows NEW TABLE AS newrows
    FOR EACH STATEMENT EXECUTE FUNCTION saleshub.deal_stage_changed();

SELECT saleshub.protect('crm.deal');
SELECT saleshub.capture_on('crm.deal', 'deal', 'deal_id');
SELECT saleshub.rollup_on('crm.deal', 'deal');
