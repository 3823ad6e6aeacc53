CREATE TABLE IF NOT EXISTS crm.pipeline (
    org_id uuid NOT NULL DEFAULT saleshub.org_id(),
    pipeline_id uuid NOT NULL DEFAULT crm.uuid_v7(),
    name text NOT NULL,
    is_default boolean NOT NULL DEFAULT false,
    position integer NOT NULL DEFAULT 1,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by uuid,
    updated_at timestamptz NOT NULL DEFAULT now(),
    updated_by uuid,
    deleted_at timestamptz,
    PRIMARY KEY (org_id, pipeline_id),
    CONSTRAINT pipeline_name_given CHECK (btrim(name) <> '')
);

COMMENT ON TABLE crm.pipeline IS 'A way of selling: an ordered set of stages.';
COMMENT ON COLUMN crm.pipeline.is_default IS 'Taken by deals that name none; one per organisation.';

CREATE UNIQUE INDEX IF NOT EXISTS pipeline_name_key ON crm.pipeline (org_id, lower(name))
    WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX IF NOT EXISTS pipeline_default_key ON crm.pipeline (org_id)
    WHERE is_default AND deleted_at IS NULL;

CREATE OR REPLACE TRIGGER pipeline_05_right
    BEFORE INSERT OR UPDATE OR DELETE ON crm.pipeline
    FOR EACH STATEMENT EXECUTE FUNCTION saleshub.setup_check();
CREATE OR REPLACE TRIGGER pipeline_10_check
    BEFORE INSERT OR UPDATE ON crm.pipeline
    FOR EACH ROW EXECUTE FUNCTION saleshub.pipeline_check();

SELECT saleshub.protect('crm.pipeline');
SELECT saleshub.capture_on('crm.pipeline', 'pipeline', 'pipeline_id');

CREATE TABLE IF NOT EXISTS crm.stage (
    org_id uuid NOT NULL DEFAULT saleshub.org_id(),
    stage_id uuid NOT NULL DEFAULT crm.uuid_v7(),
    pipeline_id uuid NOT NULL,
    name text NOT NULL,
    kind text NOT NULL DEFAULT 'open',
    position integer NOT NULL DEFAULT 1,
    probability numeric(5, 2) NOT NULL DEFAULT 0,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by uuid,
    updated_at timestamptz NOT NULL DEFAULT now(),
    updated_by uuid,
    deleted_at timestamptz,
    PRIMARY KEY (org_id, stage_id),
    CONSTRAINT stage_pipeline_key UNIQUE (org_id, pipeline_id, stage_id),
    CONSTRAINT stage_name_given CHECK (btrim(name) <> ''),
    CONSTRAINT stage_kind_check CHECK (kind IN ('open', 'won', 'lost')),
    CONSTRAINT stage_probability_check CHECK (probability BETWEEN 0 AND 100)
);

COMMENT ON TABLE crm.stage IS 'A step of a pipeline.';
COMMENT ON COLUMN crm.stage.kind IS 'What a deal in this stage is: open, won or lost.';
COMMENT ON COLUMN crm.stage.probability IS 'Chance in percent given to deals that enter the stage.';

ALTER TABLE crm.stage ADD COLUMN IF NOT EXISTS required_fields text[] NOT NULL DEFAULT '{}';
ALTER TABLE crm.stage ADD COLUMN IF NOT EXISTS gate jsonb;
COMMENT ON COLUMN crm.stage.required_fields IS
    'Fields that a deal must have to enter the stage; custom.<name> is one, too.';
COMMENT ON COLUMN crm.stage.gate IS
    'Conditions, as lists take them, that must hold for a deal to enter the stage.';

CREATE UNIQUE INDEX IF NOT EXISTS stage_name_key ON crm.stage (org_id, pipeline_id, lower(name))
    WHERE deleted_at IS NULL;
CREATE INDEX IF NOT EXISTS stage_position_idx
    ON crm.stage (org_id, pipeline_id, kind, position, stage_id);

CREATE OR REPLACE TRIGGER stage_05_right
    BEFORE INSERT OR UPDATE OR DELETE ON crm.stage
    FOR EACH STATEMENT EXECUTE FUNCTION saleshub.setup_check();
CREATE OR REPLACE TRIGGER stage_10_check
    BEFORE INSERT OR UPDATE ON crm.stage
    FOR EACH ROW EXECUTE FUNCTION saleshub.stage_check();

SELECT saleshub.protect('crm.stage');
SELECT saleshub.capture_on('crm.stage', 'stage', 'stage_id');

CREATE TABLE IF NOT EXISTS crm.currency_rate (
    org_id uuid NOT NULL DEFAULT saleshub.org_id(),
    currency text NOT NULL,
    valid_from date NOT NULL,
    rate numeric NOT NULL,
    PRIMARY KEY (org_id, currency, valid_from),
    CONSTRAINT currency_rate_currency_check CHECK (currency ~ '^[A-Z]{3}$'),
    CONSTRAINT currency_rate_rate_check CHECK (rate > 0)
);

COMMENT ON TABLE crm.currency_rate IS
    'What foreign money is worth in the currency of the organisation.';
COMMENT ON COLUMN crm.currency_rate.rate IS
    'Units of the organisation''s currency for one of this currency.';
COMMENT ON COLUMN crm.currency_rate.valid_from IS
    'First day of the rate; it holds until the next one.';

CREATE OR REPLACE TRIGGER currency_rate_05_right
    BEFORE INSERT OR UPDATE OR DELETE ON crm.currency_rate
    FOR EACH STATEMENT EXECUTE FUNCTION saleshub.setup_check();

SELECT saleshub.protect('crm.currency_rate', 'SELECT, INSERT, UPDATE, DELETE');
