CREATE TABLE IF NOT EXISTS crm.product (
    org_id uuid NOT NULL DEFAULT saleshub.org_id(),
    product_id uuid NOT NULL DEFAULT crm.uuid_v7(),
    name text NOT NULL,
    sku text,
    description text,
    price numeric,
    currency text NOT NULL,
    active boolean NOT NULL DEFAULT true,
    tags text[] NOT NULL DEFAULT '{}',
    custom jsonb NOT NULL DEFAULT '{}',
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by uuid,
    updated_at timestamptz NOT NULL DEFAULT now(),
    updated_by uuid,
    deleted_at timestamptz,
    PRIMARY KEY (org_id, product_id),
    CONSTRAINT product_name_given CHECK (name <> ''),
    CONSTRAINT product_price_check CHECK (price BETWEEN 0 AND 1e15),
    CONSTRAINT product_currency_check CHECK (currency ~ '^[A-Z]{3}$'),
    CONSTRAINT product_custom_check CHECK (jsonb_typeof(custom) = 'object')
);

COMMENT ON TABLE crm.product IS 'What is sold.';
COMMENT ON COLUMN crm.product.sku IS
    'Article number; no two products of an organisation share it, whatever its letter case.';
COMMENT ON COLUMN crm.product.price IS 'List price of one unit, in currency.';
COMMENT ON COLUMN crm.product.active IS 'Whether it is still offered.';
COMMENT ON COLUMN crm.product.custom IS 'Values of custom fields.';
COMMENT ON COLUMN crm.product.deleted_at IS
    'When the row was put into the bin; such a row counts nowhere.';

CREATE UNIQUE INDEX IF NOT EXISTS product_sku_key ON crm.product (org_id, lower(sku))
    WHERE deleted_at IS NULL;
CREATE INDEX IF NOT EXISTS product_created_idx ON crm.product (org_id, created_at, product_id);
CREATE INDEX IF NOT EXISTS product_updated_idx ON crm.product (org_id, updated_at, product_id);
CREATE INDEX IF NOT EXISTS product_name_idx ON crm.product (org_id, name, product_id);

CREATE OR REPLACE TRIGGER product_10_check
    BEFORE INSERT OR UPDATE ON crm.product
    FOR EACH ROW EXECUTE FUNCTION saleshub.product_check();

SELECT saleshub.protect('crm.product');
SELECT saleshub.capture_on('crm.product', 'product', 'product_id');
