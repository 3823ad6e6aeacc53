CREATE TABLE IF NOT EXISTS crm.company (
    org_id uuid NOT NULL DEFAULT saleshub.org_id(),
    company_id uuid NOT NULL DEFAULT crm.uuid_v7(),
    name text NOT NULL,
    domain text,
    industry text,
    employees integer,
    phone text,
    website text,
    country text,
    state text,
    postal_code text,
    city text,
    annual_revenue numeric,
    annual_revenue_currency text,
    parent_id uuid,
    owner_id uuid,
    tags text[] NOT NULL DEFAULT '{}',
    custom jsonb NOT NULL DEFAULT '{}',
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by uuid,
    updated_at timestamptz NOT NULL DEFAULT now(),
    updated_by uuid,
    deleted_at timestamptz,
    PRIMARY KEY (org_id, company_id),
    CONSTRAINT company_name_given CHECK (name <> ''),
    CONSTRAINT company_employees_check CHECK (employees >= 0),
    CONSTRAINT company_annual_revenue_check CHECK (annual_revenue BETWEEN 0 AND 1e15),
    CONSTRAINT company_annual_revenue_currency_check
        CHECK (annual_revenue_currency ~ '^[A-Z]{3}$'),
    CONSTRAINT company_parent_check CHECK (parent_id <> company_id),
    CONSTRAINT company_custom_check CHECK (jsonb_typeof(custom) = 'object')
);

COMMENT ON TABLE crm.company IS 'Organisations we sell to.';
COMMENT ON COLUMN crm.company.domain IS
    'Registered web domain in lower case, without scheme or www.';
COMMENT ON COLUMN crm.company.parent_id IS 'The company that owns this one.';
COMMENT ON COLUMN crm.company.custom IS 'Values of custom fields.';
COMMENT ON COLUMN crm.company.deleted_at IS
    'When the row was put into the bin; such a row counts nowhere.';

CREATE INDEX IF NOT EXISTS company_created_idx ON crm.company (org_id, created_at, company_id);
CREATE INDEX IF NOT EXISTS company_updated_idx ON crm.company (org_id, updated_at, company_id);
CREATE INDEX IF NOT EXISTS company_name_idx ON crm.company (org_id, name, company_id);
CREATE INDEX IF NOT EXISTS company_lower_name_idx ON crm.company (org_id, lower(name));
CREATE INDEX IF NOT EXISTS company_domain_idx ON crm.company (org_id, domain);
CREATE INDEX IF NOT EXISTS company_owner_idx ON crm.company (org_id, owner_id, created_at);
CREATE INDEX IF NOT EXISTS company_parent_idx ON crm.company (org_id, parent_id);

CREATE OR REPLACE TRIGGER company_10_check
    BEFORE INSERT OR UPDATE ON crm.company
    FOR EACH ROW EXECUTE FUNCTION saleshub.company_check();

SELECT saleshub.protect('crm.company');
SELECT saleshub.capture_on('crm.company', 'company', 'company_id');
