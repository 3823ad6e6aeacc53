CREATE TABLE IF NOT EXISTS crm.deal_line (
    org_id uuid NOT NULL DEFAULT saleshub.org_id(),
    deal_line_id uuid NOT NULL DEFAULT crm.uuid_v7(),
    deal_id uuid NOT NULL,
    product_id uuid,
    name text NOT NULL,
    quantity numeric NOT NULL DEFAULT 1,
    unit_price numeric NOT NULL DEFAULT 0,
    discount numeric NOT NULL DEFAULT 0,
    amount numeric NOT NULL,
    position integer NOT NULL DEFAULT 1,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by uuid,
    updated_at timestamptz NOT NULL DEFAULT now(),
    updated_by uuid,
    deleted_at timestamptz,
    PRIMARY KEY (org_id, deal_line_id),
    CONSTRAINT deal_line_name_given CHECK (name <> ''),
    CONSTRAINT deal_line_quantity_check CHECK (quantity > 0 AND quantity <= 1e9),
    CONSTRAINT deal_line_unit_price_check CHECK (unit_price BETWEEN 0 AND 1e12),
    CONSTRAINT deal_line_discount_check CHECK (discount BETWEEN 0 AND 100),
    CONSTRAINT deal_line_amount_check
        CHECK (amount = round(quantity * unit_price * (100 - discount) * 0.01, 2))
);

COMMENT ON TABLE crm.deal_line IS
    'What a deal is made of; as soon as a deal has lines, its amount is their sum.';
COMMENT ON COLUMN crm.deal_line.product_id IS 'The product sold; NULL for anything else.';
COMMENT ON COLUMN crm.deal_line.unit_price IS 'Price of one unit, in the currency of the deal.';
COMMENT ON COLUMN crm.deal_line.discount IS 'Reduction in percent.';
COMMENT ON COLUMN crm.deal_line.amount IS
    'quantity × unit_price less discount, rounded to two places; written by a trigger.';
COMMENT ON COLUMN crm.deal_line.position IS 'Place among the lines of the deal.';
COMMENT ON COLUMN crm.deal_line.deleted_at IS
    'When the line was taken out of the deal; such a row counts nowhere.';

CREATE INDEX IF NOT EXISTS deal_line_deal_idx ON crm.deal_line (org_id, deal_id, position);
CREATE INDEX IF NOT EXISTS deal_line_product_idx ON crm.deal_line (org_id, product_id)
    WHERE product_id IS NOT NULL;

ALTER TABLE crm.deal ADD COLUMN IF NOT EXISTS lines_version bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN crm.deal.lines_version IS
    'How often its lines changed, so that the version of the deal moves with them.';

CREATE OR REPLACE TRIGGER deal_line_10_check
    BEFORE INSERT OR UPDATE ON crm.deal_line
    FOR EACH ROW EXECUTE FUNCTION saleshub.deal_line_check();
CREATE OR REPLACE TRIGGER deal_line_50_insert
    AFTER INSERT ON crm.deal_line
    REFERENCING NEW TABLE AS linerows
    FOR EACH STATEMENT EXECUTE FUNCTION saleshub.deal_line_changed();
CREATE OR REPLACE TRIGGER deal_line_50_update
    AFTER UPDATE ON crm.deal_line
    REFERENCING NEW TABLE AS linerows
    FOR EACH STATEMENT EXECUTE FUNCTION saleshub.deal_line_changed();
CREATE OR REPLACE TRIGGER deal_line_50_delete
    AFTER DELETE ON crm.deal_line
    REFERENCING OLD TABLE AS linerows
    FOR EACH STATEMENT EXECUTE FUNCTION saleshub.deal_line_changed();

SELECT saleshub.protect('crm.deal_line');
SELECT saleshub.capture_on('crm.deal_line', 'deal_line', 'deal_line_id');
