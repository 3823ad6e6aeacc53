CREATE TABLE IF NOT EXISTS crm.contact (
    org_id uuid NOT NULL DEFAULT saleshub.org_id(),
    contact_id uuid NOT NULL DEFAULT crm.uuid_v7(),
    first_name text,
    last_name text,
    email text,
    phone text,
    company_id uuid,
    title text,
    owner_id uuid,
    tags text[] NOT NULL DEFAULT '{}',
    custom jsonb NOT NULL DEFAULT '{}',
    consent_email boolean,
    consent_phone boolean,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by uuid,
    updated_at timestamptz NOT NULL DEFAULT now(),
    updated_by uuid,
    deleted_at timestamptz,
    PRIMARY KEY (org_id, contact_id),
    CONSTRAINT contact_name_given
        CHECK (coalesce(first_name, last_name, email) IS NOT NULL),
    CONSTRAINT contact_custom_check CHECK (jsonb_typeof(custom) = 'object')
);

COMMENT ON TABLE crm.contact IS 'People we deal with, mostly at a company.';
COMMENT ON COLUMN crm.contact.email IS 'Address in lower case.';
COMMENT ON COLUMN crm.contact.phone IS
    'E.164 where the number could be completed, else its digits.';
COMMENT ON COLUMN crm.contact.consent_email IS 'Whether e-mail is allowed; NULL when never asked.';
COMMENT ON COLUMN crm.contact.consent_phone IS 'Whether calls are allowed; NULL when never asked.';
COMMENT ON COLUMN crm.contact.custom IS 'Values of custom fields.';
COMMENT ON COLUMN crm.contact.deleted_at IS
    'When the row was put into the bin; such a row counts nowhere.';

CREATE INDEX IF NOT EXISTS contact_created_idx ON crm.contact (org_id, created_at, contact_id);
CREATE INDEX IF NOT EXISTS contact_updated_idx ON crm.contact (org_id, updated_at, contact_id);
CREATE INDEX IF NOT EXISTS contact_name_idx ON crm.contact (org_id, last_name, contact_id);
CREATE INDEX IF NOT EXISTS contact_email_idx ON crm.contact (org_id, email);
CREATE INDEX IF NOT EXISTS contact_phone_idx ON crm.contact (org_id, phone);
CREATE INDEX IF NOT EXISTS contact_company_idx ON crm.contact (org_id, company_id);
CREATE INDEX IF NOT EXISTS contact_owner_idx ON crm.contact (org_id, owner_id, created_at);

CREATE OR REPLACE TRIGGER contact_10_check
    BEFORE INSERT OR UPDATE ON crm.contact
    FOR EACH ROW EXECUTE FUNCTION saleshub.contact_check();

SELECT saleshub.protect('crm.contact');
SELECT saleshub.capture_on('crm.contact', 'contact', 'contact_id');
