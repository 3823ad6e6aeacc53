-- Where customers come from: what sources cost, and the touches that lead to a deal.

CREATE TABLE IF NOT EXISTS crm.source_cost (
    org_id uuid NOT NULL DEFAULT saleshub.org_id(),
    source_cost_id uuid NOT NULL DEFAULT crm.uuid_v7(),
    source text NOT NULL,
    campaign text,
    period_from date NOT NULL,
    period_to date NOT NULL,
    amount numeric NOT NULL,
    currency text NOT NULL,
    note text,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by uuid,
    updated_at timestamptz NOT NULL DEFAULT now(),
    updated_by uuid,
    deleted_at timestamptz,
    PRIMARY KEY (org_id, source_cost_id),
    CONSTRAINT source_cost_source_given CHECK (source <> ''),
    CONSTRAINT source_cost_period_check CHECK (period_to > period_from),
    CONSTRAINT source_cost_amount_check CHECK (amount BETWEEN 0 AND 1e15),
    CONSTRAINT source_cost_currency_check CHECK (currency ~ '^[A-Z]{3}$')
);
COMMENT ON TABLE crm.source_cost IS 'What a source, or a campaign of it, cost in a period, spread evenly over its days.';
COMMENT ON COLUMN crm.source_cost.period_to IS 'First day after the period.';
COMMENT ON COLUMN crm.source_cost.deleted_at IS
    'When the row was put into the bin; such a row counts nowhere.';
CREATE INDEX IF NOT EXISTS source_cost_period_idx
    ON crm.source_cost (org_id, period_from, period_to);
CREATE INDEX IF NOT EXISTS source_cost_created_idx
    ON crm.source_cost (org_id, created_at, source_cost_id);
CREATE OR REPLACE TRIGGER source_cost_05_right
    BEFORE INSERT OR UPDATE ON crm.source_cost
    FOR EACH STATEMENT EXECUTE FUNCTION saleshub.setup_check();
CREATE OR REPLACE TRIGGER source_cost_10_check
    BEFORE INSERT OR UPDATE ON crm.source_cost
    FOR EACH ROW EXECUTE FUNCTION saleshub.source_cost_check();
SELECT saleshub.protect('crm.source_cost');
SELECT saleshub.capture_on('crm.source_cost', 'source_cost', 'source_cost_id');

CREATE TABLE IF NOT EXISTS crm.touch (
    org_id uuid NOT NULL DEFAULT saleshub.org_id(),
    touch_id uuid NOT NULL DEFAULT crm.uuid_v7(),
    source text NOT NULL,
    campaign text,
    at timestamptz NOT NULL DEFAULT now(),
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by uuid,
    PRIMARY KEY (org_id, touch_id),
    CONSTRAINT touch_source_check CHECK (source <> '' AND length(source) <= 100),
    CONSTRAINT touch_campaign_check CHECK (length(campaign) <= 200)
);
COMMENT ON TABLE crm.touch IS
    'That somebody met us by a source or campaign: a visit, a reply, a fair. How a lead came is one too, but said by the lead itself.';
COMMENT ON COLUMN crm.touch.at IS 'When that was.';
CREATE OR REPLACE TRIGGER touch_10_check
    BEFORE INSERT ON crm.touch
    FOR EACH ROW EXECUTE FUNCTION saleshub.touch_check();
SELECT saleshub.protect('crm.touch', 'SELECT, INSERT, DELETE');

-- Like other links, these are carried by conversions, moved by merges and taken back by their undo.
CREATE TABLE IF NOT EXISTS crm.touch_link (
    org_id uuid NOT NULL DEFAULT saleshub.org_id(),
    touch_id uuid NOT NULL,
    entity text NOT NULL,
    entity_id uuid NOT NULL,
    PRIMARY KEY (org_id, touch_id, entity, entity_id),
    CONSTRAINT touch_link_entity_check CHECK (entity IN ('lead', 'contact', 'company', 'deal'))
);
COMMENT ON TABLE crm.touch_link IS 'The records that a touch is about; it is seen by who sees one.';
CREATE INDEX IF NOT EXISTS touch_link_entity_idx
    ON crm.touch_link (org_id, entity, entity_id, touch_id);
SELECT saleshub.add_fk('touch_link_touch_fk', 'crm.touch_link', 'org_id, touch_id',
                       'crm.touch', 'org_id, touch_id', 'CASCADE');
CREATE OR REPLACE TRIGGER touch_link_10_check
    BEFORE INSERT ON crm.touch_link
    FOR EACH ROW EXECUTE FUNCTION saleshub.touch_link_check();
SELECT saleshub.protect('crm.touch_link', 'SELECT, INSERT, DELETE');

SELECT saleshub.visible_rows('crm.touch_link', ARRAY['SELECT', 'DELETE', 'INSERT'],
    '(SELECT saleshub.sees_everything()) OR saleshub.record_visible(entity, entity_id)');
SELECT saleshub.visible_rows('crm.touch', ARRAY['SELECT', 'DELETE'],
    '(SELECT saleshub.sees_everything()) OR created_by = (SELECT saleshub.member_id())
     OR EXISTS (SELECT FROM crm.touch_link l
                WHERE l.org_id = touch.org_id AND l.touch_id = touch.touch_id)');
